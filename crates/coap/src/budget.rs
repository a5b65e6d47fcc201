//! The memory that all endpoints of a shard may hold together.

/// The part of the free bytes that is one endpoint's: small enough that greedy ones leave room for a burst of
/// others, large enough that it does not matter while there is plenty.
const SHARES: usize = 64;

/// The part of all bytes that bodies in transfer may take: answers for duplicates, which keep requests from
/// running twice, are never crowded out by them.
const BODIES_PART: usize = 4;
/// The part of the free bytes for bodies that one endpoint may hold and still begin or continue a body.
/// Larger than that of answers, so that a single endpoint can send a whole body also where there is little.
const BODY_SHARES: usize = 16;

/// A count of the bytes in stored answers, open exchanges, undelivered messages and bodies in transfer of all
/// endpoints that share it.
///
/// At the limit new requests are refused; nothing that is already held is dropped. Answers to requests that
/// were admitted are stored even if they pass the limit a little, so the true bound is the limit plus one
/// answer for each open exchange.
///
/// One that holds much may hold no more when what is free becomes little: see `share`.
#[derive(Debug)]
pub struct Budget {
    bytes_max: usize,
    bytes_used: usize,
    /// Those of `bytes_used` that are in bodies.
    body_bytes_used: usize,
}

impl Budget {
    /// A budget of `bytes_max` bytes, of which none are used.
    #[must_use]
    pub const fn new(bytes_max: usize) -> Self {
        Self { bytes_max, bytes_used: 0, body_bytes_used: 0 }
    }

    /// The least `bytes_max` with which `count` endpoints can each have a body in transfer that takes `bytes`
    /// with all that belongs to it.
    #[must_use]
    pub const fn for_bodies(count: usize, bytes: usize) -> usize {
        // The last one goes on while `BODY_SHARES` times what it holds are free.
        bytes.saturating_mul(BODIES_PART.saturating_mul(count.saturating_add(BODY_SHARES)))
    }

    /// The bytes that are held now.
    #[must_use]
    pub const fn bytes_used(&self) -> usize {
        self.bytes_used
    }

    /// The bytes that may be held.
    #[must_use]
    pub const fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// Whether `bytes` more would stay within the limit.
    pub(crate) const fn has_room(&self, bytes: usize) -> bool {
        self.bytes_used.saturating_add(bytes) <= self.bytes_max
    }

    /// What one endpoint may hold and still add to it: a part of what is free (the dynamic thresholds of
    /// Choudhury and Hahne, 1998). While little is used it is more than any endpoint needs. Endpoints that
    /// want all they can get end up with equal parts, and together they always leave as much free as 64 of
    /// them hold: so one that holds little finds room.
    pub(crate) const fn share(&self) -> usize {
        self.bytes_max.saturating_sub(self.bytes_used) / SHARES
    }

    /// Whether an endpoint whose bodies take `held` bytes may hold `bytes` more of them.
    pub(crate) const fn has_body_room(&self, held: usize, bytes: usize) -> bool {
        let free = (self.bytes_max / BODIES_PART).saturating_sub(self.body_bytes_used);
        bytes <= free && self.has_room(bytes) && (held == 0 || held <= free / BODY_SHARES)
    }

    /// Counts bytes of a body.
    pub(crate) const fn charge_body(&mut self, bytes: usize) {
        self.charge(bytes);
        self.body_bytes_used = self.body_bytes_used.saturating_add(bytes);
    }

    /// Gives bytes of a body back.
    pub(crate) const fn refund_body(&mut self, bytes: usize) {
        self.refund(bytes);
        self.body_bytes_used = self.body_bytes_used.saturating_sub(bytes);
    }

    pub(crate) const fn charge(&mut self, bytes: usize) {
        self.bytes_used = self.bytes_used.saturating_add(bytes);
    }

    pub(crate) const fn refund(&mut self, bytes: usize) {
        debug_assert!(bytes <= self.bytes_used, "more was given back than taken");
        self.bytes_used = self.bytes_used.saturating_sub(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What each of `greedy` endpoints holds, and what stays free, when all take what they may.
    fn settled(bytes_max: usize, greedy: usize) -> (usize, usize) {
        let mut budget = Budget::new(bytes_max);
        let mut held = vec![0; greedy];
        let mut grew = true;
        while grew {
            grew = false;
            for held in &mut held {
                if *held <= budget.share() && budget.has_room(16) {
                    budget.charge(16);
                    *held += 16;
                    grew = true;
                }
            }
        }
        let (least, most) = (held.iter().min().copied(), held.iter().max().copied());
        assert!(most.zip(least).is_none_or(|(most, least)| most - least <= 16), "equal parts");
        (most.unwrap_or(0), budget.bytes_max() - budget.bytes_used())
    }

    #[test]
    fn as_many_endpoints_as_a_budget_is_made_for_can_each_send_a_body() {
        for (count, bytes, block) in [(1, 1024, 64), (16, 10 << 10, 1024), (16, 64 << 10, 1024)] {
            let mut budget = Budget::new(Budget::for_bodies(count, bytes));
            for endpoint in 0..count {
                for held in (0..bytes).step_by(block) {
                    // What is held is given back and taken again with the block.
                    budget.refund_body(held);
                    assert!(budget.has_body_room(held, held + block), "{endpoint} of {count} with {held}");
                    budget.charge_body(held + block);
                }
            }
            assert!(!budget.has_body_room(bytes + 1, bytes + block), "it is no more than is needed");
        }
    }

    #[test]
    fn attack_142_bodies_take_a_quarter_and_leave_room_for_those_of_others() {
        let mut budget = Budget::new(1 << 20);
        let mut held = [0; 100];
        let mut grew = true;
        while std::mem::take(&mut grew) {
            for held in &mut held {
                if budget.has_body_room(*held, 64) {
                    budget.charge_body(64);
                    *held += 64;
                    grew = true;
                }
            }
        }
        assert!(budget.bytes_used() <= 1 << 18, "{} of a quarter", budget.bytes_used());
        assert!(budget.has_body_room(0, 1024), "another one can begin");
        let mut alone = Budget::new(1 << 20);
        alone.charge_body(10 * 1024);
        assert!(alone.has_body_room(10 * 1024, 1024), "alone it can send a whole body and more");
        alone.refund_body(10 * 1024);
        assert_eq!((alone.bytes_used(), alone.body_bytes_used), (0, 0));
    }

    #[test]
    fn attack_209_greedy_endpoints_end_up_with_equal_parts_and_leave_room() {
        for greedy in [1, 10, 100, 1000] {
            let (each, free) = settled(1 << 20, greedy);
            assert!(free + 16 >= (each - 32) * 64, "{greedy}: {each} bytes each, {free} are free");
            // Few do not use all; many use nearly all.
            assert!(free <= (1 << 20) * 64 / (64 + greedy) + 64 * 32, "{greedy}: {free} are free");
        }
    }
}
