//! Which device is issued a secret of its own by dynamic activation, and what each refusal says (device
//! protocol, section 3). The one table of these refusals: the device's log, listeners and the metric all take
//! their words and reasons from [`NotIssued::refusal`].

use crate::{
    ids::UnixMillis,
    model::{credential::Credentials, log::Reason, product::DynamicActivation},
    rules::{psk::mark, refusal::Refusal},
};

/// What decides on a request for a secret.
#[derive(Debug)]
pub struct IssueCase<'a> {
    /// The device's own switch.
    pub device_enabled: bool,
    /// Its product's switch.
    pub product_enabled: bool,
    /// Whether the organisation unit of both is suspended.
    pub unit_suspended: bool,
    /// It has logged in with its own secret.
    pub activated: bool,
    /// Whether it still has the secret that is to be replaced.
    pub has_replaced: bool,
    /// Whether its product still has the secret that the session proved.
    pub has_proved: bool,
    /// The product's settings.
    pub dynamic_activation: &'a DynamicActivation,
    /// Secrets that the product issued in the clock hour of `at`.
    pub issued_this_hour: u32,
    /// When it is decided.
    pub at: UnixMillis,
}

/// Why a secret is not issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotIssued {
    /// The organisation unit is suspended.
    UnitSuspended,
    /// The product is disabled.
    ProductUnavailable,
    /// The device is gone or disabled.
    DeviceUnavailable,
    /// The device was activated: its secret is fixed.
    AlreadyActivated,
    /// The device has another secret than the one that was to be replaced: it was reset meanwhile.
    SecretSuperseded,
    /// The product has another secret than the one that the session proved.
    ProductSecretReplaced,
    /// Dynamic activation is off or over.
    DynamicActivationOff,
    /// The product's quota of this hour is used up.
    QuotaExceeded,
}

impl IssueCase<'_> {
    /// Whether a secret may be issued.
    ///
    /// # Errors
    ///
    /// The first that holds, in the order of [`NotIssued`]: switches (as for a handshake, the unit's first,
    /// then the product's), activation, the secret that is to be replaced, the product's secret, dynamic
    /// activation and its end, quota.
    pub fn permit(&self) -> Result<(), NotIssued> {
        if self.unit_suspended {
            return Err(NotIssued::UnitSuspended);
        }
        if !self.product_enabled {
            return Err(NotIssued::ProductUnavailable);
        }
        if !self.device_enabled {
            return Err(NotIssued::DeviceUnavailable);
        }
        if self.activated {
            return Err(NotIssued::AlreadyActivated);
        }
        if !self.has_replaced {
            return Err(NotIssued::SecretSuperseded);
        }
        if !self.has_proved {
            return Err(NotIssued::ProductSecretReplaced);
        }
        let over = self.dynamic_activation.ends_at.is_some_and(|end| self.at >= end);
        if !self.dynamic_activation.enabled || over {
            return Err(NotIssued::DynamicActivationOff);
        }
        if self.issued_this_hour >= self.dynamic_activation.quota_per_hour {
            return Err(NotIssued::QuotaExceeded);
        }
        Ok(())
    }
}

impl NotIssued {
    /// What the log, listeners and the metric say about it.
    pub fn refusal(self) -> Refusal {
        let (reason, detail) = match self {
            Self::UnitSuspended => (Reason::UnitSuspended, "the organisation unit is suspended"),
            Self::ProductUnavailable => (Reason::ProductDisabled, "the product is switched off"),
            Self::DeviceUnavailable => (Reason::DeviceDisabled, "the device is gone or switched off"),
            Self::AlreadyActivated => (
                Reason::AlreadyActivated,
                "the device has logged in with its secret, which is fixed since then; \
                 reset the device to activate it anew",
            ),
            Self::SecretSuperseded => (
                Reason::WrongKey,
                "the device was given another secret while it asked for one, and keeps that; \
                 a new handshake asks again",
            ),
            Self::ProductSecretReplaced => (
                Reason::WrongKey,
                "the product's secret was replaced since this session proved it; \
                 give the device's firmware the new one",
            ),
            Self::DynamicActivationOff => (
                Reason::DynamicActivationOff,
                "dynamic activation of the product is off or over; switch it on, or give the device its \
                 secret in another way",
            ),
            Self::QuotaExceeded => (
                Reason::RateLimited,
                "the product's secrets of this hour are used up; raise the quota if this is no attack",
            ),
        };
        Refusal::new(reason, detail)
    }
}

