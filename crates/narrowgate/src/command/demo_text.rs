//! What `demo` says of the lines that it prints: complete commands to paste into another terminal (bash).

use std::{fmt::Write as _, net::SocketAddr};

use narrowgate_api::device::ClientLine;

/// What to do with a fetched secret, with the lines for it.
pub(super) fn after_activation(device_key: &str, lines: &[ClientLine]) -> String {
    let mut text = format!(
        "\n{device_key} was given its own secret: deviceSecret in the answer. The device stores it,\n\
         and connects with it from now on, in secure mode 2. Until it has done so it may ask again; each\n\
         answer invalidates the secret before it.\n"
    );
    for ClientLine { tool, line } in lines {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n  # {tool}\n  {}\n", line.expose());
    }
    text
}

/// Where a client on this machine reaches the server.
pub(super) fn reachable(server: SocketAddr) -> SocketAddr {
    match server {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => SocketAddr::from(([127, 0, 0, 1], v4.port())),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => {
            SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], v6.port()))
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use narrowgate_platform::{
        firmware::ServerName,
        service::{ClientOf, ClientTask, client_lines},
    };

    use super::*;

    const DEVICE: ClientOf<'_> = ClientOf {
        product_key: "MuGsF6W4",
        device_key: "d-1",
        identity: "MuGsF6W4,d-1,2,3600",
        psk: &[0x2e, 0x27, 0xff],
    };

    fn lines(device: ClientOf<'_>) -> Vec<ClientLine> {
        let server = ServerName::of(reachable("0.0.0.0:5700".parse().unwrap()));
        client_lines(ClientTask::Report, device, &server, None)
    }

    #[test]
    fn the_lines_reach_the_server_of_this_machine() {
        for line in lines(DEVICE) {
            assert!(line.line.expose().contains("127.0.0.1:5700"), "{}", line.line.expose());
        }
    }

    #[test]
    fn after_an_activation_the_next_line_is_told() {
        let lines = lines(DEVICE);
        let text = after_activation("d-1", &lines);
        assert!(text.contains("d-1 was given its own secret: deviceSecret in the answer."), "{text}");
        for line in lines {
            assert!(text.contains(line.line.expose()), "{text}");
        }
    }

    #[test]
    fn the_shells_printf_makes_the_bytes_of_the_message_again() {
        let odd: String = (b'!'..=b'~').filter(|byte| *byte != b',').map(char::from).collect();
        let lines = lines(ClientOf { device_key: &odd, ..DEVICE });
        let openssl = lines.iter().find(|line| line.tool.starts_with("OpenSSL")).unwrap();
        let (printf, _) = openssl.line.expose()[1..].split_once("; sleep").unwrap();
        for shell in ["bash", "sh"] {
            let out = Command::new(shell).args(["-c", printf]).output().unwrap();
            let has = |part: &[u8]| out.stdout.windows(part.len()).any(|window| window == part);
            assert!(out.stdout.starts_with(b"\x44\x02\x00\x01demo\xb5topic\x03sys"), "{shell}: {out:?}");
            assert!(has(odd.as_bytes()) && has(br#"{"measurepoints":{"temp":21.5}}"#), "{shell}: {out:?}");
        }
    }

    #[test]
    fn an_address_that_stands_for_all_is_reached_on_loopback() {
        assert_eq!(reachable("[::]:1".parse().unwrap()).to_string(), "[::1]:1");
        assert_eq!(reachable("10.0.0.1:2".parse().unwrap()).to_string(), "10.0.0.1:2");
    }
}
