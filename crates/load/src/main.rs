//! Load for a narrowgate server on this machine: handshakes, reports, idle sessions.

use std::{
    error::Error,
    fmt::Display,
    io::{self, BufWriter, Write},
    path::PathBuf,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use clap::{Args, Parser, Subcommand, ValueEnum};
use narrowgate_dtls::CipherSuite;
use narrowgate_load::{
    LoadConfig, LoadError,
    fleet::{self, Activation, Fleet},
    flood::{self, Flood, FloodKind},
    handshakes::{self, Handshakes},
    mutations::{self, Mutations},
    reports::{self, Amount, Reports},
    secret_argument::secret,
    server::Measurement,
    sessions,
    target::Target,
};
use narrowgate_sim::devices;
use nix::sys::resource::{Resource, setrlimit};
use serde::Serialize;

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
        #[command(flatten)]
        amount: AmountArgs,
        /// How many at once, over all sessions.
        #[arg(long, default_value_t = 64)]
        window: u32,
        /// How many per second, over all sessions; without it as many as are answered.
        #[arg(long)]
        rate: Option<u32>,
        /// The points of every report, a JSON object; `{number}` in it is the number of the report.
        #[arg(long, default_value = reports::POINTS)]
        points: String,
        /// Forged records per second, from the addresses of the devices, beside the reports.
        #[arg(long, default_value_t = 0)]
        forgeries: u32,
    },
    /// Devices that report all the time, outlive the server, and log what they sent and what was
    /// acknowledged.
    Fleet {
        #[command(flatten)]
        common: Common,
        /// How many devices report.
        #[arg(long, default_value_t = 300)]
        devices: u32,
        /// Reports per second, over all devices.
        #[arg(long, default_value_t = 1000)]
        rate: u32,
        /// The log that is written, or continued.
        #[arg(long)]
        log: PathBuf,
        /// The devices take commands, set attributes and tags, and tell of events, too.
        #[arg(long)]
        duties: bool,
        /// End, too, when standard input does.
        #[arg(long)]
        until_input_ends: bool,
        #[command(flatten)]
        activation: ActivationArgs,
    },
    /// Mutated datagrams and messages at a server with one shard, which must not notice; exit code 1 if it
    /// does.
    ///
    /// Start the server with `store.cache` at 1MiB and give the product a thing model: else the cache that
    /// fills, and points that mutations invent, count as memory that grows.
    Mutations {
        #[command(flatten)]
        common: Common,
        /// How many.
        #[arg(long, default_value_t = 1_000_000)]
        count: u32,
        /// What they follow from.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Where the server shows its metrics.
        #[arg(long)]
        http: Target,
        /// The server's dtls.handshake_lifetime, seconds.
        #[arg(long, default_value_t = 60)]
        handshake_lifetime: u64,
    },
    /// Hellos or handshakes given up from a million addresses, beside an honest device; exit code 1 if
    /// anything stays.
    Flood {
        #[command(flatten)]
        common: Common,
        /// What is sent.
        #[arg(long, value_enum)]
        kind: Kind,
        /// Hellos per second.
        #[arg(long, default_value_t = 10_000)]
        rate: u32,
        /// Hellos in total.
        #[arg(long, default_value_t = 1_000_000)]
        count: u32,
        /// Where the server shows its metrics.
        #[arg(long)]
        http: Target,
        /// The server's dtls.handshake_lifetime, seconds.
        #[arg(long, default_value_t = 60)]
        handshake_lifetime: u64,
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

/// How many reports, or for how long.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct AmountArgs {
    /// How many reports in total.
    #[arg(long)]
    count: Option<u32>,
    /// For how many seconds; beyond 247 s the server drops as many answers for duplicates as it adds. The
    /// time limit begins after them.
    #[arg(long)]
    seconds: Option<u64>,
}

impl AmountArgs {
    fn amount(&self) -> Amount {
        match self.seconds {
            Some(seconds) => Amount::Time(Duration::from_secs(seconds)),
            // One of the two is there.
            None => Amount::Count(self.count.unwrap_or_default()),
        }
    }
}

/// Devices that fetch their secrets meanwhile.
#[derive(Debug, Args)]
struct ActivationArgs {
    /// A product with dynamic activation.
    #[arg(long, requires_all = ["activation_secret", "activation_first", "activation_count"])]
    activation_product: Option<String>,
    /// Its secret; - reads it from standard input, one line.
    ///
    /// Arguments show in the list of processes (ps) and stay in the shell's history.
    #[arg(long)]
    activation_secret: Option<String>,
    /// Number of its first device.
    #[arg(long)]
    activation_first: Option<u32>,
    /// How many it has.
    #[arg(long)]
    activation_count: Option<u32>,
}

