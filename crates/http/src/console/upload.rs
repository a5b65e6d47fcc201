//! A form with a file (`multipart/form-data`, RFC 7578), read whole: it comes from a page of ours, with the
//! token of its session in it, and is parsed once all of it is there.

use axum::{
    body::Bytes,
    extract::FromRequestParts,
    http::{HeaderMap, header, request::Parts},
};
use narrowgate_api::secret::SecretText;

use crate::form::Form;

/// Longest upload.
pub(super) const UPLOAD_BYTES_MAX: usize = 8 << 20;

/// Longest boundary (RFC 2046, section 5.1.1).
const BOUNDARY_BYTES_MAX: usize = 70;
/// Fields of a form beside its file.
const FIELDS_MAX: usize = 32;

/// A file that was sent with a form.
#[derive(Debug, Clone)]
pub(super) struct Upload {
    /// What the browser calls it.
    pub(super) name: String,
    /// A part of the body, whose memory is wiped when nobody holds it any more.
    pub(super) bytes: Bytes,
}

/// The file of a form, where it has one.
pub(super) struct Uploaded(pub(super) Option<Upload>);

impl<S: Send + Sync> FromRequestParts<S> for Uploaded {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(parts.extensions.remove()))
    }
}

/// What stands between the parts of a form with a file; `None`: it is another form.
pub(super) fn boundary(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let (essence, parameters) = text.split_once(';')?;
    if !essence.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let named = parameters.split(';').filter_map(|parameter| parameter.trim().split_once('='));
    let (_, value) = named.into_iter().find(|(name, _)| name.eq_ignore_ascii_case("boundary"))?;
    let value = value.trim_matches('"');
    (1..=BOUNDARY_BYTES_MAX).contains(&value.len()).then(|| value.to_owned())
}

/// The fields of a body, and its file; `None`: it cannot be read.
pub(super) fn parse(body: &Bytes, boundary: &str) -> Option<(Form, Option<Upload>)> {
    let delimiter = format!("\r\n--{boundary}");
    let (mut fields, mut upload) = (Vec::new(), None);
    // The first delimiter has no line before it.
    let mut at = delimiter.len() - 2;
    if !body.starts_with(&delimiter.as_bytes()[2..]) {
        return None;
    }
    loop {
        let rest = &body[at..];
        if rest.starts_with(b"--") {
            return Some((Form::of_fields(fields), upload));
        }
        let begin = at + rest.starts_with(b"\r\n").then_some(2)?;
        let head_bytes = find(&body[begin..], b"\r\n\r\n")?;
        let head = std::str::from_utf8(&body[begin..begin + head_bytes]).ok()?;
        let content = begin + head_bytes + 4;
        let length = find(&body[content..], delimiter.as_bytes())?;
        let (name, file_name) = names(head)?;
        match file_name {
            Some(file_name) if upload.is_none() => {
                upload = Some(Upload { name: file_name, bytes: body.slice(content..content + length) });
            }
            Some(_) => return None,
            None if fields.len() == FIELDS_MAX => return None,
            None => {
                let text = std::str::from_utf8(&body[content..content + length]).ok()?;
                fields.push((name, SecretText::new(text.to_owned())));
            }
        }
        at = content + length + delimiter.len();
    }
}

/// The name of a part, and that of its file.
fn names(head: &str) -> Option<(String, Option<String>)> {
    let lines = head.split("\r\n").filter_map(|line| line.split_once(':'));
    let (_, disposition) =
        lines.into_iter().find(|(name, _)| name.eq_ignore_ascii_case("content-disposition"))?;
    Some((parameter(disposition, "name")?, parameter(disposition, "filename")))
}

/// A parameter in quotation marks, in which browsers escape these.
fn parameter(text: &str, name: &str) -> Option<String> {
    let begin = format!("; {name}=\"");
    let (_, rest) = text.split_once(&begin)?;
    Some(rest.split_once('"')?.0.replace("%22", "\""))
}

/// Where a piece begins for the first time.
fn find(bytes: &[u8], piece: &[u8]) -> Option<usize> {
    let first = *piece.first()?;
    let mut at = 0;
    while let Some(step) = bytes[at..].iter().position(|byte| *byte == first) {
        at += step;
        if bytes[at..].starts_with(piece) {
            return Some(at);
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = concat!(
        "--x\r\nContent-Disposition: form-data; name=\"csrf\"\r\n\r\ntoken\r\n",
        "--x\r\nContent-Disposition: form-data; name=\"none\"\r\n\r\n\r\n",
        "--x\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a%22;b.csv\"\r\n",
        "Content-Type: text/csv\r\n\r\na,b\r\n--y\r\n--\r\n--x--\r\n"
    );

    #[test]
    fn a_form_has_fields_and_a_file() {
        let (mut form, upload) = parse(&Bytes::from_static(BODY.as_bytes()), "x").expect("it is one");
        let upload = upload.expect("it has a file");
        assert_eq!((&*form.text("csrf"), &*form.text("none")), ("token", ""));
        assert_eq!((&*upload.name, &*upload.bytes), ("a\";b.csv", b"a,b\r\n--y\r\n--".as_slice()));
    }

    #[test]
    fn what_is_cut_off_or_ambiguous_is_none() {
        for end in 0..BODY.len() - 4 {
            assert!(parse(&Bytes::copy_from_slice(&BODY.as_bytes()[..end]), "x").is_none(), "{end}");
        }
        let part = "--x\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f\"\r\n\r\n\r\n";
        assert!(parse(&Bytes::from(format!("{part}{part}--x--")), "x").is_none(), "two files");
        let field = "--x\r\nContent-Disposition: form-data; name=\"f\"\r\n\r\n\r\n";
        assert!(parse(&Bytes::from(field.repeat(33) + "--x--"), "x").is_none(), "too many fields");
        assert!(parse(&Bytes::from(format!("{field}--x--")), "y").is_none());
    }

    #[test]
    fn the_boundary_is_in_the_media_type() {
        let of = |text: &str| {
            let pairs = [(header::CONTENT_TYPE, text.parse().expect("it is a value"))];
            boundary(&pairs.into_iter().collect())
        };
        assert_eq!(of("multipart/form-data; boundary=ab-1").as_deref(), Some("ab-1"));
        assert_eq!(of("Multipart/Form-Data; charset=utf-8; Boundary=\"a b\"").as_deref(), Some("a b"));
        let long = format!("multipart/form-data; boundary={}", "a".repeat(71));
        for other in ["multipart/form-data", "multipart/form-data; boundary=", "text/csv; boundary=x", &long]
        {
            assert_eq!(of(other), None, "{other}");
        }
    }
}
