use std::{future::Future, pin::pin, task::Poll};

use futures_util::FutureExt as _;

use super::*;
use crate::shares::tests::holder;

const MAX: PlacesMax = PlacesMax { requests: 2, queued: 4, followers: 1, waiting: 1 };

async fn waits(entering: impl Future<Output = Place>) -> bool {
    let mut entering = pin!(entering);
    std::future::poll_fn(|task| Poll::Ready(entering.as_mut().poll(task).is_pending())).await
}

async fn is_lost(place: &Place) -> bool {
    let mut lost = pin!(place.lost());
    std::future::poll_fn(|task| Poll::Ready(lost.as_mut().poll(task).is_ready())).await
}

fn source(number: u8) -> Option<Source> {
    Some(Source::of(IpAddr::from([192, 0, 2, number])))
}

/// A connection whose request was let in.
async fn let_in(places: &Arc<Places>) -> Place {
    let place = places.enter(None).await;
    place.seat().note_request(Some(Holder::default()));
    place
}

/// The same of a token, from an address.
async fn let_in_of(places: &Arc<Places>, source: Option<Source>, holder: Holder) -> Place {
    let place = places.enter(source).await;
    place.seat().note_request(Some(holder));
    place
}

#[tokio::test(start_paused = true)]
async fn the_place_of_who_was_idle_for_longest_goes_to_a_new_connection() {
    let places = Places::new(MAX);
    let first = let_in(&places).await;
    tokio::time::advance(ALONE / 2).await;
    let second = let_in(&places).await;
    assert!(waits(places.enter(None)).await, "both are left alone");
    let began = Instant::now();
    let third = places.enter(None).await;
    assert_eq!(began.elapsed(), ALONE / 2);
    assert!(is_lost(&first).await && !is_lost(&second).await && !is_lost(&third).await);
    // Bytes of an answer that are fetched count.
    tokio::time::advance(ALONE).await;
    second.seat().note_progress();
    let _fourth = places.enter(None).await;
    assert!(is_lost(&third).await && !is_lost(&second).await);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_another_one_is_made_of_leaves_the_place_as_it_was() {
    let places = Places::new(PlacesMax { requests: 1, ..MAX });
    let first = let_in(&places).await;
    let page = first.seat().answer();
    drop(first.seat().answer());
    tokio::time::advance(10 * ALONE).await;
    assert!(waits(places.enter(None)).await && !is_lost(&first).await, "the page is not answered yet");
    drop(page);
    tokio::time::advance(ALONE).await;
    let _second = places.enter(None).await;
    assert!(is_lost(&first).await);
}

#[tokio::test(start_paused = true)]
async fn a_place_that_is_free_goes_to_who_waits_and_not_to_who_comes() {
    let places = Places::new(MAX);
    let (first, second) = (let_in(&places).await, let_in(&places).await);
    let (answering, _other) = (first.seat().answer(), second.seat().answer());
    let [third, fourth] = [3, 4].map(|number| places.take(source(number)).expect("there is room"));
    let (third, fourth) = (third.seat(), fourth.seat());
    let (mut third, mut fourth) = (pin!(third.taken()), pin!(fourth.taken()));
    assert!(third.as_mut().now_or_never().is_none() && fourth.as_mut().now_or_never().is_none());
    drop((answering, first));
    let fifth = places.take(source(5)).expect("there is room in the queue");
    let fifth = fifth.seat();
    assert!(fifth.taken().now_or_never().is_none(), "it came last");
    assert!(fourth.as_mut().now_or_never().is_none(), "the third was first");
    assert!(third.as_mut().now_or_never().is_some());
    drop(second);
    assert!(fourth.as_mut().now_or_never().is_some());
}

#[tokio::test(start_paused = true)]
async fn who_is_being_answered_keeps_its_place() {
    let places = Places::new(MAX);
    let (first, second) = (let_in(&places).await, let_in(&places).await);
    let (answering, _other) = (first.seat().answer(), second.seat().answer());
    tokio::time::advance(10 * ALONE).await;
    assert!(waits(places.enter(None)).await);
    drop(answering);
    assert!(waits(places.enter(None)).await, "it may fetch its answer");
    let _third = places.enter(None).await;
    assert!(is_lost(&first).await && !is_lost(&second).await);
}

#[tokio::test(start_paused = true)]
async fn attack_182_requests_without_a_token_keep_no_place() {
    let places = Places::new(MAX);
    let (stranger, known) = (places.enter(None).await, let_in(&places).await);
    let ask = |place: &Place, is_let_in: bool| {
        let answering = place.seat().answer();
        place.seat().note_request(is_let_in.then(Holder::default));
        drop(answering);
        // Its answer is fetched.
        place.seat().note_progress();
    };
    for _ in 0..9 {
        tokio::time::advance(ALONE / 10).await;
        ask(&stranger, false);
        ask(&known, true);
    }
    let began = Instant::now();
    let third = places.enter(None).await;
    assert_eq!(began.elapsed(), ALONE / 10);
    assert!(is_lost(&stranger).await && !is_lost(&known).await && !is_lost(&third).await);
    // It ends with its answer, and that of a token does not.
    assert!(third.seat().is_wanted() && !known.seat().is_wanted());
    drop(known);
    assert!(!third.seat().is_wanted());
}

#[tokio::test(start_paused = true)]
async fn attack_182_an_address_with_many_connections_makes_way_for_another_at_once() {
    let places = Places::new(PlacesMax { requests: 8, ..MAX });
    let mut quiet = Vec::new();
    for _ in 0..2 {
        quiet.push(places.enter(source(1)).await);
    }
    tokio::time::advance(10 * ALONE).await;
    let mut loud = Vec::new();
    for _ in 0..6 {
        loud.push(places.enter(source(2)).await);
    }
    // It takes none of others, whatever they do.
    assert!(waits(places.enter(source(2))).await);
    let third = places.enter(source(3)).await;
    assert!(is_lost(&loud[0]).await && !is_lost(&third).await);
    tokio::time::advance(ALONE).await;
    let _seventh = places.enter(source(2)).await;
    assert!(is_lost(&loud[1]).await);
    for place in &quiet {
        assert!(!is_lost(place).await);
    }
    // Not while it is being answered; and what it was let in for keeps no place from others.
    let answering: Vec<_> = loud.iter().map(|place| place.seat().answer()).collect();
    loud.iter().for_each(|place| place.seat().note_request(Some(Holder::default())));
    let _fresh = places.enter(source(3)).await;
    assert!(waits(places.enter(source(4))).await);
    drop(answering);
    let began = Instant::now();
    let _fourth = places.enter(source(4)).await;
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn tokens_of_one_unit_keep_no_places_from_others_however_often_they_ask() {
    // From one address, and from so many that none of them is a crowd.
    for addresses in [1, 8] {
        let places = Places::new(PlacesMax { requests: 16, ..MAX });
        let mut loud = Vec::new();
        for number in 0..16 {
            let of = holder(&format!("token {}", number % 4), Some("north"));
            loud.push(let_in_of(&places, source(number % addresses), of).await);
        }
        tokio::time::advance(ALONE / 2).await;
        let mut others = Vec::new();
        for number in 100..110 {
            // Their answers are being read.
            loud.iter().for_each(|place| place.seat().note_progress());
            let began = Instant::now();
            let of = holder(&format!("token {number}"), Some(&format!("unit {number}")));
            others.push(let_in_of(&places, source(number), of).await);
            assert_eq!(began.elapsed(), Duration::ZERO, "{addresses}");
        }
        for place in &others {
            assert!(!is_lost(place).await, "{addresses}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_unit_that_has_a_few_places_is_left_alone() {
    let places = Places::new(PlacesMax { requests: 16, ..MAX });
    let mut held = Vec::new();
    for number in 0..16 {
        let of = holder("a", Some(&format!("unit {}", number / 2)));
        held.push(let_in_of(&places, source(number), of).await);
    }
    assert!(waits(places.enter(source(99))).await, "none of them has more than an eighth");
    let began = Instant::now();
    let _more = places.enter(source(99)).await;
    assert_eq!(began.elapsed(), ALONE);
}

#[test]
fn an_address_has_half_of_the_queue() {
    let places = Places::new(PlacesMax { requests: 0, ..MAX });
    let loud: Vec<_> = (0..9).filter_map(|_| places.take(source(1))).collect();
    assert_eq!(loud.len(), 2);
    let mut others: Vec<_> = (2..4).filter_map(|number| places.take(source(number))).collect();
    assert_eq!(others.len(), 2, "all of them are four");
    others.extend(places.take(source(4)));
    assert_eq!(others.len(), 3, "one that has two makes room");
    assert!(places.take(source(5)).is_none(), "each has one");
    drop(loud);
    assert!(places.take(source(1)).is_some());
}

#[tokio::test]
async fn the_newest_of_whoever_has_most_of_a_full_queue_leaves_for_others() {
    let places = Places::new(PlacesMax { requests: 0, queued: 8, ..MAX });
    let of = |text: &str| Some(Source::of(text.parse().expect("it is an address")));
    // Each /64 is another one, and all of them are one customer's.
    let loud: Vec<_> =
        (0..9).filter_map(|number| places.take(of(&format!("2001:db8:0:{number}::1")))).collect();
    assert_eq!(loud.len(), 4);
    let other: Vec<_> = (0..9).filter_map(|_| places.take(source(2))).collect();
    assert_eq!(other.len(), 4);
    let third = [places.take(source(3)), places.take(source(3))];
    assert!(third.iter().all(Option::is_some));
    assert!(is_lost(&loud[3]).await && is_lost(&other[3]).await, "the newest one of each");
    assert!(!is_lost(&loud[0]).await && !is_lost(&other[0]).await);
}

#[tokio::test(start_paused = true)]
async fn who_is_silent_in_a_full_queue_leaves_for_whoever_comes() {
    // Of an address, which has half of it, and of connections whose address is not known.
    for (from, room) in [(source(1), 2), (None, 4)] {
        let places = Places::new(PlacesMax { requests: 0, ..MAX });
        let queued: Vec<_> = (0..room).map(|_| places.take(from).expect("there is room")).collect();
        assert!(places.take(from).is_none(), "they have just come");
        assert!(queued[0].seat().taken().now_or_never().is_none(), "it has asked, and waits");
        tokio::time::advance(ALONE).await;
        let _comes = places.take(from).expect("there is room");
        assert!(!is_lost(&queued[0]).await && is_lost(&queued[1]).await);
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_in_the_queue_takes_a_place_when_it_needs_one() {
    let places = Places::new(MAX);
    let (first, second) = (let_in(&places).await, let_in(&places).await);
    tokio::time::advance(10 * ALONE).await;
    let quiet = places.take(source(1)).expect("there is room");
    assert!(!is_lost(&first).await && !is_lost(&second).await, "it has asked for nothing");
    // It ends with the answer to a probe.
    assert!(quiet.seat().is_wanted());
    quiet.seat().taken().await;
    assert!(is_lost(&first).await && !is_lost(&second).await);
}

#[test]
fn a_source_is_an_address_or_a_network_of_ipv6() {
    let of = |text: &str| Source::of(text.parse().expect("it is an address"));
    assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.1"));
    assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
    assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
}

#[tokio::test(start_paused = true)]
async fn followers_take_no_place_of_others_and_are_limited() {
    let places = Places::new(MAX);
    let follower = let_in(&places).await;
    let answering = follower.seat().answer();
    let following = follower.seat().follow(&Holder::default()).expect("it is the first");
    drop(answering);
    let (second, _third) = (let_in(&places).await, let_in(&places).await);
    assert!(!is_lost(&follower).await);
    assert_eq!(second.seat().follow(&Holder::default()).expect_err("one may"), Full::All(1));
    drop((following, follower));
    second.seat().follow(&Holder::default()).expect("there is room again");
}

#[tokio::test(start_paused = true)]
async fn one_token_leaves_followers_and_waits_to_others() {
    let places = Places::new(PlacesMax { requests: 20, queued: 4, followers: 8, waiting: 8 });
    let place = let_in(&places).await;
    let (seat, loud, other) = (place.seat(), holder("loud", Some("north")), holder("other", None));
    let following: Vec<_> = (0..8).filter_map(|_| seat.follow(&loud).ok()).collect();
    let waiting: Vec<_> = (0..8).filter_map(|_| seat.wait(&loud).ok()).collect();
    assert_eq!((following.len(), waiting.len()), (2, 2));
    assert!(seat.follow(&other).is_ok() && seat.wait(&other).is_ok());
    let unit: Vec<_> = ["a", "b", "c"].map(|name| seat.wait(&holder(name, Some("north"))).ok()).into();
    assert_eq!(unit.iter().flatten().count(), 2, "a unit has half");
}

#[tokio::test(start_paused = true)]
async fn answers_that_wait_for_a_device_leave_places_for_others() {
    let places = Places::new(MAX);
    let (first, second) = (let_in(&places).await, let_in(&places).await);
    let waiting = first.seat().wait(&Holder::default()).expect("it is the first");
    assert_eq!(second.seat().wait(&Holder::default()).expect_err("one may"), Full::All(1));
    drop(waiting);
    second.seat().wait(&Holder::default()).expect("there is room again");
}
