//! Secrets to import: `-` takes one from standard input, because arguments show in the list of processes and
//! stay in the shell's history.

use std::io::{self, BufRead, IsTerminal as _};

use narrowgate_api::secret::SecretText;
use zeroize::Zeroizing;

use crate::{failure::Failure, output};

/// Longest line that is taken, without its end; no secret is longer.
const LINE_BYTES_MAX: usize = 1024;
/// `\r\n`.
const END_BYTES_MAX: usize = 2;

/// The secret that an option names.
///
/// # Errors
/// Standard input does not hold one secret in one line.
pub(super) fn secret(argument: Option<String>, option: &str) -> Result<Option<SecretText>, Failure> {
    match argument {
        Some(dash) if dash == "-" => {
            let input = io::stdin().lock();
            if input.is_terminal() {
                output::note("enter the secret (it shows), and press Enter");
            }
            read(input, option).map(Some)
        }
        other => Ok(other.map(SecretText::new)),
    }
}

fn read(input: impl BufRead, option: &str) -> Result<SecretText, Failure> {
    let wrong = |reason: &str| {
        Failure::usage(format_args!("there is no secret for {option} - on standard input"))
            .reason(reason)
            .hint(format_args!("write it there in one line: narrowgate … {option} - < FILE"))
    };
    let mut bytes = Zeroizing::new(Vec::with_capacity(LINE_BYTES_MAX + END_BYTES_MAX));
    let mut input = input.take((LINE_BYTES_MAX + END_BYTES_MAX) as u64);
    input.read_until(b'\n', &mut bytes).map_err(|error| wrong(&error.to_string()))?;
    let line = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.is_empty() {
        return Err(wrong("the first line is empty"));
    }
    if line.len() > LINE_BYTES_MAX {
        return Err(wrong(&format!("the first line is longer than {LINE_BYTES_MAX} bytes")));
    }
    // What follows it is not read: a terminal gives one line at a time.
    let text = std::str::from_utf8(line).map_err(|_| wrong("it is not UTF-8"))?;
    Ok(SecretText::new(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_the_first_line_of_standard_input() {
        let taken = |input: &str| read(input.as_bytes(), "--device-secret").unwrap();
        for input in ["s3 cret", "s3 cret\n", "s3 cret\r\n", "s3 cret\nanother line\n"] {
            assert_eq!(taken(input).expose(), "s3 cret", "{input:?}");
        }
        assert_eq!(taken(" s ").expose(), " s ", "spaces belong to it");
        let given = secret(Some("abc".into()), "--device-secret").unwrap().unwrap();
        assert_eq!(given.expose(), "abc");
        assert!(secret(None, "--device-secret").unwrap().is_none());
        let longest = "x".repeat(LINE_BYTES_MAX);
        for end in ["", "\n", "\r\n", "\nanother line\n"] {
            let input = format!("{longest}{end}");
            assert_eq!(taken(&input).expose(), longest, "{end:?}");
            let failure = read(format!("x{input}").as_bytes(), "--device-secret").unwrap_err();
            assert!(failure.parts[0].1.ends_with("is longer than 1024 bytes"), "{failure:?}");
        }
    }

    #[test]
    fn what_is_no_secret_is_refused() {
        let long = "x".repeat(2000);
        for (input, reason) in [("", "is empty"), ("\n", "is empty"), (&*long, "is longer than 1024 bytes")] {
            let failure = read(input.as_bytes(), "--product-secret").unwrap_err();
            assert_eq!(failure.headline, "there is no secret for --product-secret - on standard input");
            assert!(failure.parts[0].1.ends_with(reason), "{failure:?}");
        }
        assert!(read(&b"\xff\n"[..], "--device-secret").is_err());
    }
}
