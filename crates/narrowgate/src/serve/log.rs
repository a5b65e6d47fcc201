//! The log: one line per event on standard error, through a queue that never blocks.
//!
//! An event is one line, whatever its fields hold. Panics take this way too, so that a full pipe cannot keep
//! a panicking process from ending.

use std::{backtrace::Backtrace, io, time::Duration};

use tracing_subscriber::fmt::MakeWriter;

use crate::{
    config::Config,
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
    log_panics(lines.clone());
    let colours = is_coloured(&io::stderr());
    let filter = tracing_subscriber::EnvFilter::builder()
        .parse(&config.log.filter)
        .map_err(|error| Failure::config("the log filter is wrong").reason(error))?;
    // Ignored: a second start, in tests, keeps the first log.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(Log { lines, colours })
        .with_ansi(colours)
        .log_internal_errors(false)
        .try_init();
    Ok(())
}

fn log_panics(lines: Lines) {
    std::panic::set_hook(Box::new(move |panic| {
        let thread = std::thread::current();
        let mut text = format!("thread '{}' {panic}\n", thread.name().unwrap_or_default());
        let backtrace = Backtrace::capture();
        if backtrace.status() == std::backtrace::BacktraceStatus::Captured {
            text += &format!("{backtrace}\n");
        }
        lines.push(printable_lines(&text).into_bytes());
        lines.flush(PANIC_TIME_MAX);
    }));
}

/// Turns each event into a line.
struct Log {
    lines: Lines,
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
        self.0.lines.push(line(bytes, self.0.colours).into_bytes());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn line(event: &[u8], colours: bool) -> String {
    let text = String::from_utf8_lossy(event);
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let mut line = if colours { printable_coloured(text) } else { printable(text) };
    line.push('\n');
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
        let log = Log { lines: lines.clone(), colours: false };
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
}
