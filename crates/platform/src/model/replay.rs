//! Requests that may be sent again without harm: those with an idempotency key.

use crate::{firmware::Sha256Sum, ids::UnixMillis, secret::Secret};

/// Names a request for whoever sent it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestKey {
    /// Who sent it.
    pub owner: String,
    /// The SHA-256 of the key that was sent with it.
    pub key: [u8; 32],
}

/// A request that was sent with a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskedBefore {
    /// What it asked for: the SHA-256 of all of it.
    pub request: Sha256Sum,
    /// When.
    pub at: UnixMillis,
    /// What was answered; `None`: nothing yet, or the process ended before.
    pub answer: Option<KeptAnswer>,
}

/// An answer that is given again. It may hold a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The media type; empty: there is none.
    pub media_type: String,
    /// The entity tag; empty: there is none.
    pub tag: String,
    /// Where what was made is; empty: nothing was, or it is not known.
    pub location: String,
    /// The body; `None`: it was too long to be kept.
    pub body: Option<Secret>,
}

impl AskedBefore {
    /// All but the time as one text, to be kept sealed.
    pub fn to_text(&self) -> Secret {
        let request = self.request.to_string();
        let (status, [media_type, tag, location], body) = match &self.answer {
            None => (String::new(), [""; 3], None),
            Some(answer) => {
                let KeptAnswer { status, media_type, tag, location, body } = answer;
                (status.to_string(), [media_type, tag, location].map(String::as_str), body.as_ref())
            }
        };
        let kept = if body.is_some() { "whole" } else { "" };
        let parts = [&*request, &*status, media_type, tag, location, kept, body.map_or("", Secret::expose)];
        // In one piece, which is wiped: one that grows would leave its beginnings behind.
        let bytes = parts.iter().map(|part| part.len() + 1).sum();
        let mut text = String::with_capacity(bytes);
        for (place, part) in parts.iter().enumerate() {
            if place > 0 {
                text.push('\n');
            }
            text.push_str(part);
        }
        Secret::new(text)
    }

    /// The reverse; `None`: it is no such text.
    pub fn from_text(text: &Secret, at: UnixMillis) -> Option<Self> {
        let mut parts = text.expose().splitn(7, '\n');
        let mut next = || parts.next();
        let (request, status, media_type) = (next()?, next()?, next()?);
        let (tag, location, kept, body) = (next()?, next()?, next()?, next()?);
        let request = Sha256Sum(crate::hex::read(request).ok()?.try_into().ok()?);
        let answer = match status {
            "" => None,
            status => Some(KeptAnswer {
                status: status.parse().ok()?,
                media_type: media_type.to_owned(),
                tag: tag.to_owned(),
                location: location.to_owned(),
                body: (kept == "whole").then(|| Secret::new(body.to_owned())),
            }),
        };
        Some(Self { request, at, answer })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_comes_back_from_its_text() {
        let of = |answer| AskedBefore { request: Sha256Sum([7; 32]), at: UnixMillis(9), answer };
        let answer = |body: Option<&str>| KeptAnswer {
            status: 201,
            media_type: "application/json".to_owned(),
            tag: "\"3\"".to_owned(),
            location: "/api/v1/ous/o1".to_owned(),
            body: body.map(|body| Secret::new(body.to_owned())),
        };
        let bare = KeptAnswer { media_type: String::new(), location: String::new(), ..answer(Some("")) };
        for asked in
            [of(None), of(Some(answer(None))), of(Some(answer(Some("{\n\"a\":1\n}")))), of(Some(bare))]
        {
            assert_eq!(AskedBefore::from_text(&asked.to_text(), UnixMillis(9)), Some(asked));
        }
        for text in ["", "x", "00\n201\n\n\n\n\n"] {
            assert_eq!(AskedBefore::from_text(&Secret::new(text.to_owned()), UnixMillis(9)), None);
        }
    }
}
