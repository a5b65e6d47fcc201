//! A wrong key and a wrong name are looked into: the log says what the device did.

use narrowgate_platform::rules::psk;

use crate::{
    client::{Client, Protection},
    harness::{Device, PRODUCT_KEY, Server},
};

/// Goes through a handshake that must fail.
fn fail(client: &mut Client) {
    client.ask_cookie();
    client.take_server_hello();
    let flight = client.flight_5();
    client.send(&flight);
}

fn key_of(secret: &str) -> Vec<u8> {
    psk::derive(secret.as_bytes()).to_vec()
}

/// A client whose device was registered with this secret.
fn registered(server: &Server, device_key: &str, secret: &str, protection: Protection) -> Client {
    server.json(&[
        "device",
        "create",
        "--product",
        PRODUCT_KEY,
        "--device-key",
        device_key,
        "--device-secret",
        secret,
    ]);
    let device = Device { key: device_key.into(), secret: secret.into() };
    Client::new(server.address, device, protection)
}

#[track_caller]
fn assert_said(server: &Server, device_key: &str, words: &str) {
    server.wait_for_json(&["device", "log", PRODUCT_KEY, device_key], |log| log.contains(words));
}

#[test]
fn a_key_is_told_from_the_right_one_by_what_was_done_to_it() {
    let server = Server::start();
    // printf secret-4 | sha256sum: 9-24 are 201807b500bdcdaeb6e5ac5159ec4394
    let cut: &[u8] = &[0x20, 0x18, 0x07, 0xb5];
    let padded = [cut, &[0; 12]].concat();
    for (number, (key, words)) in
        [(cut, "cut at its zero byte, byte 5"), (&padded[..], "filled with zeros")].into_iter().enumerate()
    {
        for protection in Protection::ALL {
            let device_key = format!("zero-{number}-{protection:?}");
            let mut client = registered(&server, &device_key, "secret-4", protection);
            client.psk = key.to_vec();
            fail(&mut client);
            assert_said(&server, &device_key, words);
        }
    }
    // printf Z5YtZaQpK5IWocakV7zQ | sha256sum
    let digits = "d43bab56e58970df2e87da0cb9cad2c1fb7369531ce9644a805c36e5058c324b";
    for (number, (key, words)) in [
        (digits.as_bytes().to_vec(), "hex digits of the hash"),
        (b"LofaDLnK0sH7c2lTHOlkSg==".to_vec(), "base64 text of the right key"),
        (key_of(digits), "hash's hex text was hashed again"),
        (key_of("Z5YtZaQpK5IWocakV7zQ\r"), "carriage return"),
        (key_of("nobody's"), "none of the usual mistakes"),
    ]
    .into_iter()
    .enumerate()
    {
        let device_key = format!("form-{number}");
        let secret = "Z5YtZaQpK5IWocakV7zQ";
        let mut client = registered(&server, &device_key, secret, Protection::ALL[number % 3]);
        client.psk = key;
        fail(&mut client);
        assert_said(&server, &device_key, words);
    }
    server.assert_alive();
}

#[test]
fn secrets_of_before_and_of_other_devices_are_recognised() {
    let server = Server::start();
    for protection in Protection::ALL {
        let mut client = server.client(protection);
        let other = server.device();
        let key = client.device.key.clone();
        client.psk = key_of(&other.secret);
        fail(&mut client);
        assert_said(&server, &key, &format!("another device, {PRODUCT_KEY}/{}", other.key));

        let first = server.json(&["device", "reset", PRODUCT_KEY, &key, "--yes"]);
        server.json(&["device", "reset", PRODUCT_KEY, &key, "--yes"]);
        for former in [&client.device.secret, first["deviceSecret"].as_str().unwrap()] {
            let mut client = Client::new(server.address, client.device.clone(), protection);
            client.psk = key_of(former);
            fail(&mut client);
            let refused = ["device", "log", PRODUCT_KEY, &key];
            server.wait_for_json(&refused, |log| {
                log.matches("had before").count() > usize::from(*former != client.device.secret)
            });
        }
    }
    server.assert_alive();
}

#[test]
fn generated_secrets_have_keys_that_can_be_handled_as_text() {
    let server = Server::start();
    for number in 0..40 {
        let key = format!("generated-{number}");
        server.json(&["device", "create", "--product", PRODUCT_KEY, "--device-key", &key]);
        let reset = server.json(&["device", "reset", PRODUCT_KEY, &key, "--yes"]);
        let key = key_of(reset["deviceSecret"].as_str().unwrap());
        assert!(!key.contains(&0), "{key:02x?}");
    }
}

#[test]
fn a_name_of_another_case_is_told_which_one_exists() {
    let server = Server::start();
    let registered = registered(&server, "15bBZlRknc", "Z5YtZaQpK5IWocakV7zQ", Protection::Ccm8);
    for (number, (identity, words)) in [
        (
            format!("{PRODUCT_KEY},15BBZLRKNC,2,60"),
            "has no device 15BBZLRKNC, but 15bBZlRknc: keys are case-sensitive",
        ),
        (format!("{PRODUCT_KEY},\"15bBZlRknc\",2,60"), "but 15bBZlRknc: a key has nothing around it"),
        ("PK,15bBZlRknc,2,60".to_owned(), "there is no product PK, but pk: keys are case-sensitive"),
        (format!("15bBZlRknc,{PRODUCT_KEY},2,60"), "but pk is one: the identity begins with the product key"),
        ("nothing,15bBZlRknc,3,60".to_owned(), "device 15bBZlRknc belongs to product pk"),
        (format!("{PRODUCT_KEY},15bBZlRkn,2,60"), "has no device 15bBZlRkn; register it"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut client = Client::new(server.address, registered.device.clone(), Protection::ALL[number % 3]);
        client.identity = identity.into_bytes();
        fail(&mut client);
        let words = words.replace('"', "\\\"");
        server.wait_for_json(&["refused", "--limit", "100"], |refused| refused.contains(&words));
    }
    let mut client = Client::new(server.address, registered.device, Protection::Ccm8);
    client.identity.push(0);
    fail(&mut client);
    assert_said(&server, "15bBZlRknc", "a NUL at byte 21; ");
    let create = ["device", "create", "--product", PRODUCT_KEY, "--device-key", "15bbzlrknc"];
    let warnings = server.json(&create)["warnings"].to_string();
    assert!(warnings.contains("device pk/15bBZlRknc exists, whose key differs in the case"), "{warnings}");
    server.assert_alive();
}
