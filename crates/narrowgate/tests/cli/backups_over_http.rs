//! Backups that are made over HTTP.

use std::fs;

use narrowgate_testkit::program::{Program, Server};
use serde_json::Value;

use crate::{
    harness::program,
    tokens::{ask, json_of, token},
};

/// A program with a product, and the token of an administrator.
fn prepared() -> (Program, String) {
    let program = program();
    program.json(&["product", "create", "meters", "--product-key", "pk"]);
    let admin = token(&program, "admin", &["--role", "administrator"]);
    (program, admin)
}

fn make(server: &Server, admin: &str) -> (u16, Value) {
    json_of(ask(server, "POST", "/api/v1/backup", Some(admin), ""))
}

#[test]
fn a_backup_is_made_over_http_and_can_be_restored() {
    let (program, admin) = prepared();
    let server = program.serve();
    let (status, made) = make(&server, &admin);
    assert_eq!(status, 201, "{made}");
    let name = made["name"].as_str().expect("it has a name");
    let backup = program.data().join("backups").join(name);
    assert!(backup.join("manifest.json").exists() && !backup.join("data.key").exists(), "{made}");
    assert!(made["bytes"].as_u64().is_some_and(|bytes| bytes > 0), "{made}");
    let key = program.data().join("data.key").display().to_string();
    let other = crate::harness::program();
    other.json(&["restore", &backup.display().to_string(), "--key", &key]);
    assert_eq!(other.json(&["product", "list"])[0]["productKey"], "pk");
    let viewer = token(&program, "viewer", &["--role", "viewer"]);
    assert_eq!(json_of(ask(&server, "POST", "/api/v1/backup", Some(&viewer), "")).0, 403);
}

/// The server in the directory of the test, as somebody starts it who names nothing by its whole path.
fn serve_beside(program: &Program, more: &[&str]) -> Server {
    let serve = ["serve", "--dtls", "127.0.0.1:0", "--http", "127.0.0.1:0", "--data", "./data"];
    Server::start(program.bare(&[&serve[..], more].concat()))
}

#[test]
fn a_backup_is_made_over_http_where_the_data_directory_is_named_from_where_the_server_began() {
    let (program, admin) = prepared();
    let server = serve_beside(&program, &[]);
    let (status, made) = make(&server, &admin);
    assert_eq!(status, 201, "{made}");
    let name = made["name"].as_str().expect("it has a name");
    assert!(program.data().join("backups").join(name).join("manifest.json").exists(), "{made}");
}

#[test]
fn a_backup_over_http_goes_by_the_configuration_of_the_server_alone() {
    let (program, admin) = prepared();
    program.file("own.toml", "[log]\nfilter = \"info\"\n");
    fs::write(program.data().join("narrowgate.toml"), "[store]\nkind = \"memory\"\n").expect("it is written");
    let server = serve_beside(&program, &["--config", "own.toml"]);
    let (status, made) = make(&server, &admin);
    assert_eq!(status, 201, "{made}");
}

#[test]
fn a_backup_is_made_over_http_after_the_program_was_replaced_on_the_disk() {
    let (other, admin) = prepared();
    let here = other.binary().parent().expect("it is in a directory");
    let place = tempfile::tempdir_in(here).expect("a temporary folder");
    let linked = place.path().join("narrowgate");
    fs::hard_link(other.binary(), &linked).expect("it is on the same disk");
    let program = Program::new(&linked);
    let mut command = program.bare(&["serve", "--dtls", "127.0.0.1:0", "--http", "127.0.0.1:0", "--data"]);
    command.arg(other.data());
    let server = Server::start(command);
    fs::remove_file(&linked).expect("it can be removed");
    let (status, made) = make(&server, &admin);
    assert_eq!(status, 201, "{made}");
}
