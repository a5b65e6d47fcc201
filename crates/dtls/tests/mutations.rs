//! Mutated flights against the front door, handshakes and sessions; bounded here, as many as wanted by
//! `cargo run --release -p narrowgate-dtls --example mutations -- 10000000`.

mod util;

use util::campaign::Campaign;

#[test]
fn twenty_thousand_mutations_stick_nothing_and_deliver_nothing() {
    let mut campaign = Campaign::new(1);
    campaign.run(20_000);
    let report = &campaign.report;
    // Else the mutations have lost their teeth, or break everything at the first byte.
    assert!(report.reasons().count() >= 20, "{:?}", report.reasons().collect::<Vec<_>>());
    assert!(report.ruined * 2 < report.handshakes, "{report:?}");
}
