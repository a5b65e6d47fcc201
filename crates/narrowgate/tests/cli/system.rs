//! The server and the system that runs it: the service manager, and too few file descriptors.

use std::{
    os::unix::net::UnixDatagram,
    process::Command,
    time::{Duration, Instant},
};

use narrowgate_testkit::program::{Ran, Server};

use crate::harness::{program, program_with_device};

#[test]
fn the_service_manager_hears_of_the_start_the_watchdog_and_the_stop() {
    let program = program_with_device();
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("notify");
    let manager = UnixDatagram::bind(&socket).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let heard = || {
        let mut bytes = [0; 64];
        let length = manager.recv(&mut bytes).expect("it says something");
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    };
    let mut command = program.command(&["serve", "--dtls", "127.0.0.1:0", "--http", "off"]);
    command.env("NOTIFY_SOCKET", &socket).env("WATCHDOG_USEC", "1000000");
    let server = Server::start(command);
    let mut first = vec![heard(), heard()];
    first.sort();
    assert!(first.contains(&"READY=1".to_owned()), "{first:?}");
    let began = Instant::now();
    for _ in 0..6 {
        assert_eq!(heard(), "WATCHDOG=1");
    }
    assert!(began.elapsed() >= Duration::from_secs(2), "twice a second: {:?}", began.elapsed());
    server.signal("TERM");
    while heard() != "STOPPING=1" {}
    let (code, said) = server.wait();
    assert_eq!(code, 0, "{said}");
}

#[test]
fn too_few_file_descriptors_are_named_and_no_disk_is_blamed() {
    let program = program();
    program.json(&["product", "create", "meters", "--product-key", "pk"]);
    let serve = |limit: u32| -> Ran {
        let mut command = Command::new("sh");
        command
            .args(["-c", "ulimit -n \"$0\" && exec timeout -s TERM 4 \"$@\"", &limit.to_string()])
            .arg(program.binary())
            .args(["serve", "--dtls", "127.0.0.1:0", "--http", "127.0.0.1:0", "--shards", "2", "--data"])
            .arg(program.data());
        command.output().unwrap().into()
    };
    let mut named = 0;
    for limit in (8..32).step_by(3) {
        let ran = serve(limit);
        if ran.stderr.contains("\nready\n") {
            break;
        }
        // Before the program's own words there may be none: the system's loader opens files too.
        if ran.stderr.contains("error: ") {
            named += 1;
            assert!(ran.stderr.contains("ulimit -n"), "{limit}: {ran:?}");
            assert!(!ran.stderr.contains("disk"), "{limit}: {ran:?}");
        }
    }
    assert!(named >= 3, "{named}");
}
