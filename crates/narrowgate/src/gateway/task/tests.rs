//! The task beside a shard and a store that a test plays.

use std::time::Duration;

use narrowgate_engine::event::{HandshakeId, SessionId, ShardEvent};
use narrowgate_gateway::{Limits, Options};
use narrowgate_platform::{firmware::ServerName, ids::DeviceId, memory::MemoryStore, ports::OnlineDevice};

use super::*;
use crate::system::{SystemClock, SystemEntropy};

/// A task with one shard, and the ends that have to live as long.
struct Played {
    task: Task,
    ends: Ends,
    events: mpsc::Sender<Events>,
    asks: mpsc::Sender<Ask>,
}

fn played(queue: Queue, online: Vec<OnlineDevice>) -> Played {
    let clock = Arc::new(SystemClock);
    let (events, received) = mpsc::channel(64);
    let (asks, asked) = mpsc::channel(1);
    let limits = Limits::default();
    let options = Options {
        shards: 1,
        plain_shards: 0,
        seed: [3; 32],
        online,
        commands: Vec::new(),
        epoch: 0,
        newest_arrival: None,
        limits,
        server: ServerName::default(),
    };
    let machine = Gateway::new(options, now(&*clock));
    let stores = Stores::from(Arc::new(MemoryStore::default()));
    let shards = vec![Shard::new(queue, received)];
    let (entropy, reading) = (Arc::new(SystemEntropy), Handle::current());
    let task = Task::new(machine, shards, stores, clock, entropy, Feed::new(), reading);
    let ends = Ends { changes: Arc::default(), asks: asked, published: Arc::default() };
    Played { task, ends, events, asks }
}

#[tokio::test]
async fn time_passes_though_events_keep_coming() {
    // Its lifetime is over as soon as it begins.
    let online = OnlineDevice { device: DeviceId(1), lifetime_s: 0, login: None };
    let Played { mut task, mut ends, events, asks: _asks } = played(Box::new(Vec::clear), vec![online]);
    let heard = || ShardEvent::Heard { session: SessionId { shard: 0, slot: 1, generation: 1 } };
    for _ in 0..=INPUTS_PER_TURN {
        events.try_send(vec![heard()]).expect("there is room");
    }
    assert_eq!(task.machine.counters().online, 1);
    let taken = task.take_inputs(&mut Context::from_waker(std::task::Waker::noop()), &mut ends);
    assert!(matches!(taken, Taken::Some), "more events wait");
    assert_eq!(task.machine.counters().online, 0);
}

#[tokio::test]
async fn commands_that_find_a_full_queue_are_tried_again_though_nothing_else_happens() {
    let (sent, mut received) = mpsc::unbounded_channel();
    let mut full = 3;
    let queue = move |commands: &mut Vec<ShardCommand>| {
        if full > 0 {
            full -= 1;
        } else {
            sent.send(std::mem::take(commands)).expect("the test waits for it");
        }
    };
    let Played { task, ends, events, asks: _asks } = played(Box::new(queue), Vec::new());
    let handshake = HandshakeId { shard: 0, slot: 1, generation: 1 };
    let (peer, identity) = (([192, 0, 2, 1], 5684).into(), b"p,d,2,60".to_vec());
    events.try_send(vec![ShardEvent::PskWanted { handshake, peer, identity }]).expect("there is room");
    tokio::spawn(task.run(ends));
    let commands = tokio::time::timeout(Duration::from_secs(10), received.recv()).await;
    let commands = commands.expect("they are sent in the end").expect("the task runs");
    assert!(matches!(commands[..], [ShardCommand::ProvidePsk { .. }]), "{commands:?}");
}
