//! Where secrets may be seen: arguments, a stranger's socket, memory that was given back, core dumps.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::unix::{
        fs::{FileExt as _, MetadataExt as _, PermissionsExt as _},
        process::CommandExt as _,
    },
    process::{Command, Stdio},
};

use narrowgate_testkit::program::Ran;

use crate::harness::{program, program_with_device};

/// 128 bits.
const SECRET: &str = "0f8c3e71a5d2964b0f8c3e71a5d2964b";

#[test]
fn a_dash_reads_the_secret_from_standard_input() {
    let program = program_with_device();
    let given = |arguments: &[&str], input: &str| -> Ran {
        let mut command = program.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // Ignored: a command that does not read it may have ended.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap().into()
    };
    let device =
        ["device", "create", "--product", "pk", "--device-key", "d2", "--device-secret", "-", "-o", "json"];
    assert_eq!(given(&device, &format!("{SECRET}\n")).json()["deviceSecret"], SECRET);
    assert_eq!(program.json(&["device", "secret", "d2"])["deviceSecret"], SECRET);
    given(&device, "").failed(64, &["no secret for --device-secret", "--device-secret - < FILE"]);
    let product = ["product", "create", "n", "--product-key", "p2", "--product-secret", "-", "-o", "json"];
    assert_eq!(given(&product, SECRET).json()["productSecret"], SECRET);
    for command in ["product", "device"] {
        let help = program.run(&[command, "create", "--help"]).stdout;
        assert!(help.contains("standard input") && help.contains("(ps)"), "{help}");
    }
}

/// A program of another user that listens at `control.sock` and prints what it is sent.
const LISTENER: &str = "use IO::Socket::UNIX; \
     my $s = IO::Socket::UNIX->new(Local => $ARGV[0], Listen => 1) or die; \
     chmod 0666, $ARGV[0]; $| = 1; print \"listening\\n\"; my $c = $s->accept; \
     while (sysread($c, my $b, 4096)) { print $b } print \"end\\n\";";

#[test]
#[expect(clippy::print_stderr, reason = "whoever runs the tests should see that this was not tried")]
fn no_secret_is_sent_to_a_socket_of_another_user() {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        eprintln!("not tried: only root can start a program as another user");
        return;
    }
    let program = program();
    let data = program.data();
    fs::create_dir(&data).unwrap();
    for folder in data.ancestors().skip(1).take_while(|folder| folder.starts_with(std::env::temp_dir())) {
        if folder != std::env::temp_dir() {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
        }
    }
    fs::set_permissions(&data, fs::Permissions::from_mode(0o777)).unwrap();
    let mut stranger = Command::new("perl")
        .args(["-e", LISTENER])
        .arg(data.join("control.sock"))
        .uid(65534)
        .stdout(Stdio::piped())
        .spawn()
        .expect("Debian has perl");
    let mut said = BufReader::new(stranger.stdout.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert_eq!(line, "listening\n");
    let create = ["device", "create", "--product", "pk", "--device-secret", SECRET];
    program.run(&create).failed(
        1,
        &[
            "the control socket is not the server's",
            "user with the id 65534",
            "nothing was sent",
            "chmod 700",
        ],
    );
    let mut sent = String::new();
    said.read_to_string(&mut sent).unwrap();
    assert_eq!(sent, "end\n", "nothing came");
    stranger.wait().unwrap();
}

#[test]
fn neither_a_command_nor_a_server_leaves_its_memory_in_a_core_dump() {
    let program = program_with_device();
    let server = program.serve();
    let of = |name: &str| fs::read_to_string(format!("/proc/{}/{name}", server.pid())).unwrap();
    let limits = of("limits");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().filter(|word| *word == "0").count(), 2, "{core}");
    assert_eq!(of("coredump_filter").trim(), "00000000");
}

/// In how many places of its memory a process has this text.
fn times_in_memory(pid: u32, text: &[u8]) -> usize {
    const BLOCK: usize = 4096;
    let memory = File::open(format!("/proc/{pid}/mem")).unwrap();
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let mut times = 0;
    for map in maps.lines().filter(|map| map.contains(" rw-p ")) {
        let (begin, end) = map.split(' ').next().unwrap().split_once('-').unwrap();
        let [mut at, end] = [begin, end].map(|address| u64::from_str_radix(address, 16).unwrap());
        // With the beginning of the next piece, in which a place may end.
        let mut bytes = vec![0; (1 << 20) + text.len() - 1];
        while at < end {
            let length = bytes.len().min((end - at) as usize);
            // Reserved memory that nothing is behind cannot be read.
            if memory.read_exact_at(&mut bytes[..length], at).is_err() {
                break;
            }
            for from in (0..length.min(1 << 20)).step_by(BLOCK) {
                let block = &bytes[from..length.min(from + BLOCK + text.len() - 1)];
                // Most blocks are empty.
                if block.contains(&text[0]) {
                    times += block.windows(text.len()).filter(|window| *window == text).count();
                }
            }
            at += 1 << 20;
        }
    }
    times
}

#[test]
fn a_secret_that_was_shown_is_not_left_in_the_memory_of_the_server() {
    let program = program_with_device();
    // Registered without the server, which then has never seen it.
    let create = ["device", "create", "--product", "pk", "--device-key", "d2", "--device-secret", SECRET];
    program.json(&create);
    let server = program.serve();
    let times = |text: &str| times_in_memory(server.pid(), text.as_bytes());
    assert!(times(&program.data().display().to_string()) > 0, "its arguments are there");
    assert_eq!(times(SECRET), 0);
    for _ in 0..3 {
        assert_eq!(program.json(&["device", "secret", "d2"])["deviceSecret"], SECRET);
    }
    assert_eq!(times(SECRET), 0);
}
