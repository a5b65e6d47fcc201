//! Secrets on their way into a page. None gets into the templates, whose memory grows by copies that nobody
//! wipes: what is secret in an answer of the API that shows some is taken out before that is read, and a mark
//! stands in its place. The page that was made gets the secrets for the marks in one piece of memory, which
//! is wiped.

use std::sync::{Mutex, OnceLock};

use narrowgate_platform::secret::Secret;
use zeroize::Zeroizing;

use crate::limiter::lock;

/// Fields whose texts are secrets, of answers that show some ([`Act::secret`](super::ask::Act::secret)).
/// `token` also names one, where it is none itself.
const FIELDS: [&[u8]; 6] = [b"deviceSecret", b"productSecret", b"pskHex", b"line", b"link", b"token"];

/// How the text of a token begins.
const TOKEN_BEGINS: &[u8] = b"ngt_";

/// Digits at the end of a mark.
const DIGITS: usize = 8;

/// Those of one page.
#[derive(Default)]
pub(super) struct Secrets {
    /// What no other text can be: the beginning of each mark.
    mark: OnceLock<String>,
    kept: Mutex<Vec<Secret>>,
}

impl Secrets {
    /// The same JSON with marks; `None`: it has no secret. It is as the API writes it, without spaces.
    pub(super) fn take_out(&self, json: &[u8]) -> Option<Vec<u8>> {
        let (mut marked, mut copied, mut at) = (Vec::new(), 0, 0);
        while let Some(begin) = json[at..].iter().position(|byte| *byte == b'"').map(|found| at + found) {
            let end = end_of_string(json, begin)?;
            at = end + 1;
            let is_field = FIELDS.contains(&&json[begin + 1..end]) && json[at..].starts_with(b":\"");
            if !is_field {
                continue;
            }
            let (value, end) = (at + 2, end_of_string(json, at + 1)?);
            at = end + 1;
            let is_token = json[begin + 1..].starts_with(b"token\"");
            let is_name = is_token && !json[value..].starts_with(TOKEN_BEGINS);
            if let Some(text) = unescaped(&json[value..end]).filter(|_| !is_name) {
                marked.extend_from_slice(&json[copied..value]);
                marked.extend_from_slice(self.keep(text)?.as_bytes());
                copied = end;
            }
        }
        marked.extend_from_slice(&json[copied..]);
        (copied > 0).then_some(marked)
    }

    /// Keeps a secret; its mark.
    fn keep(&self, secret: Secret) -> Option<String> {
        if self.mark.get().is_none() {
            let mut random = [0; 16];
            getrandom::fill(&mut random).ok()?;
            // Whoever was first.
            let _ = self.mark.set(format!("shown-{}-", hex::encode(random)));
        }
        let mut kept = lock(&self.kept);
        kept.push(secret);
        Some(format!("{}{:0DIGITS$}", self.mark.get()?, kept.len() - 1))
    }

    /// The document with its secrets; `None`: it has none.
    pub(super) fn put_in(&self, document: &str) -> Option<Zeroizing<Vec<u8>>> {
        let (mark, kept) = (self.mark.get()?, lock(&self.kept));
        let parts = || {
            let mut pieces = document.split(mark.as_str());
            let first = (pieces.next().unwrap_or_default(), "");
            let others = pieces.map(|piece| match piece.split_at_checked(DIGITS) {
                Some((digits, rest)) => (rest, digits),
                None => (piece, ""),
            });
            [first].into_iter().chain(others).map(|(text, digits)| {
                let secret = digits.parse().ok().and_then(|which: usize| kept.get(which));
                (secret.map(Secret::expose).unwrap_or_default(), text)
            })
        };
        let length = parts().map(|(secret, text)| escaped(secret).map(str::len).sum::<usize>() + text.len());
        let mut page = Zeroizing::new(Vec::with_capacity(length.sum()));
        for (secret, text) in parts() {
            escaped(secret).for_each(|piece| page.extend_from_slice(piece.as_bytes()));
            page.extend_from_slice(text.as_bytes());
        }
        Some(page)
    }
}

