//! Acts that destroy: asked on a terminal, `--yes` elsewhere, and everything else is a no.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use narrowgate_testkit::program::{Program, Ran};

use crate::harness::program_with_device;

/// What destroys, and what it says where it did not.
const ACTS: [(&str, &str); 2] = [("delete", "nothing was deleted"), ("reset", "nothing was reset")];

fn run(mut command: Command, input: &str) -> Ran {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // It may end without reading.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap().into()
}

/// A shell's command line for the program.
fn line(program: &Program, arguments: &[&str]) -> String {
    let command = program.command(arguments);
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| format!("'{}'", word.to_str().unwrap())).collect::<Vec<_>>().join(" ")
}

/// The device with its secret, which must not change; the log of showing it does.
fn secret(program: &Program) -> String {
    program.json(&["device", "secret", "pk/dk-1"])["deviceSecret"].to_string()
}

#[test]
fn without_a_terminal_only_yes_destroys() {
    let program = program_with_device();
    let before = secret(&program);
    for (act, refusal) in ACTS {
        for input in ["n\n", "y\n", "yes\n", ""] {
            run(program.command(&["device", act, "dk-1"]), input).failed(64, &[refusal, "--yes"]);
        }
        for redirection in ["<&-", "</dev/null", "<&- 2>&-", "</dev/null 2>/dev/null"] {
            let mut shell = Command::new("sh");
            let line = format!("{} {redirection}", line(&program, &["device", act, "dk-1"]));
            shell.args(["-c", &line]).env_remove("NARROWGATE_DATA");
            assert_eq!(run(shell, "").code, 64, "{line}");
        }
        assert_eq!(secret(&program), before, "{act}");
    }
    program.json(&["device", "reset", "dk-1", "--yes"]);
    assert_ne!(secret(&program), before);
    program.json(&["device", "delete", "dk-1", "--yes"]);
    program.run(&["device", "show", "dk-1"]).failed(1, &["there is no device dk-1"]);
}

#[test]
fn on_a_terminal_only_a_yes_destroys() {
    let program = program_with_device();
    let before = secret(&program);
    // script(1) runs a command on a terminal of its own; what the command says comes out there.
    let answer = |act: &str, input: &str| {
        let mut script = Command::new("script");
        script.args(["-qec", &line(&program, &["device", act, "dk-1"]), "/dev/null"]);
        run(script, input)
    };
    for (act, refusal) in ACTS {
        for input in ["n\n", "\n", "no\n", "yess\n", "\u{4}"] {
            let ran = answer(act, input);
            assert_eq!(ran.code, 1, "{input:?}: {ran:?}");
            assert!(ran.stdout.contains(&format!("{act} pk/dk-1")), "{input:?}: {ran:?}");
            assert!(ran.stdout.contains(refusal), "{input:?}: {ran:?}");
        }
        assert_eq!(secret(&program), before, "{act}");
    }
    assert_eq!(answer("reset", "y\n").code, 0);
    assert_ne!(secret(&program), before);
    assert_eq!(answer("delete", "yes\n").code, 0);
    program.run(&["device", "show", "dk-1"]).failed(1, &["there is no device dk-1"]);
}
