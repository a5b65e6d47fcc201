//! Room for pages of exports: what is being read, and what their peers have not taken yet. One that takes
//! nothing holds up itself, then its token and its unit, and nobody else; in memory is so much at most.

use std::{
    io,
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

use narrowgate_platform::paging::PAGE_BYTES_MAX;
use tokio::time::sleep;

use crate::{
    places::Answering,
    shares::{Full, Holder, Share, ShareMax, Shares},
    turns::Turn,
    work::Attended,
};

/// Bytes of them. A page is at most some bytes longer than what is kept for it.
static PAGES: LazyLock<Arc<Shares>> = LazyLock::new(|| Shares::new(ShareMax::quarter(16 * PAGE_BYTES_MAX)));

/// How often an export looks for room again.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Room for a page, of which what it does not need is given back.
///
/// # Errors
/// Who has too much.
pub(super) fn for_page(holder: &Holder) -> Result<Share, Full> {
    PAGES.take(holder, PAGE_BYTES_MAX)
}

/// Waits for a turn and for room for the page that is read then. No turn is held while there is no room.
///
/// # Errors
/// It is too late.
pub(super) async fn with_turn(
    peer: &Attended,
    until: Instant,
) -> io::Result<((Option<Turn>, Option<Answering>), Share)> {
    loop {
        let turn = peer.turn().await;
        match for_page(&peer.holder) {
            Ok(room) => return Ok((turn, room)),
            Err(_) if Instant::now() >= until => return Err(io::Error::other("the export may not go on")),
            // Peers have not taken theirs yet: within the limit of silence they do, or end.
            Err(_) => drop(turn),
        }
        sleep(LOOK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::{answers::counted, shares::tests::holder};

    fn peer(holder: Holder) -> Attended {
        let mut peer = Attended::default();
        peer.holder = holder;
        peer
    }

    #[tokio::test(start_paused = true)]
    async fn attack_182_pages_that_are_not_taken_leave_room_for_the_exports_of_others() {
        let (loud, other) = (peer(holder("loud", Some("north"))), peer(holder("other", None)));
        let until = Instant::now() + Duration::from_secs(3600);
        let mut held = Vec::new();
        while let Ok(room) = for_page(&loud.holder) {
            held.push(room);
        }
        assert_eq!(held.len(), 4);
        assert!(with_turn(&other, until).now_or_never().is_some());
        // A page is shorter than what was kept for it.
        held[0].keep(1000);
        assert!(with_turn(&loud, until).now_or_never().is_none());
        assert!(loud.turn().now_or_never().is_some(), "no turn is held meanwhile");
        held[1].keep(1000);
        let _third = with_turn(&loud, until).now_or_never().expect("there is room").expect("there is time");
        let page = counted(String::from("page"), held.pop().expect("there are four"));
        let (more, ()) = tokio::join!(with_turn(&loud, until), async {
            sleep(Duration::from_secs(1)).await;
            drop(page);
        });
        let _more = more.expect("there is room");
        for_page(&loud.holder).expect_err("there is no more");
    }

    #[tokio::test(start_paused = true)]
    async fn an_export_that_finds_no_room_ends_at_its_time() {
        let loud = peer(holder("loud", None));
        let _held: Vec<_> = std::iter::from_fn(|| for_page(&loud.holder).ok()).collect();
        let late = with_turn(&loud, Instant::now()).now_or_never();
        assert!(late.is_some_and(|room| room.is_err()));
    }
}
