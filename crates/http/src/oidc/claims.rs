//! What the provider says of somebody: claims of the ID token, which was verified, and of its userinfo.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use narrowgate_api::access::Role;
use narrowgate_platform::service::Placed;
use serde_json::{Map, Value};

/// The claims of an address of mail: whether it was verified is said beside it.
const EMAIL: &str = "email";
const EMAIL_VERIFIED: &str = "email_verified";

/// The group of everybody.
const EVERYBODY: &str = "*";

/// What the members of a group may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleRule {
    /// The group; `*`: everybody.
    pub group: String,
    /// The role.
    pub role: Role,
    /// The organisation unit, by its key or its name; `None`: all.
    pub ou: Option<String>,
}

/// All that is said of somebody.
#[derive(Debug)]
pub(super) struct Claims(Map<String, Value>);

impl Claims {
    /// Those of an ID token that was verified.
    ///
    /// # Errors
    /// It cannot be read, for people.
    pub(super) fn of_token(token: &str) -> Result<Self, String> {
        let unread = || "it cannot be read".to_owned();
        let payload = token.split('.').nth(1).ok_or_else(unread)?;
        let payload = BASE64_URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).map_err(|_| unread())?;
        serde_json::from_slice(&payload).map(Self).map_err(|_| unread())
    }

    /// Adds what is not there yet.
    ///
    /// # Errors
    /// It is not said of this subject, for people.
    pub(super) fn add_info(&mut self, body: &[u8], subject: &str) -> Result<(), String> {
        let unread = |_| "userinfo cannot be read: it has to be JSON".to_owned();
        let info: Map<String, Value> = serde_json::from_slice(body).map_err(unread)?;
        // OpenID Connect Core, 5.3.2: else it must not be used.
        if info.get("sub").and_then(Value::as_str) != Some(subject) {
            return Err("userinfo is of somebody else".to_owned());
        }
        // Whether an address was verified is said of the one that stands beside it, and of no other.
        let of_info = info.get(EMAIL).cloned();
        if !self.has(EMAIL) && of_info.is_some() {
            self.0.remove(EMAIL_VERIFIED);
        }
        let is_of_another = self.0.get(EMAIL).is_some_and(|own| Some(own) != of_info.as_ref());
        for (name, value) in info {
            if name != EMAIL_VERIFIED || !is_of_another {
                self.0.entry(name).or_insert(value);
            }
        }
        Ok(())
    }

    /// Whether the claim is there that is the name, with what is said beside it.
    pub(super) fn has_name(&self, claim: &str) -> bool {
        self.has(claim) && (claim != EMAIL || self.has(EMAIL_VERIFIED))
    }

    /// Who it is at the provider, which gives that to nobody else.
    pub(super) fn subject(&self) -> String {
        self.0.get("sub").and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// Passes where this claim has this value, or is a list that has it.
    ///
    /// # Errors
    /// It has not, for people.
    pub(super) fn require(&self, claim: &str, value: &str) -> Result<(), String> {
        let is_it = |said: &Value| match said {
            Value::String(said) => said == value,
            Value::Bool(_) | Value::Number(_) => {
                // As it is written in JSON: compared as it is, it would equal no text.
                let said = said.to_string();
                said == value
            }
            _ => false,
        };
        let has = self.0.get(claim).is_some_and(|said| match said {
            Value::Array(all) => all.iter().any(is_it),
            said => is_it(said),
        });
        if has { Ok(()) } else { Err(format!("the claim {claim} is not as oidc.required_claim wants it")) }
    }

    /// Whether a claim is there.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The name of the user.
    ///
    /// # Errors
    /// There is none, for people.
    pub(super) fn name(&self, claim: &str) -> Result<String, String> {
        let Some(name) = self.0.get(claim).and_then(Value::as_str).filter(|name| !name.is_empty()) else {
            return Err(format!(
                "the identity provider does not say the claim {claim}; see oidc.user_claim and oidc.scopes"
            ));
        };
        if claim == EMAIL && self.0.get(EMAIL_VERIFIED) != Some(&Value::Bool(true)) {
            return Err(
                "the identity provider has not verified the email address (email_verified)".to_owned()
            );
        }
        Ok(name.to_owned())
    }

    /// What the first rule says that fits.
    pub(super) fn placed(&self, claim: &str, rules: &[RoleRule]) -> Placed {
        let groups = match self.0.get(claim) {
            Some(Value::Array(groups)) => groups.iter().filter_map(Value::as_str).collect(),
            Some(Value::String(group)) => vec![group.as_str()],
            _ => Vec::new(),
        };
        let fits = |rule: &&RoleRule| rule.group == EVERYBODY || groups.contains(&rule.group.as_str());
        match rules.iter().find(fits) {
            Some(RoleRule { role, ou, .. }) => Placed::As { role: *role, ou: ou.clone() },
            None => Placed::Nowhere,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims(value: Value) -> Claims {
        let Value::Object(map) = value else { panic!("it is an object") };
        Claims(map)
    }

    #[test]
    fn a_name_is_one_claim_and_an_email_address_must_be_verified() {
        let name = |value, claim| claims(value).name(claim).ok();
        assert_eq!(name(json!({"preferred_username": "ann"}), "preferred_username"), Some("ann".to_owned()));
        for bad in [json!({}), json!({"n": ""}), json!({"n": 7}), json!({"n": ["ann"]}), json!({"N": "ann"})]
        {
            assert_eq!(name(bad.clone(), "n"), None, "{bad}");
        }
        let email = |verified| name(json!({"email": "a@b", "email_verified": verified}), "email");
        assert_eq!(email(json!(true)), Some("a@b".to_owned()));
        assert_eq!((email(json!(false)), email(json!("true")), email(Value::Null)), (None, None, None));
        assert_eq!(name(json!({"email": "a@b"}), "email"), None);
    }

    #[test]
    fn an_address_is_verified_by_what_stands_beside_it() {
        let merged = |token: Value, info: Value| {
            let mut claims = claims(token);
            claims.add_info(info.to_string().as_bytes(), "1").expect("it is of the same");
            claims.name("email").ok()
        };
        let info = |email: &str| json!({"sub": "1", "email": email, "email_verified": true});
        assert_eq!(merged(json!({"email": "boss@x"}), info("me@x")), None);
        assert_eq!(merged(json!({"email": "me@x"}), info("me@x")).as_deref(), Some("me@x"));
        assert_eq!(merged(json!({}), info("me@x")).as_deref(), Some("me@x"));
        let other = json!({"sub": "1", "email": "boss@x"});
        assert_eq!(merged(json!({"email_verified": true}), other), None);
        assert_eq!(merged(json!({"email": "me@x", "email_verified": false}), info("me@x")), None);
        assert!(!claims(json!({"email": "me@x"})).has_name("email"), "userinfo is asked");
        assert!(claims(json!({"n": "ann"})).has_name("n"));
    }

    #[test]
    fn a_claim_that_is_required_has_the_value_or_holds_it() {
        let has = |value: Value| claims(json!({"hd": value})).require("hd", "example.com").is_ok();
        assert!(has(json!("example.com")) && has(json!(["a", "example.com"])));
        for bad in [json!("example.com.evil"), json!(""), json!(null), json!({"example.com": 1}), json!([])] {
            assert!(!has(bad.clone()), "{bad}");
        }
        assert!(claims(json!({})).require("hd", "example.com").is_err());
        assert!(claims(json!({"ok": true})).require("ok", "true").is_ok());
    }

    #[test]
    fn the_first_rule_that_fits_says_the_role() {
        let rule = |group: &str, role, ou: Option<&str>| RoleRule {
            group: group.to_owned(),
            role,
            ou: ou.map(str::to_owned),
        };
        let mut rules =
            vec![rule("root", Role::Administrator, None), rule("north", Role::Operator, Some("north"))];
        let placed = |value, rules: &[RoleRule]| claims(value).placed("groups", rules);
        let north = Placed::As { role: Role::Operator, ou: Some("north".to_owned()) };
        assert_eq!(placed(json!({"groups": ["x", "north"]}), &rules), north);
        assert_eq!(placed(json!({"groups": "north"}), &rules), north);
        let root = Placed::As { role: Role::Administrator, ou: None };
        assert_eq!(placed(json!({"groups": ["north", "root"]}), &rules), root);
        for none in [
            json!({}),
            json!({"groups": []}),
            json!({"groups": ["roots", 1]}),
            json!({"groups": {"root": 1}}),
        ] {
            assert_eq!(placed(none.clone(), &rules), Placed::Nowhere, "{none}");
        }
        rules.push(rule("*", Role::Viewer, None));
        assert_eq!(placed(json!({}), &rules), Placed::As { role: Role::Viewer, ou: None });
    }

    #[test]
    fn what_is_said_of_somebody_else_is_not_taken_and_nothing_takes_the_place_of_the_token() {
        let mut own = claims(json!({"sub": "1", "groups": ["north"]}));
        assert!(own.add_info(br#"{"sub":"2","n":"bob"}"#, "1").is_err());
        assert!(own.add_info(br#"{"n":"bob"}"#, "1").is_err());
        assert!(own.add_info(b"ey.ey.ey", "1").is_err());
        assert_eq!(own.add_info(br#"{"sub":"1","n":"ann","groups":["root"]}"#, "1"), Ok(()));
        assert_eq!(own.name("n").as_deref(), Ok("ann"));
        assert_eq!(own.0["groups"], json!(["north"]));
    }
}
