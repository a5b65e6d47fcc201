//! Passwords of users by Argon2id (RFC 9106), on a thread of their own.
//!
//! * [`MEMORY_KIB`] KiB, [`PASSES`] passes, one lane: among what OWASP's cheat sheet of password storage
//!   names. A guess costs an attacker the same memory and, with one lane, cannot be split; here it is some
//!   30 ms and 19 MiB, which the smallest machine has. RFC 9106's second choice takes 64 MiB and three
//!   passes: too much for a gateway with half a GiB.
//! * One password is hashed at a time, at a lower priority, and few wait, those who are known before
//!   strangers (module `queues`): a flood of logins takes one processor and this memory once, and no thread
//!   of the control plane or of devices. More are refused as busy.
//! * A hash says its parameters, so that others may follow: `$argon2id$v=19$m=…,t=…,p=…$SALT$HASH`, both in
//!   hexadecimal digits.

mod queues;

use std::{
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Instant,
};

use argon2::{Algorithm, Argon2, Params, Version};
use narrowgate_platform::{
    model::user::PasswordHash,
    ports::{Applicant, NotHashed, Passwords, PortFuture},
    secret::Secret,
};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use self::queues::Queues;
pub use self::queues::{KNOWN_MAX, STRANGERS_MAX};
use crate::reply::{Reply, reply};

/// Memory of one hash.
pub const MEMORY_KIB: u32 = 19 * 1024;
/// How often it is passed over.
pub const PASSES: u32 = 2;
/// How much lower than that of the server the priority of the thread is: devices go first.
const NICE: i32 = 10;

/// Bytes of a hash and, at most, of its salt.
const BYTES: usize = 32;
/// Nothing that stands in a store makes a hash take more than this.
const MEMORY_KIB_MAX: u32 = 256 * 1024;
const PASSES_MAX: u32 = 16;

/// See the module. Dropped, it ends its thread after what waits.
pub struct Argon2id {
    jobs: Arc<Jobs>,
}

#[derive(Default)]
struct Jobs {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    queues: Queues<Job>,
    /// Nobody puts more.
    is_closed: bool,
}

struct Job {
    password: Secret,
    task: Task,
    reply: Reply<Result<Outcome, NotHashed>>,
}

enum Task {
    Hash([u8; 16]),
    IsSame(Option<PasswordHash>),
}

enum Outcome {
    Hash(PasswordHash),
    IsSame(bool),
}

impl Argon2id {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system gives none.
    pub fn start() -> io::Result<Self> {
        let jobs = Arc::<Jobs>::default();
        let taken = Arc::clone(&jobs);
        thread::Builder::new().name("passwords".to_owned()).spawn(move || work(&taken))?;
        Ok(Self { jobs })
    }

    fn put(
        &self,
        password: Secret,
        task: Task,
        applicant: Applicant,
    ) -> PortFuture<'static, Result<Outcome, NotHashed>> {
        let (reply, answer) = reply();
        let job = Job { password, task, reply };
        let refused = self.jobs.lock().queues.put(applicant, job, Instant::now());
        self.jobs.changed.notify_one();
        if let Some(Job { reply, .. }) = refused {
            reply.send(Ok(Err(NotHashed::Busy)));
        }
        Box::pin(async move { answer.await.unwrap_or(Err(NotHashed::Unavailable)) })
    }
}

impl Drop for Argon2id {
    fn drop(&mut self) {
        self.jobs.lock().is_closed = true;
        self.jobs.changed.notify_one();
    }
}

