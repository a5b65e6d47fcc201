//! Mutates real flights until something breaks or the wanted number is reached, and says what came of it:
//! `cargo run --release -p narrowgate-dtls --example mutations -- 10000000 [seed]`.

#![allow(clippy::print_stdout, reason = "it is here to print")]

#[path = "../tests/util/mod.rs"]
mod util;

use util::campaign::Campaign;

fn main() {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse().expect("a number"));
    let mutations = arguments.next().unwrap_or(1_000_000);
    let seed = arguments.next().unwrap_or(1);
    println!("{mutations} mutations from seed {seed}");
    let mut campaign = Campaign::new(seed);
    campaign.run(mutations);
    let report = &campaign.report;
    println!("handshakes              {:>12}", report.handshakes);
    println!("ruined, then repeated   {:>12}", report.ruined);
    println!("bytes of a handshake    {:>12}  at most", report.handshake_bytes);
    for (name, count) in report.reasons() {
        println!("dropped, {name:<26} {count:>12}");
    }
}
