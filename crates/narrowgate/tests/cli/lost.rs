//! Files of the data directory that are removed while a server runs.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use crate::{harness::program_with_device, server::get};

#[test]
fn a_second_server_does_not_start_where_lock_file_and_socket_were_removed() {
    let program = program_with_device();
    let server = program.serve();
    for name in ["narrowgate.lock", "control.sock"] {
        fs::remove_file(program.data().join(name)).unwrap();
    }
    let words: [&str; 2] = ["the data directory is in use", &format!("process {}", server.pid())];
    program.run(&["serve", "--dtls", "127.0.0.1:0", "--http", "off"]).failed(1, &words);
    program.run(&["device", "disable", "dk-1"]).failed(1, &words);
}

#[test]
fn a_server_whose_registry_is_gone_is_not_ready_until_it_is_back() {
    let program = program_with_device();
    let server = program.serve();
    let http = server.address("http");
    let comes = |words: &str| {
        let by = Instant::now() + Duration::from_secs(20);
        while !get(&http, "/health/ready").contains(words) {
            assert!(Instant::now() < by, "{words}: {}", get(&http, "/health/ready"));
            thread::sleep(Duration::from_millis(100));
        }
    };
    comes("200 OK");
    let (registry, aside) = (program.data().join("registry.db"), program.data().join("aside.db"));
    fs::rename(&registry, &aside).unwrap();
    comes("nothing can be stored; the log says why");
    assert!(get(&http, "/health/ready").starts_with("HTTP/1.1 503"));
    fs::rename(&aside, &registry).unwrap();
    comes("200 OK");
}
