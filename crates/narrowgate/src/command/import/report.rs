//! The summary of an import.

use narrowgate_api::import::{ImportFault, ImportReport, WeakSecrets};
use narrowgate_http::device_file::Similar;
use serde::Serialize;

use crate::{
    cli::Output,
    failure::Failure,
    output::{self, printable},
};

/// Faults listed in the table form; the rest is counted.
const FAULTS_SHOWN_MAX: usize = 20;

/// The result of an import. Created, skipped and failed add up to all rows.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Summary {
    pub(super) created: u64,
    pub(super) skipped: u64,
    pub(super) failed: Vec<ImportFault>,
    /// Skipped rows with the same secret as the device.
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) same_secret: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) weak_secrets: Option<WeakSecrets>,
    /// Generated secrets that were not shown.
    #[serde(skip)]
    pub(super) unused_secrets: u64,
    /// Secrets that an earlier import generated, and that may or may not be in force.
    #[serde(skip)]
    pub(super) unknown_secrets: usize,
    /// Whether the file names asset ids.
    #[serde(skip)]
    pub(super) names_assets: bool,
    #[serde(skip)]
    pub(super) similar: Similar,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Summary {
    /// Whether there is nothing to report.
    pub(super) fn is_empty(&self) -> bool {
        self.created == 0 && self.skipped == 0 && self.failed.is_empty()
    }

    pub(super) fn add(&mut self, piece: ImportReport) {
        self.created += piece.created;
        self.skipped += piece.skipped;
        self.failed.extend(piece.failed);
        self.same_secret += piece.same_secret;
        self.weak_secrets = match (self.weak_secrets, piece.weak_secrets) {
            (Some(before), Some(now)) => Some(before.with(now)),
            (before, now) => before.or(now),
        };
    }
}

/// Prints the summary.
pub(super) fn report(summary: &Summary, dry_run: bool, output: Output) -> Result<(), Failure> {
    if output == Output::Json {
        return output::json(summary);
    }
    notes(summary).iter().for_each(output::note);
    lines(summary, dry_run).iter().try_for_each(|line| output::line(line))
}

fn secrets_have(count: u64) -> String {
    match count {
        1 => "1 secret has".into(),
        count => format!("{count} secrets have"),
    }
}

/// What the operator should know besides the counts.
fn notes(summary: &Summary) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(weak) = summary.weak_secrets {
        let WeakSecrets { count, weakest_bits, weakest_line, as_generated } = weak;
        if count > as_generated {
            notes.push(format!(
                "warning: {} fewer than 128 bits and may be guessed offline \
                 from one recorded handshake; the weakest, in line {weakest_line}, has about {weakest_bits}",
                secrets_have(count - as_generated)
            ));
        }
        if as_generated > 0 {
            notes.push(format!(
                "{} fewer than 128 bits, but no fewer than those that narrowgate itself generates",
                secrets_have(as_generated)
            ));
        }
    }
    match summary.unused_secrets {
        0 => {}
        1 => notes.push(
            "1 of the devices came without a secret: it fetches its own (dynamic activation is on)"
                .to_owned(),
        ),
        count => notes.push(format!(
            "{count} of the devices came without a secret: they fetch their own (dynamic activation is on)"
        )),
    }
    let Similar { count, lines } = &summary.similar;
    if *count > 0 {
        let pairs: Vec<String> = lines.iter().map(|(line, other)| format!("{line} and {other}")).collect();
        let more = if *count > lines.len() as u64 { ", …" } else { "" };
        notes.push(format!(
            "warning: {count} of the device keys differ from another one in the file only in upper and \
             lower case (lines {}{more})",
            pairs.join(", ")
        ));
    }
    if summary.unknown_secrets > 0 {
        notes.push(format!(
            "lines without an asset id in the file of secrets: {}; an earlier import wrote them, \
             and no row of this one names their devices",
            summary.unknown_secrets
        ));
    }
    if summary.names_assets && summary.created > 0 {
        notes.push(
            "the column assetId is not imported: every new device gets an asset id of its own".to_owned(),
        );
    }
    notes
}

fn lines(summary: &Summary, dry_run: bool) -> Vec<String> {
    let Summary { created, skipped, failed, same_secret, .. } = summary;
    let verb = if dry_run { "would be created" } else { "created" };
    let mut lines = vec![format!("{created} {verb}, {skipped} skipped, {} failed", failed.len())];
    if *same_secret > 0 {
        lines.push(format!("  skipped: {same_secret}, because the device exists with the same secret"));
    }
    if skipped > same_secret {
        let rest = skipped - same_secret;
        lines.push(format!(
            "  skipped: {rest}, because the device exists; the row has no secret, the device keeps its own"
        ));
    }
    for ImportFault { line, column, message } in failed.iter().take(FAULTS_SHOWN_MAX) {
        let column = column.as_ref().map(|column| format!(", {column}")).unwrap_or_default();
        lines.push(format!("  line {line}{column}: {}", printable(message)));
    }
    if failed.len() > FAULTS_SHOWN_MAX {
        lines.push(format!("  and {} more; -o json lists all", failed.len() - FAULTS_SHOWN_MAX));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weak(count: u64, as_generated: u64) -> Option<WeakSecrets> {
        Some(WeakSecrets { count, weakest_bits: 14, weakest_line: 3, as_generated })
    }

    #[test]
    fn what_was_left_alone_is_said_with_its_reason() {
        let fault = ImportFault { line: 7, column: Some("deviceKey".into()), message: "it is empty".into() };
        let summary =
            Summary { created: 1, skipped: 3, same_secret: 2, failed: vec![fault], ..Summary::default() };
        assert_eq!(
            lines(&summary, false),
            [
                "1 created, 3 skipped, 1 failed",
                "  skipped: 2, because the device exists with the same secret",
                "  skipped: 1, because the device exists; the row has no secret, the device keeps its own",
                "  line 7, deviceKey: it is empty",
            ]
        );
        assert_eq!(
            serde_json::to_string(&summary).unwrap(),
            concat!(
                r#"{"created":1,"skipped":3,"failed":[{"line":7,"column":"deviceKey","#,
                r#""message":"it is empty"}],"sameSecret":2}"#
            )
        );
        let many = Summary { failed: vec![summary.failed[0].clone(); 25], ..Summary::default() };
        assert_eq!(lines(&many, true).last().unwrap(), "  and 5 more; -o json lists all");
    }

    #[test]
    fn attack_083_weak_secrets_are_flagged_and_generated_ones_apart_from_them() {
        let said = |weak_secrets| notes(&Summary { weak_secrets, ..Summary::default() }).join("\n");
        assert!(said(weak(2, 0)).starts_with("warning: 2 secrets have fewer than 128 bits"));
        assert!(said(weak(2, 0)).ends_with("the weakest, in line 3, has about 14"));
        assert!(said(weak(5, 3)).starts_with("warning: 2 secrets have"), "{}", said(weak(5, 3)));
        assert!(!said(weak(3, 3)).contains("warning"), "{}", said(weak(3, 3)));
        assert_eq!(said(None), "");
    }
}
