//! Texts that open something: tokens, sessions, one-time links, and what goes with a session.
//!
//! Each has 256 random bits and a prefix, by which people and scanners recognise it. The store keeps the
//! SHA-256 alone: neither guesses nor the time of a look-up tell anything about a text.

use hmac::{Hmac, KeyInit as _, Mac as _};
use narrowgate_api::secret::SecretText;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::{
    firmware::Sha256Sum,
    hex,
    model::user::{PasswordHash, User},
    ports::Entropy,
};

/// Random bytes of a text.
const BYTES: usize = 32;
/// Random bytes in the name of a browser.
const BROWSER_BYTES: usize = 16;
/// What the name of a browser begins with.
const BROWSER_PREFIX: &str = "ngb_";

/// What a text opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opens {
    /// The API, for a program.
    Token,
    /// The API, for a user's browser.
    Session,
    /// The page that sets a password.
    Link,
}

impl Opens {
    fn prefix(self) -> &'static str {
        match self {
            Self::Token => "ngt_",
            Self::Session => "ngs_",
            Self::Link => "ngl_",
        }
    }

    /// A new text.
    pub(super) fn draw(self, entropy: &dyn Entropy) -> SecretText {
        let mut bytes = Zeroizing::new([0; BYTES]);
        entropy.fill(&mut *bytes);
        let digits = Zeroizing::new(hex::write(&*bytes));
        SecretText::new([self.prefix(), &digits].concat())
    }

    /// The SHA-256 of a text; `None`: the text is none of this kind.
    pub(super) fn hash(self, text: &str) -> Option<Sha256Sum> {
        let digits = text.strip_prefix(self.prefix())?;
        (digits.len() == 2 * BYTES && is_hex(digits)).then(|| hash_of(text))
    }
}

/// The SHA-256 of the text of a token; `None`: the text is none.
pub fn token_hash(text: &str) -> Option<Sha256Sum> {
    Opens::Token.hash(text)
}

/// The SHA-256 of what a browser sends as its session; `None`: the text is none.
pub fn session_hash(text: &str) -> Option<Sha256Sum> {
    Opens::Session.hash(text)
}

pub(super) fn hash_of(text: &str) -> Sha256Sum {
    Sha256Sum(Sha256::digest(text).into())
}

/// What a page of ours sends with a change, beside the session: no other page can read it. It is made of the
/// session's text, and says nothing about it.
pub fn form_token(session: &str) -> SecretText {
    let digest = Sha256::new().chain_update("narrowgate form token\0").chain_update(session).finalize();
    SecretText::new(hex::write(&digest))
}

/// Whether a form token belongs to the session of this text.
pub fn is_form_token(token: &str, session: &str) -> bool {
    form_token(session).expose().as_bytes().ct_eq(token.as_bytes()).into()
}

/// A seal of texts that a page of ours sends through the browser, in this order. It is made with the token of
/// the session's forms: who does not know that makes none.
pub fn form_seal<'a>(form_token: &str, texts: impl IntoIterator<Item = &'a str>) -> String {
    // Of any length: a token has 256 bits.
    let mac = Hmac::<Sha256>::new_from_slice(form_token.as_bytes()).expect("HMAC takes keys of any length");
    let mac = mac.chain_update("narrowgate form seal\0");
    // With its length, so that what ends one text begins no other one.
    let mac = texts
        .into_iter()
        .fold(mac, |mac, text| mac.chain_update((text.len() as u64).to_be_bytes()).chain_update(text));
    hex::write(&mac.finalize().into_bytes())
}

/// Whether a seal is of these texts, and of the session with this token.
pub fn is_form_seal<'a>(seal: &str, form_token: &str, texts: impl IntoIterator<Item = &'a str>) -> bool {
    form_seal(form_token, texts).as_bytes().ct_eq(seal.as_bytes()).into()
}

/// A name for a browser in which a user has logged in. Only who knows the user's hash makes one, and with
/// another password it is worth nothing.
pub(super) fn name_browser(entropy: &dyn Entropy, name: &str, password: &PasswordHash) -> SecretText {
    let mut nonce = [0; BROWSER_BYTES];
    entropy.fill(&mut nonce);
    let nonce = hex::write(&nonce);
    let tag = hex::write(&browser_tag(&nonce, name, password));
    SecretText::new([BROWSER_PREFIX, &nonce, &tag].concat())
}

