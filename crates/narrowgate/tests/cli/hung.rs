//! A server that holds its socket and answers nothing: the command line says whom it waits for, and gives up.

use std::{process::Stdio, thread, time::Duration};

use narrowgate_testkit::program::Ran;

use crate::harness::program_with_device;

#[test]
fn a_server_that_goes_on_is_waited_for_with_a_note() {
    let program = program_with_device();
    let server = program.serve();
    server.signal("STOP");
    let mut command = program.command(&["product", "list", "-o", "json"]);
    let asked = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    thread::sleep(Duration::from_secs(5));
    server.signal("CONT");
    let ran: Ran = asked.wait_with_output().unwrap().into();
    assert_eq!(ran.json()[0]["productKey"], "pk");
    assert_eq!(ran.stderr, format!("waiting for the server (process {}) to answer\n", server.pid()));
}

#[test]
fn a_hung_server_is_given_up_and_a_change_may_have_been_made() {
    let program = program_with_device();
    let server = program.serve();
    server.signal("STOP");
    let ask = |arguments: &[&str]| {
        let mut command = program.command(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let reading = [&["product", "list"][..], &["device", "show", "dk-1"], &["status"], &["refused"]].map(ask);
    let changing = [&["device", "disable", "dk-1"][..], &["product", "create", "n"]].map(ask);
    let said = format!("process {} holds the control socket but does not answer", server.pid());
    for asked in reading {
        let ran: Ran = asked.wait_with_output().unwrap().into();
        ran.failed(1, &["waiting for the server", &said, "  try "]);
        assert!(!ran.stderr.contains("change"), "{ran:?}");
    }
    for asked in changing {
        let ran: Ran = asked.wait_with_output().unwrap().into();
        ran.failed(1, &["waiting for the server", &said, "not known whether the change was made"]);
    }
    server.signal("CONT");
}
