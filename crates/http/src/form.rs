//! What a form sends (`application/x-www-form-urlencoded`), which may hold passwords: wiped when dropped.

use std::time::Duration;

use axum::{
    extract::Request,
    http::{StatusCode, header},
};
use narrowgate_api::secret::SecretText;
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::{
    secret::{NotCollected, collect},
    serve::REQUEST_TIME_MAX,
    shares::{Holder, Share, ShareMax, Shares},
};

/// Longest body: three passwords of the greatest length, each byte of them escaped, and a name.
const BYTES_MAX: usize = 12 << 10;

/// How long it takes to come.
const TIME_MAX: Duration = Duration::from_secs(REQUEST_TIME_MAX.as_secs() / 2);

/// The fields of a form.
#[derive(Default)]
pub(crate) struct Form(Vec<(String, SecretText)>);

impl Form {
    /// Reads the body of a request.
    ///
    /// # Errors
    /// What is wrong with it, for people, with the status.
    pub(crate) async fn read(request: Request) -> Result<Self, (StatusCode, &'static str)> {
        // It is short: nobody's share.
        let shares = Shares::new(ShareMax::quarter(BYTES_MAX));
        let share = shares.take(&Holder::default(), 0);
        let share = share.map_err(|_| (StatusCode::PAYLOAD_TOO_LARGE, "The form is too long."))?;
        Self::read_long(request, BYTES_MAX, share).await
    }

    /// Reads the body of a request, up to so many bytes, which count as part of `share`.
    ///
    /// # Errors
    /// What is wrong with it, for people, with the status.
    pub(crate) async fn read_long(
        request: Request,
        bytes_max: usize,
        share: Share,
    ) -> Result<Self, (StatusCode, &'static str)> {
        let media_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let essence = media_type.and_then(|value| value.split(';').next()).map(str::trim);
        if !essence.is_some_and(|essence| essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")) {
            return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, "The request is not what a form sends."));
        }
        let too_long = (StatusCode::PAYLOAD_TOO_LARGE, "The form is too long.");
        let missing = (StatusCode::REQUEST_TIMEOUT, "The rest of the form did not arrive.");
        let collected = timeout(TIME_MAX, collect(request.into_body(), bytes_max, share, None)).await;
        let body = collected.map_err(|_| missing)?.map_err(|fault| match fault {
            NotCollected::TooLong | NotCollected::NoRoom(_) => too_long,
            NotCollected::Silent => missing,
            NotCollected::Broken => (StatusCode::BAD_REQUEST, "The form cannot be read."),
        })?;
        Self::parse(&body).ok_or((StatusCode::BAD_REQUEST, "The form cannot be read."))
    }

    /// These fields, in their order.
    pub(crate) fn of_fields(fields: Vec<(String, SecretText)>) -> Self {
        Self(fields)
    }

    /// The fields of the query of an address; none where they cannot be read.
    pub(crate) fn of_query(query: Option<&str>) -> Self {
        query.and_then(|query| Self::parse(query.as_bytes())).unwrap_or_default()
    }

    /// Reads its text; `None`: it is no UTF-8.
    fn parse(body: &[u8]) -> Option<Self> {
        let pairs = body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty());
        let fields = pairs.map(|pair| {
            let equals = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
            let value = pair.get(equals + 1..).unwrap_or_default();
            Some((decoded(&pair[..equals])?.into_text(), decoded(value)?))
        });
        fields.collect::<Option<_>>().map(Self)
    }

    /// Takes all fields of a name out, in their order.
    pub(crate) fn take_all(&mut self, name: &str) -> Vec<String> {
        let (found, rest) = std::mem::take(&mut self.0).into_iter().partition(|(known, _)| known == name);
        self.0 = rest;
        let found: Vec<(String, SecretText)> = found;
        found.into_iter().map(|(_, value)| value.into_text()).collect()
    }

    /// Takes a field out that is no secret, without spaces around it.
    pub(crate) fn text(&mut self, name: &str) -> String {
        self.take(name).into_text().trim().to_owned()
    }

    /// Takes a field out; empty where it is not there.
    pub(crate) fn take(&mut self, name: &str) -> SecretText {
        match self.0.iter().position(|(known, _)| known == name) {
            Some(place) => self.0.swap_remove(place).1,
            None => SecretText::new(String::new()),
        }
    }
}

/// A piece without its escapes. One that is cut off stands for itself, as in browsers.
fn decoded(piece: &[u8]) -> Option<SecretText> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(piece.len()));
    let mut rest = piece;
    while let [first, more @ ..] = rest {
        rest = more;
        match (first, more) {
            (b'+', _) => bytes.push(b' '),
            (b'%', [high, low, after @ ..]) => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => {
                    bytes.push(high << 4 | low);
                    rest = after;
                }
                _ => bytes.push(b'%'),
            },
            (byte, _) => bytes.push(*byte),
        }
    }
    match String::from_utf8(std::mem::take(&mut *bytes)) {
        Ok(text) => Some(SecretText::new(text)),
        Err(error) => {
            drop(Zeroizing::new(error.into_bytes()));
            None
        }
    }
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_as_browsers_write_them() {
        let mut form =
            Form::parse(b"user=a%2Bb+c&password=%c3%A4%26%3D=&x&=y&&user=second").expect("it is UTF-8");
        let mut take = |name| form.take(name).into_text();
        assert_eq!((take("user"), take("password")), ("a+b c".to_owned(), "\u{e4}&==".to_owned()));
        assert_eq!((take("x"), take(""), take("none")), (String::new(), "y".to_owned(), String::new()));
        for (text, expected) in [("a=%", "%"), ("a=%4", "%4"), ("a=%zz", "%zz"), ("a=100%25", "100%")] {
            let mut form = Form::parse(text.as_bytes()).expect("it is UTF-8");
            assert_eq!(form.take("a").expose(), expected, "{text}");
        }
        assert!(Form::parse(b"a=%ff").is_none() && Form::parse(b"a=\xff").is_none());
    }

    #[tokio::test]
    async fn a_form_is_short_and_says_what_it_is() {
        let read = async |media_type: &str, body: String| {
            let request = Request::builder().header(header::CONTENT_TYPE, media_type);
            let request = request.body(axum::body::Body::from(body)).expect("it is a request");
            Form::read(request).await.map(|mut form| form.take("a").into_text()).map_err(|(status, _)| status)
        };
        let form = "application/x-www-form-urlencoded";
        assert_eq!(read(form, "a=b".into()).await, Ok("b".to_owned()));
        assert_eq!(read(&format!("{form}; charset=utf-8"), "a=b".into()).await, Ok("b".to_owned()));
        assert_eq!(read("Application/X-WWW-Form-URLEncoded", "a=b".into()).await, Ok("b".to_owned()));
        assert_eq!(read("text/plain", "a=b".into()).await, Err(StatusCode::UNSUPPORTED_MEDIA_TYPE));
        let long = format!("a={}", "b".repeat(BYTES_MAX));
        assert_eq!(read(form, long).await, Err(StatusCode::PAYLOAD_TOO_LARGE));
    }
}
