//! Files of the data directory that are removed while a server runs.

use std::fs;

use crate::harness::program_with_device;

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