/// Where a string of JSON ends, which begins here; `None`: it does not.
fn end_of_string(json: &[u8], begin: usize) -> Option<usize> {
    let mut at = begin + 1;
    loop {
        match json.get(at)? {
            b'"' => return Some(at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// The text of a string of JSON, in one piece of memory; `None`: it is none of ours.
fn unescaped(raw: &[u8]) -> Option<Secret> {
    let mut text = Zeroizing::new(String::with_capacity(raw.len()));
    let mut rest = std::str::from_utf8(raw).ok()?;
    while let Some((plain, escape)) = rest.split_once('\\') {
        text.push_str(plain);
        let mut letters = escape.chars();
        match letters.next()? {
            letter @ ('"' | '\\' | '/') => text.push(letter),
            'n' => text.push('\n'),
            'r' => text.push('\r'),
            't' => text.push('\t'),
            'b' => text.push('\u{8}'),
            'f' => text.push('\u{c}'),
            _ => {
                // Of the control characters that have no letter.
                let digits = escape.strip_prefix('u')?.get(..4)?;
                text.push(char::from_u32(u32::from_str_radix(digits, 16).ok()?)?);
                letters = escape[5..].chars();
            }
        }
        rest = letters.as_str();
    }
    text.push_str(rest);
    Some(Secret::new(std::mem::take(&mut *text)))
}

/// A text as it stands in HTML, piece by piece.
fn escaped(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive(['&', '<', '>', '"']).flat_map(|piece| {
        let at = piece.len().saturating_sub(1);
        let entity = match piece.as_bytes().last() {
            Some(b'&') => "&amp;",
            Some(b'<') => "&lt;",
            Some(b'>') => "&gt;",
            Some(b'"') => "&quot;",
            _ => return [piece, ""],
        };
        [&piece[..at], entity]
    })
}

#[cfg(test)]
mod tests {
    use maud::html;
    use narrowgate_api::secret::SecretText;
    use narrowgate_testkit::memory::Needle;
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Shown {
        line: SecretText,
        token: String,
    }

    /// A page as they are made: of pieces that grow.
    fn page(secrets: &Secrets, json: &[u8]) -> Zeroizing<Vec<u8>> {
        let marked = secrets.take_out(json).expect("it has a secret");
        let shown: Shown = serde_json::from_slice(&marked).expect("it is JSON still");
        let inner = html! { code { (shown.line.expose()) } button data-copy=(shown.line.expose()) {} };
        let outer = html! { main { @for _ in 0..100 { "page " } (inner) } p { (shown.token) } };
        secrets.put_in(&outer.0).expect("it shows one")
    }

    #[test]
    fn a_page_shows_what_the_api_says_with_every_letter() {
        let secret = "a\"b\\c&<d>'\u{1}\tä";
        let json = serde_json::json!({"token": "ci", "more": ["line", "\"line\":\"x\""], "line": secret});
        let page = page(&Secrets::default(), json.to_string().as_bytes());
        let text = String::from_utf8(page.to_vec()).expect("it is UTF-8");
        let line = html! { code { (secret) } button data-copy=(secret) {} }.0;
        assert!(text.contains(&line), "{text}");
        assert!(text.ends_with("<p>ci</p>"), "the name of a token is none: {text}");
    }

    #[test]
    fn what_has_no_secret_is_left_as_it_is() {
        let secrets = Secrets::default();
        for json in [
            "null",
            r#"{"line":7,"link":null,"token":"ci","a":"\\\"line\":"}"#,
            r#"["deviceSecret","line"]"#,
            r#"{"line":"cut off"#,
            r#"{"line":"\"#,
        ] {
            assert_eq!(secrets.take_out(json.as_bytes()), None, "{json}");
        }
        assert!(secrets.put_in("<p>shown-00000000</p>").is_none());
    }

    #[test]
    fn attack_180_a_secret_that_a_page_showed_is_not_left_in_memory() {
        let needle = Needle::new(180, 40);
        let secrets = Secrets::default();
        let mut json = Zeroizing::new(Vec::with_capacity(200));
        let text = Zeroizing::new(needle.text());
        json.extend_from_slice(br#"{"token":"ci","line":"-k \\"#);
        json.extend_from_slice(text.as_bytes());
        json.extend_from_slice(br#"\""}"#);
        drop(text);
        let page = page(&secrets, &json);
        assert!(needle.copies() > 0);
        drop((page, secrets, json));
        assert_eq!(needle.copies(), 0);
    }
}
