//! What is counted minute by minute.

use narrowgate_platform::model::log::Reason;

use super::stage::Stage;

#[test]
fn a_report_counts_when_it_is_stored_and_a_refusal_for_the_product_of_its_device() {
    let mut stage = Stage::new();
    stage.play("h1 wants p,d,2,86400; found; h1 connects; done");
    stage.play("s1 posts; on; done; s1 posts; done; s1 posts; write fails");
    stage.play("s1 posts nonsense; done");
    stage.play("h2 wants p,x,2,nonsense; unknown; h2 fails; done");
    assert!(stage.rates.is_empty(), "the minute is not over");
    stage.play("wait 40");
    let [minute] = &stage.rates[..] else { panic!("{:?}", stage.rates) };
    assert_eq!((minute.minute, minute.since, minute.all.reports), (28_333_333, 28_333_333, 2));
    let of_all: Vec<_> = minute.all.refusals().filter_map(|(reason, _)| reason).collect();
    assert_eq!(of_all, [Reason::LifetimeOutOfRange, Reason::BodyMalformed]);
    let [(product, tally)] = &minute.products[..] else { panic!("{minute:?}") };
    assert_eq!((&**product, tally.reports), ("p", 2));
    // What a stranger claims is of no product.
    assert_eq!(tally.refusals().collect::<Vec<_>>(), [(Some(Reason::BodyMalformed), 1)]);
}

#[test]
fn who_settles_writes_down_the_minute_that_goes_on() {
    let mut stage = Stage::new();
    stage.play("h1 wants p,d,2,86400; found; h1 connects; done; s1 posts; on; done");
    stage.play("settle");
    assert_eq!(stage.rates.iter().map(|minute| minute.all.reports).collect::<Vec<_>>(), [1]);
}