/// Whether a look-up lets a session that proved the product's secret of this mark ask for a secret of the
/// device's own. What the store counts is not in it: `used_up` says that the secrets of this hour are. The
/// store decides once more when it issues one.
///
/// # Errors
/// As [`IssueCase::permit`].
pub fn permit_wish(
    found: &Credentials,
    product_secret_mark: u32,
    used_up: bool,
    at: UnixMillis,
) -> Result<(), NotIssued> {
    let case = IssueCase {
        device_enabled: found.device_enabled,
        product_enabled: found.product_enabled,
        unit_suspended: found.unit_suspended,
        activated: found.activated,
        has_replaced: true,
        has_proved: mark(&found.product_secret) == product_secret_mark,
        dynamic_activation: &found.dynamic_activation,
        issued_this_hour: if used_up { u32::MAX } else { 0 },
        at,
    };
    case.permit()
}

/// The clock hour that `at` lies in, counted from 1970.
pub fn clock_hour(at: UnixMillis) -> i64 {
    at.0.div_euclid(3_600_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_cause_that_holds_is_the_one_that_is_told() {
        let settings = |enabled, ends_at: Option<i64>| DynamicActivation {
            enabled,
            ends_at: ends_at.map(UnixMillis),
            quota_per_hour: 2,
        };
        let (on, off, over) = (settings(true, None), settings(false, None), settings(true, Some(9)));
        // (Product's switch, device's switch, activated, device's and product's secret are others by now.)
        for ((product_enabled, device_enabled, activated, others), dynamic_activation, issued, expected) in [
            ((true, true, false, (false, false)), &on, 1, Ok(())),
            ((true, true, false, (false, false)), &on, 2, Err(NotIssued::QuotaExceeded)),
            ((true, true, false, (false, false)), &over, 2, Err(NotIssued::DynamicActivationOff)),
            ((true, true, false, (false, false)), &off, 2, Err(NotIssued::DynamicActivationOff)),
            ((true, true, false, (false, true)), &off, 2, Err(NotIssued::ProductSecretReplaced)),
            ((true, true, false, (true, true)), &off, 2, Err(NotIssued::SecretSuperseded)),
            ((true, true, true, (true, true)), &off, 2, Err(NotIssued::AlreadyActivated)),
            ((true, false, true, (true, true)), &off, 2, Err(NotIssued::DeviceUnavailable)),
            ((false, false, true, (true, true)), &off, 2, Err(NotIssued::ProductUnavailable)),
        ] {
            let at = UnixMillis(9);
            let case = IssueCase {
                device_enabled,
                product_enabled,
                unit_suspended: false,
                activated,
                has_replaced: !others.0,
                has_proved: !others.1,
                dynamic_activation,
                issued_this_hour: issued,
                at,
            };
            assert_eq!(case.permit(), expected, "{case:?}");
            let suspended = IssueCase { unit_suspended: true, ..case };
            assert_eq!(suspended.permit(), Err(NotIssued::UnitSuspended), "{suspended:?}");
        }
    }

    #[test]
    fn clock_hours_change_at_the_full_hour_and_exist_before_1970() {
        assert_eq!(clock_hour(UnixMillis(3_599_999)), 0);
        assert_eq!(clock_hour(UnixMillis(3_600_000)), 1);
        assert_eq!(clock_hour(UnixMillis(-1)), -1);
    }
}