impl Jobs {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the next one; `None`: there will be none.
    fn next(&self) -> Option<Job> {
        let mut waiting = self.lock();
        loop {
            if let Some(job) = waiting.queues.take(Instant::now()) {
                return Some(job);
            }
            if waiting.is_closed {
                return None;
            }
            waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Passwords for Argon2id {
    fn hash(
        &self,
        password: Secret,
        salt: [u8; 16],
        applicant: Applicant,
    ) -> PortFuture<'static, Result<PasswordHash, NotHashed>> {
        let put = self.put(password, Task::Hash(salt), applicant);
        Box::pin(async move {
            match put.await? {
                Outcome::Hash(hash) => Ok(hash),
                Outcome::IsSame(_) => Err(NotHashed::Unavailable),
            }
        })
    }

    fn is_same(
        &self,
        password: Secret,
        as_in: Option<PasswordHash>,
        applicant: Applicant,
    ) -> PortFuture<'static, Result<bool, NotHashed>> {
        let put = self.put(password, Task::IsSame(as_in), applicant);
        Box::pin(async move {
            match put.await? {
                Outcome::IsSame(is_same) => Ok(is_same),
                Outcome::Hash(_) => Err(NotHashed::Unavailable),
            }
        })
    }
}

fn work(jobs: &Jobs) {
    // On Linux it is that of this thread. Ignored: where the system refuses, passwords are hashed all the
    // same.
    let _ = rustix::process::nice(NICE);
    while let Some(Job { password, task, reply }) = jobs.next() {
        if reply.is_waited_for() {
            reply.send(Ok(done(&password, task)));
        }
    }
}

fn done(password: &Secret, task: Task) -> Result<Outcome, NotHashed> {
    match task {
        Task::Hash(salt) => {
            let hashed = Hashed { hash: Recipe::PRESENT.hash(password, &salt)?, salt: salt.to_vec() };
            Ok(Outcome::Hash(hashed.write()))
        }
        Task::IsSame(as_in) => {
            let found = as_in.as_ref().and_then(|PasswordHash(text)| read(text));
            // Nobody's: the same work, for nothing.
            let nobody = || (Recipe::PRESENT, Hashed { salt: vec![0; 16], hash: Zeroizing::default() });
            let is_somebody = found.is_some();
            let (recipe, hashed) = found.unwrap_or_else(nobody);
            let is_same = recipe.hash(password, &hashed.salt)?.ct_eq(&*hashed.hash);
            Ok(Outcome::IsSame(bool::from(is_same) && is_somebody))
        }
    }
}

/// What a hash costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Recipe {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

impl Recipe {
    const PRESENT: Self = Self { memory_kib: MEMORY_KIB, passes: PASSES, lanes: 1 };

    fn hash(self, password: &Secret, salt: &[u8]) -> Result<Zeroizing<[u8; BYTES]>, NotHashed> {
        let Self { memory_kib, passes, lanes } = self;
        let unavailable = |_| NotHashed::Unavailable;
        let params = Params::new(memory_kib, passes, lanes, Some(BYTES)).map_err(unavailable)?;
        let mut hash = Zeroizing::new([0; BYTES]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(password.expose().as_bytes(), salt, &mut *hash)
            .map_err(unavailable)?;
        Ok(hash)
    }
}

struct Hashed {
    salt: Vec<u8>,
    hash: Zeroizing<[u8; BYTES]>,
}

impl Hashed {
    fn write(&self) -> PasswordHash {
        let Recipe { memory_kib, passes, lanes } = Recipe::PRESENT;
        let (salt, hash) = (hex::encode(&self.salt), hex::encode(*self.hash));
        PasswordHash(format!("$argon2id$v=19$m={memory_kib},t={passes},p={lanes}${salt}${hash}"))
    }
}

/// Reads what [`Hashed::write`] wrote, by this program or another one; `None`: it is nothing of the kind.
fn read(text: &str) -> Option<(Recipe, Hashed)> {
    let rest = text.strip_prefix("$argon2id$v=19$m=")?;
    let (memory_kib, rest) = rest.split_once(",t=")?;
    let (passes, rest) = rest.split_once(",p=")?;
    let (lanes, rest) = rest.split_once('$')?;
    let (salt, hash) = rest.split_once('$')?;
    let number = |text: &str, max| text.parse::<u32>().ok().filter(|number| *number <= max);
    let recipe = Recipe {
        memory_kib: number(memory_kib, MEMORY_KIB_MAX)?,
        passes: number(passes, PASSES_MAX)?,
        lanes: number(lanes, PASSES_MAX)?,
    };
    let mut bytes = Zeroizing::new([0; BYTES]);
    hex::decode_to_slice(hash, &mut *bytes).ok()?;
    Some((recipe, Hashed { salt: hex::decode(salt).ok()?, hash: bytes }))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use narrowgate_platform::testing::block_on;

    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::new(text.to_owned())
    }

