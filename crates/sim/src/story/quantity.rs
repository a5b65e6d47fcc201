//! What a story may expect of the gateway: gauges, counters and what reached the gateway.

use narrowgate_coap as coap;
use narrowgate_dtls as dtls;
use narrowgate_engine::shard::stats::{Counter, Stats};

use crate::world::World;

/// A number that the shard knows, or of what it told the gateway. Those of the shard begin anew when it
/// restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantity {
    /// `sessions`: established now.
    Sessions,
    /// `half_open`: handshakes under way now.
    HalfOpen,
    /// `lookups`: key look-ups that wait now.
    Lookups,
    /// `in_flight`: requests that wait for the gateway now.
    InFlight,
    /// `stored_answer_bytes`: of answers that are kept for duplicates now.
    StoredAnswerBytes,
    /// `carried_out`: requests that reached the gateway.
    CarriedOut,
    /// `signs_of_life`: authentic datagrams that were no new request.
    SignsOfLife,
    /// `wrong_keys`: handshakes with the wrong key, as the gateway was told.
    WrongKeys,
    /// `handshakes`: completed; or any counter of the shard by its name.
    Counter(Counter),
    /// `dtls.replayed` and so on: dropped by the DTLS layer, for a reason by its name.
    Dtls(dtls::Discard),
    /// `coap.duplicate` and so on: the same for the CoAP layer.
    Coap(coap::Discard),
}

impl Quantity {
    /// The quantity of this name.
    pub fn parse(name: &str) -> Option<Self> {
        if let Some(reason) = name.strip_prefix("dtls.") {
            return dtls::Discard::ALL.iter().find(|it| it.name() == reason).copied().map(Self::Dtls);
        }
        if let Some(reason) = name.strip_prefix("coap.") {
            return coap::Discard::ALL.iter().find(|it| it.name() == reason).copied().map(Self::Coap);
        }
        Some(match name {
            "sessions" => Self::Sessions,
            "half_open" => Self::HalfOpen,
            "lookups" => Self::Lookups,
            "in_flight" => Self::InFlight,
            "stored_answer_bytes" => Self::StoredAnswerBytes,
            "carried_out" => Self::CarriedOut,
            "signs_of_life" => Self::SignsOfLife,
            "wrong_keys" => Self::WrongKeys,
            "handshakes" => Self::Counter(Counter::HandshakesCompleted),
            _ => Self::Counter(Counter::ALL.iter().find(|it| it.name() == name).copied()?),
        })
    }

    /// Its name in stories.
    pub fn name(self) -> String {
        match self {
            Self::Sessions => "sessions".to_owned(),
            Self::HalfOpen => "half_open".to_owned(),
            Self::Lookups => "lookups".to_owned(),
            Self::InFlight => "in_flight".to_owned(),
            Self::StoredAnswerBytes => "stored_answer_bytes".to_owned(),
            Self::CarriedOut => "carried_out".to_owned(),
            Self::SignsOfLife => "signs_of_life".to_owned(),
            Self::WrongKeys => "wrong_keys".to_owned(),
            Self::Counter(Counter::HandshakesCompleted) => "handshakes".to_owned(),
            Self::Counter(counter) => counter.name().to_owned(),
            Self::Dtls(discard) => format!("dtls.{}", discard.name()),
            Self::Coap(discard) => format!("coap.{}", discard.name()),
        }
    }

    /// Its value now.
    pub fn value(self, world: &mut World) -> u64 {
        let gauges = world.gauges();
        match self {
            Self::Sessions => gauges.sessions as u64,
            Self::HalfOpen => gauges.handshakes as u64,
            Self::Lookups => gauges.lookups as u64,
            Self::InFlight => gauges.requests_in_flight as u64,
            Self::StoredAnswerBytes => gauges.stored_answer_bytes as u64,
            Self::CarriedOut => world.told.executed.len() as u64,
            Self::SignsOfLife => world.told.heard,
            Self::WrongKeys => world.told.wrong_keys.len() as u64,
            Self::Counter(counter) => sum(world, |stats| stats.value(counter)),
            Self::Dtls(discard) => sum(world, |stats| count(stats.dtls_discards(), &discard)),
            Self::Coap(discard) => sum(world, |stats| count(stats.coap_discards(), &discard)),
        }
    }
}

/// Of both shards.
fn sum(world: &mut World, value: impl Fn(&Stats) -> u64) -> u64 {
    world.shards().iter_mut().map(|shard| value(shard.stats())).sum()
}

fn count<T: PartialEq>(mut counts: impl Iterator<Item = (T, u64)>, discard: &T) -> u64 {
    counts.find(|(other, _)| other == discard).map_or(0, |(_, count)| count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_means_what_it_says() {
        for name in [
            "sessions",
            "half_open",
            "lookups",
            "in_flight",
            "stored_answer_bytes",
            "carried_out",
            "signs_of_life",
            "wrong_keys",
            "handshakes",
            "requests_busy",
            "dtls.replayed",
            "coap.duplicate",
        ] {
            assert_eq!(Quantity::parse(name).map(Quantity::name).as_deref(), Some(name));
        }
        assert_eq!(Quantity::parse("sesions"), None);
        assert_eq!(Quantity::parse("dtls.duplicate"), None);
    }
}