impl ActivationArgs {
    /// # Errors
    /// The secret is to be on standard input, and is not there.
    fn activation(self) -> Result<Option<Activation>, Box<dyn Error>> {
        let Self { activation_product, activation_secret, activation_first, activation_count } = self;
        let product_secret = secret(activation_secret, "--activation-secret")?;
        let whole = activation_product.zip(product_secret).zip(activation_first.zip(activation_count));
        Ok(whole.map(|((product_key, product_secret), (first_device, count))| Activation {
            product_key,
            product_secret,
            first_device,
            count,
        }))
    }
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
    /// The lifetime in the devices' identities, seconds: so long after its last word one is offline.
    #[arg(long, default_value_t = 3600, value_parser = clap::value_parser!(u32).range(30..=86400))]
    lifetime: u32,
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
enum Kind {
    /// ClientHellos without a cookie
    Hello,
    /// Handshakes given up after the server's flight
    Abandoned,
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
            lifetime_s: self.lifetime,
            time_limit: Duration::from_secs(self.time_limit),
        }
    }

    fn measurement(&self) -> Option<Measurement> {
        self.server_pid.map(Measurement::new)
    }

    fn print(&self, outcome: &(impl Display + Serialize)) -> io::Result<()> {
        let mut out = io::stdout().lock();
        match self.output {
            Format::Text => write!(out, "{outcome}"),
            Format::Json => writeln!(out, "{}", serde_json::to_string(outcome)?),
        }
    }
}

fn main() -> ExitCode {
    leave_no_core();
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
            // Ignored: if standard error is closed, nobody reads it.
            let _ = io::stderr().write_all(text.as_bytes());
            ExitCode::FAILURE
        }
    }
}

/// Keeps the memory, in which secrets are, out of core dumps, as `narrowgate` does.
fn leave_no_core() {
    // Ignored: then what the system dumps is up to who runs this.
    let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
    let _ = std::fs::write("/proc/self/coredump_filter", "0");
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
        Command::Reports { common, sessions, amount, window, rate, points, forgeries } => {
            let amount = amount.amount();
            let reports = Reports { sessions, amount, window, rate, points: points.into(), forgeries };
            let outcome = reports::run(&common.config(), reports, common.measurement().as_ref())?;
            (common, outcome)
        }
        Command::Fleet { common, devices, rate, log, duties, until_input_ends, activation } => {
            // Before anything else reads standard input.
            let activation = activation.activation()?;
            let stop = Arc::new(AtomicBool::new(false));
            if until_input_ends {
                stop_at_end_of_input(Arc::clone(&stop));
            }
            let fleet = Fleet { devices, rate, log, activation, has_duties: duties, stop };
            common.print(&fleet::run(&common.config(), &fleet)?)?;
            return Ok(0);
        }
        Command::Mutations { common, count, seed, http, handshake_lifetime } => {
            let server = common.measurement().ok_or("--server-pid says whose memory is watched")?;
            let handshake_lifetime = Duration::from_secs(handshake_lifetime);
            let mutations = Mutations { count, seed, http, handshake_lifetime };
            let outcome = mutations::run(&common.config(), &mutations, &server)?;
            common.print(&outcome)?;
            return Ok(outcome.violations.len() as u32);
        }
        Command::Flood { common, kind, rate, count, http, handshake_lifetime } => {
            let server = common.measurement().ok_or("--server-pid says whose memory is watched")?;
            let kind = match kind {
                Kind::Hello => FloodKind::Hello,
                Kind::Abandoned => FloodKind::Abandoned,
            };
            let handshake_lifetime = Duration::from_secs(handshake_lifetime);
            let flood = Flood { kind, rate, count, http, handshake_lifetime };
            let outcome = flood::run(&common.config(), &flood, &server)?;
            common.print(&outcome)?;
            return Ok(outcome.violations.len() as u32);
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

/// Sets `stop` when standard input ends.
fn stop_at_end_of_input(stop: Arc<AtomicBool>) {
    thread::spawn(move || {
        // Ignored: whether it ended or failed, nobody is left at the input.
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        stop.store(true, Ordering::Relaxed);
    });
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
