//! Complete commands to paste into a terminal (bash), for a device that somebody tries: with its identity,
//! and with its key in the form that each client takes.
//!
//! Each line is written into one piece of memory, which is wiped: a piece that grows would leave the
//! beginnings of the key behind.
//!
//! Keys of products and devices are any printable characters but commas, so what is told to a shell is
//! quoted, and a path is percent-encoded where it is an address.

use std::fmt::{self, Write as _};

use narrowgate_api::{device::ClientLine, secret::SecretText};
use narrowgate_coap::{Code, Kind, MessageWriter, OptionNumber, Token, format};

use super::audit::path_part;
use crate::{
    firmware::ServerName,
    model::thing_model::{DataType, ThingModel},
};

/// What a device is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientTask {
    /// Report a value (SecureMode 2).
    Report,
    /// Fetch its own secret (SecureMode 3).
    FetchSecret,
}

/// The device that a client is to be.
#[derive(Clone, Copy)]
pub struct ClientOf<'a> {
    /// Key of the product.
    pub product_key: &'a str,
    /// Its own key.
    pub device_key: &'a str,
    /// The identity of the handshake.
    pub identity: &'a str,
    /// The key of DTLS.
    pub psk: &'a [u8],
}

/// Without the key.
impl fmt::Debug for ClientOf<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientOf({})", self.identity)
    }
}

/// Bytes of an identity that the DTLS of aiocoap takes.
const TINYDTLS_IDENTITY_MAX: usize = 32;

/// The lines for one device, best first. A report is one that the product's thing model takes.
pub fn client_lines(
    task: ClientTask,
    device: ClientOf<'_>,
    server: &ServerName,
    model: Option<&ThingModel>,
) -> Vec<ClientLine> {
    let report = report(model);
    let address = quoted(&format!("coaps://{server}{}", address_path(task, device)));
    let (identity, key) = (quoted(device.identity), Hex(device.psk));
    let request = match task {
        ClientTask::Report => format!("-m post -t {} -e {}", format::JSON, quoted(&report)),
        ClientTask::FetchSecret => "-m get".to_owned(),
    };
    let coap_client = |key: fmt::Arguments<'_>| {
        written(format_args!("coap-client-openssl {request} -u {identity} -k {key} {address}"))
    };
    let octets = Octets(device.psk);
    // It takes a key as text, up to the first zero byte.
    let of_bytes = (!device.psk.contains(&0))
        .then(|| ("libcoap 4.3.1, as in Debian 12", coap_client(format_args!("{octets}"))));
    let by_aiocoap = (device.identity.len() <= TINYDTLS_IDENTITY_MAX)
        .then(|| ("aiocoap", aiocoap(task, (device.identity, &key), &report, &address)));
    let others = [
        ("libcoap 4.3.5 and newer", coap_client(format_args!("0x{key}"))),
        (
            "OpenSSL 3 (prints the answer as raw CoAP)",
            openssl(&message(task, device, &report), server, &identity, &key),
        ),
    ];
    let line = |(tool, line): (&str, SecretText)| ClientLine { tool: tool.to_owned(), line };
    of_bytes.into_iter().chain(others).chain(by_aiocoap).map(line).collect()
}

/// A text in one piece of memory. It is written twice, first to be measured.
fn written(text: fmt::Arguments<'_>) -> SecretText {
    struct Length(usize);
    impl fmt::Write for Length {
        fn write_str(&mut self, piece: &str) -> fmt::Result {
            self.0 += piece.len();
            Ok(())
        }
    }
    let mut length = Length(0);
    // Writing to a number and to a String cannot fail.
    let _ = length.write_fmt(text);
    let mut line = String::with_capacity(length.0);
    let _ = line.write_fmt(text);
    SecretText::new(line)
}

/// A key as hexadecimal text.
struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A key as a word of bash.
struct Octets<'a>(&'a [u8]);

impl fmt::Display for Octets<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("$'")?;
        self.0.iter().try_for_each(|byte| write!(f, "\\x{byte:02x}"))?;
        f.write_str("'")
    }
}

fn openssl(message: &[u8], server: &ServerName, identity: &str, key: &Hex<'_>) -> SecretText {
    written(format_args!(
        "(printf '{}'; sleep 2) | openssl s_client -dtls1_2 -connect {} -psk_identity {identity} -psk {key} \
         -cipher PSK-AES128-CCM8:@SECLEVEL=0 -quiet -no_ign_eof 2>/dev/null | strings",
        for_printf(message),
        quoted_if_needed(&server.with_port())
    ))
}

