//! Load for a narrowgate server on this machine: handshakes, reports, idle sessions.

use std::{
    error::Error,
    io::{self, BufWriter, Write},
    process::ExitCode,
    thread,
    time::Duration,
};

use clap::{Args, Parser, Subcommand, ValueEnum};
use narrowgate_dtls::CipherSuite;
use narrowgate_sim::load::{
    LoadConfig, LoadError, devices,
    handshakes::{self, Handshakes},
    outcome::Outcome,
    reports::{self, Reports},
    server::Measurement,
    sessions,
    target::Target,
};

/// Exit code of a run whose operations did not all succeed.
const EXIT_INCOMPLETE: u8 = 1;

/// Load for a narrowgate server on this machine. Anything but loopback is refused.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Prints the devices as CSV, for `narrowgate device import`. Their secrets can be computed by anybody.
    Devices {
        /// How many.
        #[arg(long)]
        count: u32,
    },
    /// Full handshakes of different devices; the server holds that many sessions afterwards.
    Handshakes {
        #[command(flatten)]
        common: Common,
        /// How many devices connect.
        #[arg(long)]
        count: u32,
        /// How many of them at once.
        #[arg(long, default_value_t = 64)]
        concurrency: u32,
    },
    /// Confirmable reports over sessions that are opened before the clock starts.
    Reports {
        #[command(flatten)]
        common: Common,
        /// How many devices report.
        #[arg(long, default_value_t = 1000)]
        sessions: u32,
        /// How many reports in total.
        #[arg(long)]
        count: u32,
        /// How many at once, over all sessions.
        #[arg(long, default_value_t = 64)]
        window: u32,
    },
    /// Opens sessions and leaves them idle.
    Sessions {
        #[command(flatten)]
        common: Common,
        /// How many.
        #[arg(long)]
        count: u32,
        /// Seconds to wait at the end; without it, until Enter is pressed.
        #[arg(long)]
        hold: Option<u64>,
    },
}

#[derive(Debug, Args)]
struct Common {
    /// Where the server is, in 127.0.0.0/8.
    #[arg(long)]
    server: Target,
    /// The product whose devices were imported.
    #[arg(long)]
    product_key: String,
    /// Number of the first device.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    first: u32,
    /// The only cipher suite that the devices offer.
    #[arg(long, value_enum, default_value_t = Suite::Ccm8)]
    suite: Suite,
    /// The server's process: its processor time and memory are reported too.
    #[arg(long)]
    server_pid: Option<u32>,
    /// Seconds after which the run ends, finished or not.
    #[arg(long, default_value_t = 120)]
    time_limit: u64,
    /// How the outcome is printed.
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    output: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Suite {
    /// TLS_PSK_WITH_AES_128_CCM_8
    Ccm8,
    /// TLS_PSK_WITH_AES_128_CBC_SHA256
    Cbc,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Text,
    Json,
}

impl Common {
    fn config(&self) -> LoadConfig {
        LoadConfig {
            target: self.server,
            product_key: self.product_key.clone(),
            first_device: self.first,
            suite: match self.suite {
                Suite::Ccm8 => CipherSuite::PskAes128Ccm8,
                Suite::Cbc => CipherSuite::PskAes128CbcSha256,
            },
            time_limit: Duration::from_secs(self.time_limit),
        }
    }

    fn measurement(&self) -> Option<Measurement> {
        self.server_pid.map(Measurement::new)
    }

    fn print(&self, outcome: &Outcome) -> io::Result<()> {
        let mut out = io::stdout().lock();
        match self.output {
            Format::Text => write!(out, "{outcome}"),
            Format::Json => writeln!(out, "{}", serde_json::to_string(outcome)?),
        }
    }
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(failed) if failed > 0 => ExitCode::from(EXIT_INCOMPLETE),
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            let mut text = format!("error: {error}\n");
            let mut cause = error.source();
            while let Some(error) = cause {
                text += &format!("  reason  {error}\n");
                cause = error.source();
            }
            // Where standard error is closed nobody reads it.
            let _ = io::stderr().write_all(text.as_bytes());
            ExitCode::FAILURE
        }
    }
}

/// Runs a command; returns how many operations failed.
fn run(command: Command) -> Result<u32, Box<dyn Error>> {
    let (common, outcome) = match command {
        Command::Devices { count } => {
            let mut out = BufWriter::new(io::stdout().lock());
            devices::write_csv(count, &mut out)?;
            out.flush()?;
            return Ok(0);
        }
        Command::Handshakes { common, count, concurrency } => {
            let handshakes = Handshakes { count, concurrency };
            let outcome = handshakes::run(&common.config(), handshakes, common.measurement().as_ref())?;
            (common, outcome)
        }
        Command::Reports { common, sessions, count, window } => {
            let reports = Reports { sessions, count, window };
            let outcome = reports::run(&common.config(), reports, common.measurement().as_ref())?;
            (common, outcome)
        }
        Command::Sessions { common, count, hold } => {
            let outcome = sessions::run(&common.config(), count, common.measurement().as_ref())?;
            common.print(&outcome)?;
            wait(hold)?;
            return Ok(outcome.failed);
        }
    };
    common.print(&outcome)?;
    Ok(outcome.failed)
}

fn wait(hold: Option<u64>) -> Result<(), LoadError> {
    match hold {
        Some(seconds) => thread::sleep(Duration::from_secs(seconds)),
        None => {
            io::stdin().read_line(&mut String::new()).map_err(LoadError::Exchange)?;
        }
    }
    Ok(())
}
