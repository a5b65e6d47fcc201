use std::collections::BTreeMap;

use narrowgate_api::{audit::AuditOutcome, names::UnixMillis};
use proptest::prelude::*;

use super::*;

fn entry(n: i64) -> AuditEntry {
    AuditEntry {
        seq: 0,
        time: UnixMillis(n),
        user: Some("owner".into()),
        token: None,
        caller_ou: None,
        address: None,
        action: "products.update".into(),
        target: format!("/products/pk-{n}"),
        ou: None,
        outcome: AuditOutcome::Done,
        status: Some(200),
        code: None,
        detail: BTreeMap::new(),
        left_out: None,
        request_id: None,
        hash: String::new(),
    }
}

/// A chain of so many lines, and its end.
fn chain(count: i64) -> (Vec<String>, ChainEnd) {
    let mut end = ChainEnd::EMPTY;
    let lines = (1..=count).map(|n| end.append(&entry(n)).shown()).collect();
    (lines, end)
}

fn verify(lines: &[String], known: &[ChainEnd]) -> Result<ChainEnd, Broken> {
    let mut verifier = Verifier::new(ChainEnd::EMPTY);
    for known in known {
        verifier.must_reach(*known)?;
    }
    lines.iter().try_for_each(|line| verifier.take(line))?;
    verifier.finish()
}

/// The entry at which a chain breaks.
fn breaks_at(lines: &[String], known: &[ChainEnd]) -> Option<u64> {
    verify(lines, known).err().map(|broken| broken.seq)
}

#[test]
fn a_whole_chain_ends_with_its_head_and_its_count() {
    let (lines, end) = chain(5);
    assert_eq!(verify(&lines, &[end]), Ok(end));
    assert_eq!(verify(&[], &[]), Ok(ChainEnd::EMPTY));
    // An end that it had earlier is met, too.
    assert_eq!(verify(&lines, &[chain(3).1, ChainEnd::EMPTY]), Ok(end));
}

/// Computed with `sha256sum`, so that others can verify a chain by what docs/security.md says.
#[test]
fn the_hash_goes_over_the_hash_before_and_the_line_without_its_hash() {
    let (lines, _) = chain(1);
    let form = concat!(
        r#"{"seq":1,"time":1,"user":"owner","callerOu":null,"address":null,"action":"products.update","#,
        r#""target":"/products/pk-1","ou":null,"outcome":"done","status":200,"code":null,"requestId":null}"#
    );
    let hash = "e70cf9de73e264e94e782538ed809a5297ebce68da76a88dd58100a0fd7b4196";
    let without_brace = form.strip_suffix('}').expect("it ends so");
    assert_eq!(lines[0], format!("{without_brace},\"hash\":\"{hash}\"}}"));
}

#[test]
fn what_was_tampered_with_is_named() {
    let (lines, end) = chain(5);
    for at in 0..5 {
        let number = at as u64 + 1;
        let mut changed = lines.clone();
        changed[at] = changed[at].replace("products.update", "products.create");
        assert_eq!(breaks_at(&changed, &[]), Some(number), "changed");
        let mut removed = lines.clone();
        removed.remove(at);
        assert_eq!(breaks_at(&removed, &[end]), Some(number), "removed");
        if at < 4 {
            let mut swapped = lines.clone();
            swapped.swap(at, at + 1);
            assert_eq!(breaks_at(&swapped, &[]), Some(number), "reordered");
        }
    }
}

#[test]
fn an_entry_whose_hash_was_made_anew_breaks_the_chain_behind_it() {
    let (lines, end) = chain(5);
    for at in 0..5_usize {
        let (_, mut before) = chain(at as i64);
        let forged = before.append(&AuditEntry { action: "devices.delete".into(), ..entry(at as i64 + 1) });
        let mut lines = lines.clone();
        lines[at] = forged.shown();
        // The last one is known by the head alone.
        let expected = if at < 4 { at as u64 + 2 } else { 5 };
        assert_eq!(breaks_at(&lines, &[end]), Some(expected));
    }
}

#[test]
fn a_chain_that_was_cut_short_or_made_anew_does_not_reach_its_head() {
    let (lines, end) = chain(5);
    assert_eq!(breaks_at(&lines[..3], &[]), None, "it is whole by itself");
    assert_eq!(breaks_at(&lines[..3], &[end]), Some(4));
    let mut other = ChainEnd::EMPTY;
    let anew: Vec<_> = (2..=6).map(|n| other.append(&entry(n)).shown()).collect();
    assert_eq!(breaks_at(&anew, &[]), None);
    assert_eq!(breaks_at(&anew, &[end]), Some(5));
}

#[test]
fn a_chain_whose_oldest_entries_were_deleted_begins_with_their_anchor() {
    let (lines, end) = chain(5);
    let (_, anchor) = chain(2);
    let verify = |begin: ChainEnd, known: ChainEnd| {
        let mut verifier = Verifier::new(begin);
        verifier.must_reach(known)?;
        lines[2..].iter().try_for_each(|line| verifier.take(line))?;
        verifier.finish()
    };
    assert_eq!(verify(anchor, end), Ok(end));
    assert_eq!(verify(anchor, anchor), Ok(end));
    let wrong = ChainEnd { head: end.head, ..anchor };
    assert_eq!(verify(wrong, end).expect_err("it begins elsewhere").seq, 3);
    assert_eq!(verify(anchor, wrong).expect_err("it had another hash").seq, 2);
    let gone = verify(anchor, chain(1).1).expect_err("nobody can tell");
    assert_eq!(gone.to_string(), "entry 1: it was deleted after its time; the chain begins with entry 3");
}

#[test]
fn what_is_no_line_is_refused_without_a_panic() {
    let (lines, _) = chain(1);
    let line = &lines[0];
    for wrong in [
        "",
        "{}",
        "null",
        ",\"hash\":\"\"}",
        &line[1..],
        &line[..line.len() - 1],
        &line.to_uppercase(),
        &line.replace("\"seq\":1", "\"seq\":1,\"seq\":1"),
        &line.replace("\"seq\":1", "\"seq\":-1"),
        &line.replace(":\"done\"", ": \"done\""),
        &format!("{line} "),
    ] {
        assert_eq!(breaks_at(&[wrong.to_owned()], &[]), Some(1), "{wrong}");
    }
}

proptest! {
    #[test]
    fn any_text_never_panics(text in ".{0,200}") {
        prop_assert!(breaks_at(&[text], &[]).is_some());
    }

    #[test]
    fn no_character_of_a_chain_can_be_another_one(
        number in 0..3_usize,
        place in 0..300_usize,
        other in proptest::char::range(' ', '~'),
    ) {
        let (mut lines, _) = chain(3);
        let at = place % lines[number].len();
        prop_assume!(!lines[number][at..].starts_with(other));
        lines[number].replace_range(at..=at, &other.to_string());
        let broken = breaks_at(&lines, &[]);
        prop_assert!(broken.is_some_and(|seq| seq <= number as u64 + 1), "{}", lines[number]);
    }
}
