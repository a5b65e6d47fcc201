//! The log: one line per event on standard error, through a queue that never blocks.
//!
//! An event is one line, whatever its fields hold. Panics take this way too, so that a full pipe cannot keep
//! a panicking process from ending.

use std::{
    backtrace::Backtrace,
    fmt::Write as _,
    io,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use narrowgate_api::time::rfc3339;

use tracing_subscriber::fmt::MakeWriter;

use crate::{
    config::{Config, log::LogFormat},
    failure::Failure,
    output::{self, Lines, is_coloured, printable, printable_coloured, printable_lines},
};

/// How long a panic's message may take to be written.
const PANIC_TIME_MAX: Duration = Duration::from_secs(1);

/// Starts the log.
///
/// # Errors
/// The system cannot start a thread for it.
pub(crate) fn start(config: &Config) -> Result<(), Failure> {
    let lines = output::queue_stderr()?;
    let format = config.log.format;
    log_panics(lines.clone(), format);
    let colours = format == LogFormat::Text && is_coloured(&io::stderr());
    let filter = tracing_subscriber::EnvFilter::builder()
        .parse(&config.log.filter)
        .map_err(|error| Failure::config("the log filter is wrong").reason(error))?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(Log { lines, format, colours })
        .with_ansi(colours)
        .log_internal_errors(false);
    // Ignored: a second start, in tests, keeps the first log.
    let _ = match format {
        LogFormat::Text => log.try_init(),
        LogFormat::Json => log.json().with_current_span(false).with_span_list(false).try_init(),
    };
    Ok(())
}

fn log_panics(lines: Lines, format: LogFormat) {
    std::panic::set_hook(Box::new(move |panic| {
        let thread = std::thread::current();
        let mut text = format!("thread '{}' {panic}\n", thread.name().unwrap_or_default());
        let backtrace = Backtrace::capture();
        if backtrace.status() == std::backtrace::BacktraceStatus::Captured {
            text += &format!("{backtrace}\n");
        }
        let text = match format {
            LogFormat::Text => printable_lines(&text),
            LogFormat::Json => panic_line(&text),
        };
        lines.push(text.into_bytes());
        lines.flush(PANIC_TIME_MAX);
    }));
}

/// A panic in the form of an event.
fn panic_line(text: &str) -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let timestamp = rfc3339(i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
    let fields = serde_json::json!({"message": text});
    let event = serde_json::json!({
        "timestamp": timestamp, "level": "ERROR", "fields": fields, "target": "panic",
    });
    line(event.to_string().as_bytes(), LogFormat::Json, false)
}

/// Turns each event into a line.
struct Log {
    lines: Lines,
    format: LogFormat,
    colours: bool,
}

/// Receives one event.
struct Event<'a>(&'a Log);

impl<'a> MakeWriter<'a> for Log {
    type Writer = Event<'a>;

    fn make_writer(&'a self) -> Event<'a> {
        Event(self)
    }
}

impl io::Write for Event<'_> {
    /// Receives a whole event at once, and never fails.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lines.push(line(bytes, self.0.format, self.0.colours).into_bytes());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn line(event: &[u8], format: LogFormat, colours: bool) -> String {
    let text = String::from_utf8_lossy(event);
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let mut line = match (format, colours) {
        (LogFormat::Json, _) => printable_json(text),
        (LogFormat::Text, true) => printable_coloured(text),
        (LogFormat::Text, false) => printable(text),
    };
    line.push('\n');
    line
}

/// JSON in which what does not show, or moves what does, is escaped as JSON escapes it (RFC 8259, section 7).
/// Outside of strings JSON has no such characters.
fn printable_json(json: &str) -> String {
    let mut line = String::with_capacity(json.len());
    for letter in json.chars() {
        let mut shown = [0; 4];
        if letter.is_ascii() || printable(letter.encode_utf8(&mut shown)).len() == letter.len_utf8() {
            line.push(letter);
            continue;
        }
        for unit in letter.encode_utf16(&mut [0; 2]) {
            // Writing to a String cannot fail.
            let _ = write!(line, "\\u{unit:04x}");
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_event_is_one_printable_line() {
        let written = Written::default();
        let lines = Lines::start("test", written.clone(), None).unwrap();
        let log = Log { lines: lines.clone(), format: LogFormat::Text, colours: false };
        let subscriber = tracing_subscriber::fmt().without_time().with_writer(log).with_ansi(false).finish();
        tracing::subscriber::with_default(subscriber, || {
            let stranger = "a\u{2028}b\u{feff}\nERROR forged\u{1b}[2J";
            tracing::info!(identity = ?stranger, shown = %stranger, "refused {stranger}");
        });
        lines.flush(Duration::from_secs(10));
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.matches('\n').count(), 1, "{text}");
        assert_eq!(text.matches("a\\u{2028}b\\u{feff}\\nERROR forged\\u{1b}[2J").count(), 2, "{text}");
        assert!(!text.contains(|letter: char| letter != '\n' && letter.is_control()), "{text}");
    }

    #[test]
    fn an_event_is_one_line_of_json_with_everything_that_was_said() {
        let written = Written::default();
        let lines = Lines::start("test", written.clone(), None).unwrap();
        let log = Log { lines: lines.clone(), format: LogFormat::Json, colours: false };
        let subscriber = tracing_subscriber::fmt().json().with_writer(log).finish();
        let stranger = "a\u{2028}b\u{feff}\n\"}\u{1b}[2J \u{e0041} é 名";
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(identity = stranger, sessions = 3, "refused");
        });
        lines.flush(Duration::from_secs(10));
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.matches('\n').count(), 1, "{text}");
        assert!(!text.contains(['\u{2028}', '\u{feff}', '\u{1b}', '\u{e0041}']), "{text}");
        assert!(text.contains("é 名"), "{text}");
        let event: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(event["fields"]["identity"], stranger);
        assert_eq!(event["fields"]["sessions"], 3);
        assert_eq!((&event["level"], &event["fields"]["message"]), (&"WARN".into(), &"refused".into()));
        let panic: serde_json::Value = serde_json::from_str(&panic_line("thread 'x'\nat y\n")).unwrap();
        assert_eq!(panic["fields"]["message"], "thread 'x'\nat y\n");
    }
}
