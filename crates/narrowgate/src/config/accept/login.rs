//! What settings of the identity provider accept.

use narrowgate_api::access::Role;
use narrowgate_http::oidc::RoleRule;

use super::{Accept, host::parts_of};

/// Longest text.
const TEXT_BYTES_MAX: usize = 200;

/// Hosts that are this machine.
const THIS_MACHINE: [&str; 3] = ["127.0.0.1", "[::1]", "localhost"];

/// Whether a site, as [`super::Site`] accepts it, is reached by TLS or on this machine alone: what goes
/// there is seen by nobody on the way.
pub(in crate::config) fn is_safe_site(site: &str) -> bool {
    let host = site.strip_prefix("http://").and_then(parts_of);
    host.is_none_or(|(host, _)| THIS_MACHINE.contains(&host))
}

/// The address of a provider.
#[derive(Debug)]
pub(crate) struct Issuer;

impl Accept for Issuer {
    type Value = String;

    fn parse(&self, text: &str) -> Result<String, String> {
        let refused = || format!("{text:?} is not the address of a provider; use {}", self.accepted());
        let is_path = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%/:@[]+".contains(&byte);
        if text.len() > TEXT_BYTES_MAX || !text.bytes().all(is_path) {
            return Err(refused());
        }
        let (scheme, rest) = text.split_once("://").ok_or_else(refused)?;
        let (host, port) = parts_of(rest.split('/').next().unwrap_or_default()).ok_or_else(refused)?;
        if port.is_some_and(|port| !port.parse().is_ok_and(|port: u16| port > 0)) {
            return Err(refused());
        }
        match scheme {
            "https" => Ok(text.to_owned()),
            "http" if THIS_MACHINE.contains(&host) => Ok(text.to_owned()),
            "http" => Err(format!("{text:?} has no TLS, which is possible on this machine alone")),
            _ => Err(refused()),
        }
    }

    fn accepted(&self) -> String {
        "https://login.example or https://login.example/realms/plant".to_owned()
    }
}

/// A line of text.
#[derive(Debug)]
pub(crate) struct Text;

impl Accept for Text {
    type Value = String;

    fn parse(&self, text: &str) -> Result<String, String> {
        match is_text(text) {
            true => Ok(text.to_owned()),
            false => Err(format!("{text:?} is not {}", self.accepted())),
        }
    }

    fn accepted(&self) -> String {
        format!("a text of 1 to {TEXT_BYTES_MAX} bytes")
    }
}

fn is_text(text: &str) -> bool {
    !text.trim().is_empty() && text.len() <= TEXT_BYTES_MAX && !text.contains(char::is_control)
}

/// Words without spaces, separated by commas.
#[derive(Debug)]
pub(crate) struct Words;

impl Accept for Words {
    type Value = Vec<String>;
    const LIST: bool = true;

    fn parse(&self, text: &str) -> Result<Vec<String>, String> {
        let words = text.split(',').map(str::trim);
        let is_word = |word: &str| is_text(word) && word.bytes().all(|byte| byte.is_ascii_graphic());
        let read = |word: &str| match is_word(word) {
            true => Ok(word.to_owned()),
            false => Err(format!("{word:?} is not a word without spaces")),
        };
        words.map(read).collect()
    }

    fn accepted(&self) -> String {
        "such as profile, email, groups".to_owned()
    }
}

/// A claim and the value that it must have.
#[derive(Debug)]
pub(crate) struct Claim;

impl Accept for Claim {
    type Value = (String, String);

    fn parse(&self, text: &str) -> Result<(String, String), String> {
        let parts = text.split_once('=').map(|(name, value)| (name.trim(), value.trim()));
        match parts.filter(|(name, value)| is_text(name) && is_text(value)) {
            Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
            None => Err(format!("{text:?} is not {}", self.accepted())),
        }
    }

    fn accepted(&self) -> String {
        "NAME=VALUE, such as hd=example.com".to_owned()
    }
}

/// Roles of groups, separated by commas.
#[derive(Debug)]
pub(crate) struct Roles;

impl Accept for Roles {
    type Value = Vec<RoleRule>;
    const LIST: bool = true;

    fn parse(&self, text: &str) -> Result<Vec<RoleRule>, String> {
        text.split(',').map(|rule| self.rule(rule.trim())).collect()
    }