/// Whether a browser has this name because this user has logged in there.
pub(super) fn is_browser_of(text: &str, user: &User) -> bool {
    let Some(rest) = text.strip_prefix(BROWSER_PREFIX).filter(|rest| rest.is_ascii()) else { return false };
    // What stands there for those who have none is no secret.
    let password = user.password.as_ref().filter(|password| !password.is_vouched());
    let (Some((nonce, tag)), Some(password)) = (rest.split_at_checked(2 * BROWSER_BYTES), password) else {
        return false;
    };
    let expected = hex::write(&browser_tag(nonce, &user.name, password));
    expected.as_bytes().ct_eq(tag.as_bytes()).into()
}

fn browser_tag(nonce: &str, name: &str, password: &PasswordHash) -> [u8; 32] {
    // Of any length: the hash of a password has 128 random bits of salt, and more of the password.
    let mac = Hmac::<Sha256>::new_from_slice(password.0.as_bytes()).expect("HMAC takes keys of any length");
    mac.chain_update("narrowgate browser\0")
        .chain_update(nonce)
        .chain_update(name)
        .finalize()
        .into_bytes()
        .into()
}

fn is_hex(digits: &str) -> bool {
    digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{SeededEntropy, store::users::user};

    #[test]
    fn what_has_not_the_form_of_a_text_is_none() {
        let digits = "0".repeat(64);
        assert!(token_hash(&format!("ngt_{digits}")).is_some());
        assert!(session_hash(&format!("ngs_{digits}")).is_some());
        let upper = format!("ngt_{}", "F".repeat(64));
        for text in ["", "ngt_", &digits, &upper, &format!("ngt_{digits}0"), &format!("ngs_{digits}")] {
            assert_eq!(token_hash(text), None, "{text}");
        }
    }

    #[test]
    fn no_two_texts_are_the_same_and_each_is_of_its_kind() {
        let entropy = SeededEntropy::new(1);
        let [first, second] = [Opens::Link, Opens::Link].map(|opens| opens.draw(&entropy));
        assert_ne!(first.expose(), second.expose());
        assert_eq!(Opens::Link.hash(first.expose()), Some(hash_of(first.expose())));
        assert_eq!(Opens::Session.hash(first.expose()), None);
    }

    #[test]
    fn a_form_token_belongs_to_one_session() {
        let token = form_token("ngs_1");
        assert!(is_form_token(token.expose(), "ngs_1"));
        assert!(!is_form_token(token.expose(), "ngs_2") && !is_form_token("", "ngs_1"));
        assert!(!token.expose().contains("ngs_1"));
    }

    #[test]
    fn a_seal_is_of_one_session_and_of_all_texts_in_their_order() {
        let texts = ["a", "bc", "d", ""];
        let seal = form_seal("t", texts);
        assert!(is_form_seal(&seal, "t", texts));
        for other in [["a", "b", "cd", ""], ["a", "bc", "d", "e"], ["d", "", "a", "bc"]] {
            assert!(!is_form_seal(&seal, "t", other), "{other:?}");
        }
        assert!(!is_form_seal(&seal, "t", ["a", "bc", "d"]) && !is_form_seal(&seal, "s", texts));
        assert!(!is_form_seal("", "t", texts) && !is_form_seal(&seal[..32], "t", texts));
    }

    #[test]
    fn a_browser_is_known_for_one_user_until_the_password_changes() {
        let (entropy, ann) = (SeededEntropy::new(1), user("ann"));
        let password = ann.password.clone().expect("it has one");
        let name = name_browser(&entropy, "ann", &password);
        assert!(is_browser_of(name.expose(), &ann));
        assert!(!is_browser_of(name.expose(), &user("bob")));
        let other = User { password: Some(PasswordHash("other".into())), ..ann.clone() };
        assert!(!is_browser_of(name.expose(), &other));
        assert!(!is_browser_of(name.expose(), &User { password: None, ..ann.clone() }));
        for text in ["", "ngb_", "ngb_é", &name.expose()[..67], &format!("{}0", name.expose())] {
            assert!(!is_browser_of(text, &ann), "{text}");
        }
    }
}