    /// From the tests of the reference implementation (`phc-winner-argon2`, `src/test.c`, Argon2id, version
    /// 0x13): `password`, `somesalt`, two passes, 256 KiB, one lane.
    #[test]
    fn a_hash_is_that_of_the_reference_implementation() {
        let salt = hex::encode("somesalt");
        let hash = "9dfeb910e80bad0311fee20f9c0e2b12c17987b4cac90c2ef54d5b3021c68bfe";
        let kept = PasswordHash(format!("$argon2id$v=19$m=256,t=2,p=1${salt}${hash}"));
        let passwords = Argon2id::start().expect("there is a thread");
        let is_same =
            |password| block_on(passwords.is_same(secret(password), Some(kept.clone()), Applicant::Known(1)));
        assert_eq!((is_same("password"), is_same("Password")), (Ok(true), Ok(false)));
    }

    #[test]
    fn a_password_is_the_same_as_it_was_and_two_hashes_of_it_are_not() {
        let passwords = Argon2id::start().expect("there is a thread");
        let hash =
            |salt| block_on(passwords.hash(secret("correct horse battery"), [salt; 16], Applicant::Known(1)));
        let (first, second) = (hash(1).expect("there is memory"), hash(2).expect("there is memory"));
        assert!(first.0.starts_with("$argon2id$v=19$m=19456,t=2,p=1$0101"), "{}", first.0);
        assert!(!first.0.contains("horse") && first.0[..31] == second.0[..31] && first != second);
        let is_same =
            |password, hash| block_on(passwords.is_same(secret(password), hash, Applicant::Known(1)));
        assert_eq!(is_same("correct horse battery", Some(first.clone())), Ok(true));
        assert_eq!(is_same("correct horse batterz", Some(first.clone())), Ok(false));
        assert_eq!(is_same("correct horse battery", None), Ok(false));
        for damaged in ["", "$argon2id$v=19$m=99999999,t=2,p=1$00$00", &first.0[..first.0.len() - 2]] {
            assert_eq!(is_same("correct horse battery", Some(PasswordHash(damaged.to_owned()))), Ok(false));
        }
    }

    /// The least of many times is that of the work itself, however busy the machine is.
    #[test]
    fn attack_181_a_name_that_is_unknown_takes_as_long_as_a_wrong_password() {
        let passwords = Argon2id::start().expect("there is a thread");
        let kept = block_on(passwords.hash(secret("correct horse battery"), [7; 16], Applicant::Known(1)))
            .expect("there is memory");
        let mut least = [Duration::MAX; 2];
        for _ in 0..20 {
            for (kept, least) in [None, Some(&kept)].into_iter().zip(&mut least) {
                let began = Instant::now();
                let is_same = block_on(passwords.is_same(
                    secret("incorrect horse"),
                    kept.cloned(),
                    Applicant::Known(1),
                ));
                assert_eq!(is_same, Ok(false));
                *least = began.elapsed().min(*least);
            }
        }
        let [unknown, wrong] = least.map(|time| time.as_secs_f64());
        assert!((0.8..1.25).contains(&(unknown / wrong)), "{least:?}");
    }

    #[test]
    fn attack_181_a_flood_of_strangers_refuses_nobody_who_is_known() {
        let passwords = Argon2id::start().expect("there is a thread");
        let is_same = |applicant| passwords.is_same(secret("x"), None, applicant);
        let strangers: Vec<_> = (0..100).map(|network| is_same(Applicant::Stranger(network))).collect();
        let known: Vec<_> = (0..8).map(|user| is_same(Applicant::Known(user))).collect();
        assert!(known.into_iter().all(|answer| block_on(answer) == Ok(false)));
        let answers: Vec<_> = strangers.into_iter().map(block_on).collect();
        let refused = answers.iter().filter(|answer| **answer == Err(NotHashed::Busy)).count();
        assert!((100 - STRANGERS_MAX - 10..=100 - STRANGERS_MAX).contains(&refused), "{refused}");
        assert_eq!(block_on(is_same(Applicant::Stranger(1))), Ok(false), "and later it goes on");
    }
}
