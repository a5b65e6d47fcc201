//! The audit log: what operators changed, and which secrets they read.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    names::UnixMillis,
    query::{TimeText, time},
};

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AuditOutcome {
    /// It was done.
    Done,
    /// A part of it was done, and the rest was not; `detail` says how much.
    Partly,
    /// The caller's role does not permit it; nothing was done.
    Refused,
    /// Nothing was done.
    Failed,
    /// It is not known whether it happened: the server ended before the answer, or the answer was a fault of
    /// the server (5xx), which may come after a change.
    Unknown,
}

/// An entry. Its canonical form is the JSON of all fields but `hash`, in this order, without white space.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditEntry {
    /// Counts from 1, without a gap; left out where an administrator of one unit reads it, as is the hash.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub seq: u64,
    /// When it was asked for.
    pub time: UnixMillis,
    /// Who: a user, or `owner`, the owner of the data directory; left out of a token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Who: the name of a token; left out of a user. A login that failed has neither.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The organisation unit of who asked; null: all.
    pub caller_ou: Option<String>,
    /// The address that it was asked for from: behind a proxy the one that it names last, as far as it can be
    /// trusted; null where it names none, on the control socket, where nobody asked over HTTP, and where an
    /// administrator of one unit reads what others did in it.
    pub address: Option<String>,
    /// What was done, as a stable word: `devices.disable`.
    pub action: String,
    /// To what: the path behind `/api/v1`, with the keys of a device.
    pub target: String,
    /// The organisation unit of that; null where it is not known, or there is none.
    pub ou: Option<String>,
    /// What became of it.
    pub outcome: AuditOutcome,
    /// The HTTP status of the answer; null where there was none.
    pub status: Option<u16>,
    /// The code of the problem, where it was one; `replayed`: an answer was given again (`Idempotency-Key`);
    /// `oidc_…`: why a login by the identity provider has failed.
    pub code: Option<String>,
    /// What was changed, in a few fields that are no secret: `{"role":"viewer"}`; left out where there are
    /// none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub detail: BTreeMap<String, String>,
    /// How many before this one have no entry of their own: logins that failed, or of the same caller what
    /// its role does not permit and exports; left out where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_out: Option<u64>,
    /// The request, as in the header `X-Request-Id`; null of a command that opened the store itself.
    pub request_id: Option<String>,
    /// SHA-256 over the hash of the entry before (32 bytes; of the first: zeros) and the canonical form, as
    /// 64 hexadecimal digits.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hash: String,
}

fn is_zero(seq: &u64) -> bool {
    *seq == 0
}

/// Which entries to list.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuditQuery {
    /// From this time on (inclusive).
    #[schemars(with = "Option<TimeText>")]
    #[serde(default, deserialize_with = "time", skip_serializing_if = "Option::is_none")]
    pub from: Option<UnixMillis>,
    /// Up to this time (exclusive).
    #[schemars(with = "Option<TimeText>")]
    #[serde(default, deserialize_with = "time", skip_serializing_if = "Option::is_none")]
    pub to: Option<UnixMillis>,
    /// Only of this user or token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// Only this action, or those that begin with it and a dot: `devices`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Only of targets that begin so: `/products/MuGsF6W4`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// At most so many, 1 to 1000.
    #[schemars(range(min = 1, max = 1000))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// `nextCursor` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// Which part of the chain to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuditChainQuery {
    /// Only entries behind this number; all where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
}

/// Where a chain ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditHead {
    /// The hash of the last entry, 64 hexadecimal digits; zeros where there is none.
    pub head: String,
    /// How many entries there were ever: the number of the last one.
    pub count: u64,
}

/// The last line of an export, and the ends of a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditEnds {
    /// Where it ends.
    #[serde(flatten)]
    pub end: AuditHead,
    /// How many of the oldest entries were deleted after their time.
    pub pruned: u64,
    /// The hash of the last one of them: what the first one that is left follows.
    pub anchor: String,
}

/// A part of the chain, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditChain {
    /// Entries, each as the line of an export: the JSON over which its hash goes, and the hash.
    pub lines: Vec<String>,
    /// The ends of the whole chain.
    #[serde(flatten)]
    pub ends: AuditEnds,
    /// The end that the store has noted beside the chain; the chain must reach it.
    pub noted: Option<AuditHead>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_without_its_hash_is_its_canonical_form() {
        let mut entry = AuditEntry {
            seq: 7,
            time: UnixMillis(1),
            user: None,
            token: Some("ci".into()),
            caller_ou: None,
            address: Some("192.0.2.7".into()),
            action: "devices.disable".into(),
            target: "/products/pk/devices/a%2Fb".into(),
            ou: Some("o00000000000001".into()),
            outcome: AuditOutcome::Done,
            status: Some(200),
            code: None,
            detail: BTreeMap::new(),
            left_out: None,
            request_id: Some("1-2".into()),
            hash: String::new(),
        };
        let canonical = concat!(
            r#"{"seq":7,"time":1,"token":"ci","callerOu":null,"address":"192.0.2.7","#,
            r#""action":"devices.disable","target":"/products/pk/devices/a%2Fb","ou":"o00000000000001","#,
            r#""outcome":"done","status":200,"code":null,"requestId":"1-2"}"#
        );
        assert_eq!(serde_json::to_string(&entry).expect("it can be written"), canonical);
        entry.hash = "00".into();
        let line = serde_json::to_string(&entry).expect("it can be written");
        assert_eq!(line, canonical.replace("\"1-2\"}", "\"1-2\",\"hash\":\"00\"}"));
        assert_eq!(serde_json::from_str::<AuditEntry>(&line).expect("it can be read"), entry);
        entry.detail = BTreeMap::from([("role".into(), "viewer".into()), ("ou".into(), "north".into())]);
        let line = serde_json::to_string(&entry).expect("it can be written");
        assert!(
            line.contains(r#""code":null,"detail":{"ou":"north","role":"viewer"},"requestId""#),
            "{line}"
        );
        assert_eq!(serde_json::from_str::<AuditEntry>(&line).expect("it can be read"), entry);
    }

    #[test]
    fn a_chain_is_one_object() {
        let end = AuditHead { head: "aa".into(), count: 3 };
        let ends = AuditEnds { end: end.clone(), pruned: 1, anchor: "bb".into() };
        let chain = AuditChain { lines: vec!["{}".into()], ends, noted: Some(end) };
        let json = serde_json::to_string(&chain).expect("it can be written");
        let expected = concat!(
            r#"{"lines":["{}"],"head":"aa","count":3,"pruned":1,"anchor":"bb","#,
            r#""noted":{"head":"aa","count":3}}"#
        );
        assert_eq!(json, expected);
        assert_eq!(serde_json::from_str::<AuditChain>(&json).expect("it can be read"), chain);
    }
}
