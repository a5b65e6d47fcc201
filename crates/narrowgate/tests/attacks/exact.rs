//! What devices send is shown as they sent it, to the last digit and in its order, through every door.

use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
};

use proptest::{
    strategy::{Strategy as _, ValueTree as _},
    test_runner::TestRunner,
};

use crate::{
    client::{Client, Protection},
    coap,
    harness::{PRODUCT_KEY, Server},
};

/// Numbers that a `f64` or a map of values changes, and an object whose keys are not in the alphabet's order.
const TEXTS: [&str; 10] = [
    "123456789012345678901234567890",
    "23.308445025757262",
    "18446744073709551617",
    "-9007199254740993",
    "1.50",
    "-0",
    "-0.0",
    "1E+2",
    "1e-400",
    r#"{"value":0.1000000000000000055511151231257827,"quality":9,"also":[2.0,{"z":1,"a":2}]}"#,
];

fn report(client: &mut Client, points: &str) {
    let body = format!(
        "{{\"id\":\"1\",\"version\":\"1.0\",\"method\":\"thing.measurepoint.post\",\
         \"params\":{{\"measurepoints\":{points}}}}}"
    );
    let mid = client.next_mid();
    let message = coap::post(mid, &client.device.report_path(), &body);
    let answer = client.exchange(&message);
    assert_eq!(coap::code_of(&answer, mid), 0x44, "{points}");
}

/// `{"n0":…,"n1":…}`
fn points(texts: &[String]) -> String {
    let members: Vec<String> =
        texts.iter().enumerate().map(|(index, text)| format!(r#""n{index}":{text}"#)).collect();
    format!("{{{}}}", members.join(","))
}

#[test]
fn every_door_shows_a_value_as_it_was_sent() {
    let server = Server::start();
    let mut client = server.connect(Protection::Ccm8);
    let device = client.device.key.clone();
    let texts = TEXTS.map(str::to_owned);
    let sent = points(&texts);

    let listen = |more: &[&str]| {
        let mut listener = server.command(&["listen", "--device", &device]);
        let mut listener = listener.args(more).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(listener.stderr.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with("listening"), "{line}");
        listener
    };
    let listeners = [listen(&[]), listen(&["-o", "json"])];
    report(&mut client, &sent);
    for mut listener in listeners {
        let mut line = String::new();
        let mut stdout = BufReader::new(listener.stdout.take().unwrap());
        // The login may be heard of first.
        while !line.contains("report") {
            line.clear();
            assert_ne!(stdout.read_line(&mut line).unwrap(), 0, "it ended");
        }
        assert!(line.contains(&sent), "{line}");
        listener.kill().unwrap();
        listener.wait().unwrap();
    }
    for history in [&[][..], &["--from", "0"]] {
        let asked = [&["device", "points", PRODUCT_KEY, &device][..], history].concat();
        let json = server.text(&[&asked[..], &["-o", "json"]].concat());
        let table = server.text(&asked);
        for (index, text) in texts.iter().enumerate() {
            assert!(
                json.contains(&format!(r#"{{"point":"n{index}","value":{text},"time":"#)),
                "{text}: {json}"
            );
            let row = table.lines().find(|line| line.trim_start().starts_with(&format!("n{index} ")));
            let shown = row.unwrap_or_else(|| panic!("{text}: {table}")).split_whitespace().nth(1);
            assert_eq!(shown, Some(text.as_str()), "{table}");
        }
    }
    server.assert_alive();
}

#[test]
fn any_number_is_shown_as_it_was_sent() {
    let server = Server::start();
    let mut client = server.connect(Protection::Ccm8);
    let device = client.device.key.clone();
    let mut runner = TestRunner::deterministic();
    let number = "-?(0|[1-9][0-9]{0,30})([.][0-9]{1,30})?([eE][+-]?[0-9]{1,2})?";
    let double = proptest::num::f64::NORMAL.prop_map(|number| format!("{number:?}"));
    let numbers = proptest::collection::vec(proptest::prop_oneof![number, double], 10);
    for _ in 0..25 {
        let texts = numbers.new_tree(&mut runner).unwrap().current();
        report(&mut client, &points(&texts));
        let json = server.text(&["device", "points", PRODUCT_KEY, &device, "-o", "json"]);
        for (index, text) in texts.iter().enumerate() {
            assert!(
                json.contains(&format!(r#"{{"point":"n{index}","value":{text},"time":"#)),
                "{text}: {json}"
            );
        }
    }
    server.assert_alive();
}

#[test]
fn a_model_is_shown_as_it_was_given() {
    const MODEL: &str = concat!(
        r#"{"name":"Meter","modelId":"m","#,
        r#""attributes":[{"identifier":"k","dataType":"DOUBLE","default":23.308445025757262,"number":7}],"#,
        r#""measurepoints":[{"identifier":"z","dataType":"DOUBLE","number":9},"#,
        r#"{"identifier":"a","dataType":"INT","number":8}]}"#
    );
    let server = Server::start();
    let file = server.file("model.json", MODEL);
    server.text(&["product", "update", PRODUCT_KEY, "--model", &file]);
    let shown = server.text(&["product", "show", PRODUCT_KEY, "-o", "json"]);
    assert!(shown.contains(MODEL), "{shown}");
    // For people there are lines and indents, and nothing else is changed.
    let shown = server.text(&["model", "show", PRODUCT_KEY]);
    let without_space: String = shown.split_whitespace().collect();
    assert!(without_space.contains(MODEL), "{shown}");
}