    fn accepted(&self) -> String {
        "GROUP=ROLE or GROUP=ROLE@UNIT, such as admins=administrator, north-team=operator@north, *=viewer, \
         where ROLE is viewer, operator or administrator and * is everybody"
            .to_owned()
    }
}

impl Roles {
    fn rule(&self, text: &str) -> Result<RoleRule, String> {
        let refused = || format!("{text:?} is not {}", self.accepted());
        // The name of a group may have an equals sign.
        let (group, what) = text.rsplit_once('=').ok_or_else(refused)?;
        let (role, ou) = what.split_once('@').map_or((what, None), |(role, ou)| (role, Some(ou)));
        let role = match role.trim() {
            "viewer" => Role::Viewer,
            "operator" => Role::Operator,
            "administrator" => Role::Administrator,
            _ => return Err(refused()),
        };
        let (group, ou) = (group.trim(), ou.map(str::trim));
        if !is_text(group) || ou.is_some_and(|ou| !is_text(ou)) {
            return Err(refused());
        }
        Ok(RoleRule { group: group.to_owned(), role, ou: ou.map(str::to_owned) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_has_tls_or_is_on_this_machine() {
        for text in [
            "https://login.example",
            "https://login.example/realms/plant",
            "https://login.example:8443/",
            "https://10.0.0.5/realm",
            "http://127.0.0.1:9000",
            "http://localhost:9000/x",
        ] {
            assert_eq!(Issuer.parse(text).as_deref(), Ok(text));
        }
        let no_tls = Issuer.parse("http://login.example").unwrap_err();
        assert!(no_tls.contains("has no TLS"), "{no_tls}");
        for text in ["", "login.example", "https://", "https://h?x", "https://h#x", "https://h:0", "ldap://h"]
        {
            assert!(Issuer.parse(text).unwrap_err().contains("use https://login.example"), "{text}");
        }
    }

    #[test]
    fn roles_are_of_groups_in_units_or_in_all() {
        let rule = |group: &str, role, ou: Option<&str>| RoleRule {
            group: group.to_owned(),
            role,
            ou: ou.map(str::to_owned),
        };
        assert_eq!(
            Roles.parse("admins=administrator, cn=north=operator@north,*=viewer"),
            Ok(vec![
                rule("admins", Role::Administrator, None),
                rule("cn=north", Role::Operator, Some("north")),
                rule("*", Role::Viewer, None),
            ])
        );
        for text in ["", "admins", "=viewer", "admins=root", "a=viewer@", "a=viewer,", "a=Viewer"] {
            assert!(Roles.parse(text).unwrap_err().contains("GROUP=ROLE@UNIT"), "{text}");
        }
    }

    #[test]
    fn a_claim_has_a_name_and_a_value() {
        let claim = |text: &str| Claim.parse(text).ok();
        assert_eq!(claim("hd=example.com"), Some(("hd".to_owned(), "example.com".to_owned())));
        assert_eq!(claim("a = b=c"), Some(("a".to_owned(), "b=c".to_owned())));
        assert_eq!((claim("hd"), claim("=x"), claim("hd= "), claim("")), (None, None, None, None));
    }

    #[test]
    fn a_site_without_tls_is_safe_on_this_machine_alone() {
        for site in ["https://gate.example", "http://127.0.0.1:8080", "http://[::1]", "http://localhost:80"] {
            assert!(is_safe_site(site), "{site}");
        }
        for site in ["http://gate.example", "http://127.0.0.1.example", "http://192.0.2.1:8080"] {
            assert!(!is_safe_site(site), "{site}");
        }
    }

    #[test]
    fn texts_and_words_are_short_and_can_be_shown() {
        assert_eq!(Text.parse("single sign-on").as_deref(), Ok("single sign-on"));
        assert!(
            Text.parse(" ").is_err() && Text.parse("a\nb").is_err() && Text.parse(&"a".repeat(201)).is_err()
        );
        assert_eq!(Words.parse("profile, email"), Ok(vec!["profile".to_owned(), "email".to_owned()]));
        assert!(Words.parse("a b").is_err() && Words.parse("").is_err() && Words.parse("a,").is_err());
    }
}