/// The key goes through a file, which nobody else may read.
fn aiocoap(task: ClientTask, (identity, key): (&str, &Hex<'_>), report: &str, address: &str) -> SecretText {
    // The key goes between them: its digits are nothing to JSON and to a shell.
    let identity = serde_json::Value::from(identity);
    let before =
        format!(r#"{{"coaps://*":{{"dtls":{{"client-identity":{{"ascii":{identity}}},"psk":{{"hex":""#);
    let (before, after) = (inside_quotes(&before), r#""}}}}"#);
    let request = match task {
        // What is an argument would be read as notation and written anew.
        ClientTask::Report => format!(
            "printf %s {} | aiocoap-client -m POST --content-format application/json --payload @-",
            quoted(report)
        ),
        ClientTask::FetchSecret => "aiocoap-client -m GET".to_owned(),
    };
    written(format_args!(
        "(umask 077; printf %s '{before}{key}{after}' > client.json) && \
         {request} --credentials client.json {address}"
    ))
}

/// A report of one value: of the first point of the model that is a plain number.
fn report(model: Option<&ThingModel>) -> String {
    let value = |data_type: &DataType| match data_type {
        DataType::Int => Some("21"),
        DataType::Float | DataType::Double => Some("21.5"),
        _ => None,
    };
    let points = model.into_iter().flat_map(|model| &model.measurepoints);
    let mut plain = points.filter(|(_, point)| !point.has_quality);
    let found = plain.find_map(|(name, point)| Some((&**name, value(&point.data_type)?)));
    let (point, value) = found.unwrap_or(("temp", "21.5"));
    let params = format!(r#"{{"measurepoints":{{"{point}":{value}}}}}"#);
    format!(r#"{{"id":"1","version":"1.0","method":"thing.measurepoint.post","params":{params}}}"#)
}

/// The path, segment by segment.
fn segments(task: ClientTask, device: ClientOf<'_>) -> Vec<&str> {
    let ClientOf { product_key, device_key, .. } = device;
    match task {
        ClientTask::Report => {
            vec!["topic", "sys", product_key, device_key, "thing", "measurepoint", "post"]
        }
        ClientTask::FetchSecret => {
            vec!["topic", "ext", "session", product_key, device_key, "thing", "activate", "info"]
        }
    }
}

/// The path of an address (RFC 7252, section 6.4).
fn address_path(task: ClientTask, device: ClientOf<'_>) -> String {
    segments(task, device).into_iter().fold(String::new(), |path, part| path + "/" + &path_part(part))
}

/// The request as CoAP.
fn message(task: ClientTask, device: ClientOf<'_>, report: &str) -> Vec<u8> {
    let code = match task {
        ClientTask::Report => Code::POST,
        ClientTask::FetchSecret => Code::GET,
    };
    let mut bytes = Vec::new();
    let token = Token::new(b"demo").expect("4 bytes are within 0 to 8");
    let mut writer = MessageWriter::new(&mut bytes, Kind::Confirmable, code, 1, token);
    for segment in segments(task, device) {
        writer.option(OptionNumber::URI_PATH, segment.as_bytes());
    }
    match task {
        ClientTask::Report => {
            writer.option_uint(OptionNumber::CONTENT_FORMAT, u32::from(format::JSON));
            writer.payload(report.as_bytes());
        }
        ClientTask::FetchSecret => writer.payload(&[]),
    }
    bytes
}

/// A text as one word of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", inside_quotes(text))
}

/// A text between single quotes.
fn inside_quotes(text: &str) -> String {
    text.replace('\'', r"'\''")
}

/// The same, and plain where it is nothing to a shell.
fn quoted_if_needed(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".:-_".contains(&byte);
    if text.bytes().all(is_plain) { text.to_owned() } else { quoted(text) }
}

/// Bytes as a printf format in single quotes, with octal escapes, which every shell knows.
fn for_printf(bytes: &[u8]) -> String {
    let mut text = String::new();
    for &byte in bytes {
        if byte.is_ascii_graphic() && !matches!(byte, b'%' | b'\\' | b'\'') {
            text.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(text, "\\{byte:03o}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const DEVICE: ClientOf<'_> = ClientOf {
        product_key: "MuGsF6W4",
        device_key: "d-1",
        identity: "MuGsF6W4,d-1,2,3600",
        psk: &[0x2e, 0x27, 0xff],
    };

    fn lines(device: ClientOf<'_>, model: Option<&str>) -> BTreeMap<String, String> {
        let model = model.map(|json| ThingModel::parse(json).expect("it is a model"));
        let server = ServerName::new("127.0.0.1", 5700);
        let lines = client_lines(ClientTask::Report, device, &server, model.as_ref());
        lines.into_iter().map(|line| (line.tool, line.line.into_text())).collect()
    }

    #[test]
    fn every_line_holds_the_identity_and_the_key_in_its_form() {
        let lines = lines(DEVICE, None);
        for (tool, key) in [
            ("libcoap 4.3.1, as in Debian 12", r"-k $'\x2e\x27\xff' "),
            ("libcoap 4.3.5 and newer", "-k 0x2e27ff "),
            ("OpenSSL 3 (prints the answer as raw CoAP)", "-psk 2e27ff "),
            ("aiocoap", r#""psk":{"hex":"2e27ff"}"#),
        ] {
            let line = &lines[tool];
            assert!(line.contains(key), "{line}");
            assert!(line.contains("MuGsF6W4,d-1,2,3600"), "{line}");
            assert!(line.contains("127.0.0.1:5700"), "{line}");
        }
        assert_eq!(lines.len(), 4);
    }

    #[test]
    fn each_line_is_one_piece_of_memory() {
        let server = ServerName::new("127.0.0.1", 5700);
        for line in client_lines(ClientTask::Report, DEVICE, &server, None) {
            let text = line.line.into_text();
            assert_eq!(text.capacity(), text.len(), "{}", line.tool);
        }
    }

    #[test]
    fn the_credentials_of_aiocoap_are_json() {
        let line = lines(ClientOf { identity: "p,a'\"b,2,60", ..DEVICE }, None)
            .remove("aiocoap")
            .expect("it is short");
        let (_, rest) = line.split_once("printf %s '").expect("they are printed");
        let (json, _) = rest.split_once("' > client.json").expect("into a file");
        let json: serde_json::Value = serde_json::from_str(&json.replace(r"'\''", "'")).expect("it is JSON");
        let dtls =
            serde_json::json!({"psk": {"hex": "2e27ff"}, "client-identity": {"ascii": "p,a'\"b,2,60"}});
        assert_eq!(json, serde_json::json!({"coaps://*": {"dtls": dtls}}));
    }

    #[test]
    fn a_key_with_a_zero_byte_is_not_given_as_text() {
        let lines = lines(ClientOf { psk: &[1, 0, 2], ..DEVICE }, None);
        assert!(!lines.contains_key("libcoap 4.3.1, as in Debian 12"), "{lines:?}");
        assert!(lines["libcoap 4.3.5 and newer"].contains("-k 0x010002 "));
    }

    #[test]
    fn an_identity_that_tinydtls_does_not_take_is_not_given_to_it() {
        let long = "p".repeat(TINYDTLS_IDENTITY_MAX + 1);
        let shorter = ClientOf { identity: &long[1..], ..DEVICE };
        assert!(!lines(ClientOf { identity: &long, ..DEVICE }, None).contains_key("aiocoap"));
        assert!(lines(shorter, None).contains_key("aiocoap"));
    }

    #[test]
    fn what_a_key_says_is_no_part_of_the_command() {
        let evil = ClientOf { device_key: "a/b'$(x)\"#", identity: "p,a/b'$(x)\"#,2,60", ..DEVICE };
        for (tool, line) in lines(evil, None) {
            assert!(!line.contains("/a/b"), "{tool}: {line}");
            assert!(tool.starts_with("OpenSSL") || line.contains("/a%2Fb%27%24%28x%29%22%23/"), "{line}");
            // Outside of single quotes there is nothing of it.
            let outside: String = line.replace(r"'\''", "").split('\'').step_by(2).collect();
            assert!(!outside.contains("$("), "{tool}: {outside}");
        }
    }

    #[test]
    fn the_report_is_one_that_the_model_takes() {
        let model = r#"{"modelId":"m","measurepoints":[
            {"identifier":"a","dataType":{"type":"STRING"}},
            {"identifier":"q","dataType":{"type":"INT"},"hasQuality":true},
            {"identifier":"z","dataType":{"type":"INT"}}]}"#;
        let lines = lines(DEVICE, Some(model));
        let line = &lines["libcoap 4.3.5 and newer"];
        assert!(line.contains(r#""measurepoints":{"z":21}"#), "{line}");
    }

    #[test]
    fn the_message_is_the_request_of_the_other_lines() {
        let bytes = message(ClientTask::FetchSecret, DEVICE, "");
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert!(text.contains("activate") && text.ends_with("info"), "{text}");
        assert_eq!(for_printf(b"a%b'c\\\xff\0"), r"a\045b\047c\134\377\000");
    }
}
