//! A server of the engine alone, without platform or store: it knows every device of the load client and
//! answers every report with success, on the shard's own thread. What it costs is the floor for the whole
//! gateway.
//!
//! `cargo run --release -p narrowgate-benches --bin engine_server -- 127.0.0.1:5684 [MIB]`, then
//! `narrowgate-load` against it. `MIB` is the memory for answers that are kept for duplicates: a run that is
//! longer than the 247 s for which they are kept (`narrowgate-load reports --seconds 300`) needs 4 KiB for
//! each report a second.

use std::{
    env,
    error::Error,
    io::{self, Write},
    net::SocketAddr,
    sync::{Arc, OnceLock},
    thread,
    time::Duration,
};

use narrowgate_benches::respond;
use narrowgate_dtls::{DecoySecret, PskAnswer, ServerConfig};
use narrowgate_engine::{
    event::{ShardCommand, ShardEvent},
    shard::ShardConfig,
};
use narrowgate_engine_io::{
    driver::{EventSink, RunningShard},
    handle::ShardHandle,
    socket,
};
use narrowgate_sim::{devices, key::key_of, world::shard_config};

/// Answers on the shard's own thread, through its command queue like any platform.
struct Sink {
    handle: Arc<OnceLock<ShardHandle>>,
}

impl EventSink for Sink {
    fn deliver(&mut self, events: &mut Vec<ShardEvent>) {
        let mut answers: Vec<_> = events.drain(..).filter_map(answer).collect();
        if let Some(handle) = self.handle.get() {
            // This very thread takes them in its next turn: there is room.
            handle.send(&mut answers);
        }
    }
}

fn answer(event: ShardEvent) -> Option<ShardCommand> {
    match event {
        ShardEvent::PskWanted { handshake, identity, .. } => {
            let identity = String::from_utf8(identity).ok();
            let number = identity.and_then(|text| devices::device_number(text.split(',').nth(1)?));
            let answer = number.map_or_else(PskAnswer::decoy, |number| {
                PskAnswer::key(key_of(devices::device_secret(number).as_bytes()))
            });
            Some(ShardCommand::ProvidePsk { handshake, answer })
        }
        ShardEvent::Request { ticket, request } => {
            Some(ShardCommand::Respond { ticket, response: respond(&request) })
        }
        _ => None,
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let answer_mib: usize = env::args().nth(2).map_or(Ok(1024), |mib| mib.parse())?;
    let address: SocketAddr = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:5684".to_owned()).parse()?;
    let [socket] =
        <[_; 1]>::try_from(socket::bind_all(address, 1)?).map_err(|_| "one socket was asked for")?;
    let address = socket.local_addr()?;
    let dtls = Arc::new(ServerConfig::new(DecoySecret::new([7; 32])));
    // As the whole gateway has it: answers are kept in short.
    let coap_budget_bytes = answer_mib << 20;
    let config = ShardConfig { coap: shard_config().coap, coap_budget_bytes, ..ShardConfig::new(dtls) };
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)?;
    let handle = Arc::new(OnceLock::new());
    let shard = RunningShard::start(config, socket, seed, Sink { handle: Arc::clone(&handle) })?;
    // The first datagram cannot be answered before its client is told that there is a server.
    let _ = handle.set(shard.handle().clone());
    writeln!(io::stderr(), "pid {} listening on {address}\nready", std::process::id())?;
    loop {
        thread::sleep(Duration::from_secs(3600));
    }
}
