//! The lines that `demo` prints: complete commands to paste into another terminal (bash).

use std::{fmt::Write as _, net::SocketAddr};

use narrowgate_coap::{Code, Kind, MessageWriter, OptionNumber, Token, format};
use serde::Serialize;

/// A command to paste.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Line {
    /// Which program it is for.
    pub(super) tool: &'static str,
    /// The command.
    pub(super) line: String,
}

/// What a device of the demonstration is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Task {
    /// Report a value (SecureMode 2).
    Report,
    /// Fetch its own secret (SecureMode 3).
    FetchSecret,
}

/// What the lines need to know about a device.
#[derive(Debug)]
pub(super) struct Credentials<'a> {
    pub(super) product_key: &'a str,
    pub(super) device_key: &'a str,
    pub(super) identity: &'a str,
    pub(super) psk: &'a [u8],
}

/// The value that the lines report.
const REPORT: &str = concat!(
    r#"{"id":"1","version":"1.0","method":"thing.measurepoint.post","#,
    r#""params":{"measurepoints":{"temp":21.5}}}"#
);

/// The lines for one device, best first.
pub(super) fn lines(task: Task, device: &Credentials<'_>, server: SocketAddr) -> Vec<Line> {
    let server = reachable(server);
    let (key, identity) = (hex::encode(device.psk), device.identity);
    let mut escaped = String::new();
    for byte in device.psk {
        // Writing to a String cannot fail.
        let _ = write!(escaped, "\\x{byte:02x}");
    }
    let path = path(task, device);
    let request = match task {
        Task::Report => format!("-m post -t {} -e '{REPORT}'", format::JSON),
        Task::FetchSecret => "-m get".to_owned(),
    };
    let coap_client = |key: &str| {
        format!("coap-client-openssl {request} -u '{identity}' -k {key} 'coaps://{server}{path}'")
    };
    vec![
        Line { tool: "libcoap 4.3.1, as in Debian 12", line: coap_client(&format!("$'{escaped}'")) },
        Line { tool: "libcoap 4.3.5 and newer", line: coap_client(&format!("0x{key}")) },
        Line {
            tool: "OpenSSL 3 (prints the answer as raw CoAP)",
            line: format!(
                "(printf '{}'; sleep 2) | openssl s_client -dtls1_2 -connect {server} \
                 -psk_identity '{identity}' -psk {key} \
                 -cipher PSK-AES128-CCM8:@SECLEVEL=0 -quiet -no_ign_eof 2>/dev/null | strings",
                for_printf(&message(task, &path))
            ),
        },
    ]
}

/// What to do with a fetched secret, with the lines for it.
pub(super) fn after_activation(device_key: &str, lines: &[Line]) -> String {
    let mut text = format!(
        "\n{device_key} was given its own secret: deviceSecret in the answer. The device stores it,\n\
         and connects with it from now on, in secure mode 2. Until it has done so it may ask again; each\n\
         answer invalidates the secret before it.\n"
    );
    for Line { tool, line } in lines {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n  # {tool}\n  {line}\n");
    }
    text
}

/// Where a client on this machine reaches the server.
fn reachable(server: SocketAddr) -> SocketAddr {
    match server {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => SocketAddr::from(([127, 0, 0, 1], v4.port())),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => {
            SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], v6.port()))
        }
        other => other,
    }
}

fn path(task: Task, device: &Credentials<'_>) -> String {
    let (product_key, device_key) = (device.product_key, device.device_key);
    match task {
        Task::Report => format!("/topic/sys/{product_key}/{device_key}/thing/measurepoint/post"),
        Task::FetchSecret => format!("/topic/ext/session/{product_key}/{device_key}/thing/activate/info"),
    }
}

/// The request as CoAP.
fn message(task: Task, path: &str) -> Vec<u8> {
    let code = match task {
        Task::Report => Code::POST,
        Task::FetchSecret => Code::GET,
    };
    let mut bytes = Vec::new();
    let token = Token::new(b"demo").expect("4 bytes are within 0 to 8");
    let mut writer = MessageWriter::new(&mut bytes, Kind::Confirmable, code, 1, token);
    for segment in path.split('/').skip(1) {
        writer.option(OptionNumber::URI_PATH, segment.as_bytes());
    }
    match task {
        Task::Report => {
            writer.option_uint(OptionNumber::CONTENT_FORMAT, u32::from(format::JSON));
            writer.payload(REPORT.as_bytes());
        }
        Task::FetchSecret => writer.payload(&[]),
    }
    bytes
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
    use std::process::Command;

    use super::*;

    const DEVICE: Credentials<'_> = Credentials {
        product_key: "MuGsF6W4",
        device_key: "d-1",
        identity: "MuGsF6W4,d-1,2,3600",
        psk: &[0x2e, 0x27, 0xff],
    };

    #[test]
    fn every_line_holds_the_identity_and_the_key_in_its_form() {
        let lines = lines(Task::Report, &DEVICE, "0.0.0.0:5684".parse().unwrap());
        for line in &lines {
            assert!(line.line.contains("'MuGsF6W4,d-1,2,3600'"), "{}", line.line);
            assert!(line.line.contains("127.0.0.1:5684"), "{}", line.line);
        }
        assert!(lines[0].line.contains(r"-k $'\x2e\x27\xff' "), "{}", lines[0].line);
        assert!(lines[1].line.contains("-k 0x2e27ff "), "{}", lines[1].line);
        assert!(lines[2].line.contains("-psk 2e27ff "), "{}", lines[2].line);
    }

    #[test]
    fn after_an_activation_the_next_line_is_told() {
        let lines = lines(Task::Report, &DEVICE, "0.0.0.0:5684".parse().unwrap());
        let text = after_activation("d-1", &lines);
        assert!(text.contains("d-1 was given its own secret: deviceSecret in the answer."), "{text}");
        for line in lines {
            assert!(text.contains(&line.line), "{text}");
        }
    }

    #[test]
    fn the_shells_printf_makes_the_bytes_of_the_message_again() {
        let bytes: Vec<u8> = message(Task::Report, "/a%b/c'd\\e").into_iter().chain(0..=255).collect();
        for shell in ["bash", "sh"] {
            let out = Command::new(shell)
                .args(["-c", &format!("printf '{}'", for_printf(&bytes))])
                .output()
                .unwrap();
            assert_eq!(out.stdout, bytes, "{shell}");
        }
    }

    #[test]
    fn an_address_that_stands_for_all_is_reached_on_loopback() {
        assert_eq!(reachable("[::]:1".parse().unwrap()).to_string(), "[::1]:1");
        assert_eq!(reachable("10.0.0.1:2".parse().unwrap()).to_string(), "10.0.0.1:2");
    }
}
