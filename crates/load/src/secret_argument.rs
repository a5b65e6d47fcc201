//! Secrets as arguments: `-` takes one from standard input, because arguments show in the list of processes
//! (`ps`) and stay in the shell's history.

use std::{
    error::Error,
    io::{self, BufRead},
};

/// Longest line that is taken, without its end; no secret is longer.
const LINE_BYTES_MAX: usize = 1024;
/// `\r\n`.
const END_BYTES_MAX: usize = 2;

/// The secret that an option names. What follows it on standard input is left there.
///
/// # Errors
/// Standard input does not hold one secret in one line.
pub fn secret(argument: Option<String>, option: &str) -> Result<Option<String>, Box<dyn Error>> {
    match argument {
        Some(dash) if dash == "-" => read(io::stdin().lock(), option).map(Some),
        other => Ok(other),
    }
}

fn read(input: impl BufRead, option: &str) -> Result<String, Box<dyn Error>> {
    let wrong = |reason: &str| format!("there is no secret for {option} - on standard input: {reason}");
    let mut line = Vec::with_capacity(LINE_BYTES_MAX + END_BYTES_MAX);
    let mut input = input.take((LINE_BYTES_MAX + END_BYTES_MAX) as u64);
    input.read_until(b'\n', &mut line).map_err(|error| wrong(&error.to_string()))?;
    let secret = line.strip_suffix(b"\n").unwrap_or(&line);
    let secret = secret.strip_suffix(b"\r").unwrap_or(secret);
    if secret.is_empty() {
        return Err(wrong("the first line is empty").into());
    }
    if secret.len() > LINE_BYTES_MAX {
        return Err(wrong(&format!("the first line is longer than {LINE_BYTES_MAX} bytes")).into());
    }
    Ok(std::str::from_utf8(secret).map_err(|_| wrong("it is not UTF-8"))?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_the_first_line_of_standard_input() {
        for input in ["s3 cret", "s3 cret\n", "s3 cret\r\n", "s3 cret\nanother line\n"] {
            assert_eq!(read(input.as_bytes(), "--activation-secret").unwrap(), "s3 cret", "{input:?}");
        }
        let mut input = &b"secret\nrest"[..];
        assert_eq!(read(&mut input, "--activation-secret").unwrap(), "secret");
        assert_eq!(input, b"rest", "what follows is read by others");
        assert_eq!(secret(Some("abc".into()), "--activation-secret").unwrap().as_deref(), Some("abc"));
        assert_eq!(secret(None, "--activation-secret").unwrap(), None);
        let longest = "x".repeat(LINE_BYTES_MAX);
        for end in ["", "\n", "\r\n", "\nanother line\n"] {
            let input = format!("{longest}{end}");
            assert_eq!(read(input.as_bytes(), "--activation-secret").unwrap(), longest, "{end:?}");
            let said = read(format!("x{input}").as_bytes(), "--activation-secret").unwrap_err().to_string();
            assert!(said.ends_with("is longer than 1024 bytes"), "{said}");
        }
    }

    #[test]
    fn what_is_no_secret_is_refused() {
        let long = "x".repeat(2000);
        for (input, reason) in [("", "is empty"), ("\n", "is empty"), (&*long, "is longer than 1024 bytes")] {
            let said = read(input.as_bytes(), "--activation-secret").unwrap_err().to_string();
            let begin = "there is no secret for --activation-secret - on standard input: ";
            assert!(said.starts_with(begin) && said.ends_with(reason), "{said}");
        }
        assert!(read(&b"\xff\n"[..], "--activation-secret").is_err());
    }
}
