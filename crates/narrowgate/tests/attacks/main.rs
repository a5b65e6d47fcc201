//! Hostile input at the socket of the real binary, by the numbers of its catalogue: sections A (`record`), B
//! (`handshake` and `negotiation`), C (`identity`), E (`load`), F (`format`), G (`exchange`), H and 151 of I
//! (`blocks`), J (`authority`, `suspended`), 173 of K (`raw`), F to K at the port of plain CoAP (`plain`),
//! and N (`second_cookie`, `races`, `clocks`, `wildcard`, `refusals`, `backup`);
//! changes to everything (`mutations`), what devices say besides points (`upstream`), and what an operator
//! reads of it: as it happens (`listening`), why (`mistakes`, `named`), and as it was sent (`exact`).
//!
//! Each test starts a server of its own with one shard, SQLite and sessions of all three protections that
//! stay. A case is tried for each protection where one is involved. After it the session of the case (where
//! it leaves one), the standing sessions and a device that connects anew report and are answered 2.04 before
//! they would repeat; at the end the same process is there and has not panicked. The client is written for
//! these tests alone (`client`, `crypto`), so it can say what an honest one cannot. Silence is not waited
//! for: the server takes a socket's datagrams in order, so the answer to an honest ping that was sent later
//! proves that the case was handled and gave nothing.
//!
//! Not here, because no wire can do it or because it takes what a test has not; all of them are tried without
//! sockets:
//!
//! | number | why |
//! |---|---|
//! | 17, 18, 22 | the server's own send counter, epoch and nonces: 2^48 records, or a look at its keys |
//! | 19 (2^20), 23 (time), 70 | 2^20 forgeries, statistics over millions of samples |
//! | 35 | a cookie's key lives 60 s |
//! | 50 (all patterns) | 4096 runs with retransmission timers; here each single loss |
//! | 80 | vectors of a pure function; every session here depends on it |
//! | 94 | a flood of a million datagrams: `narrowgate-load flood` |
//! | 97 | what one handshake occupies; here only the process's resident memory can be seen |
//! | 126, 131, 132 | address change is not offered yet; a restart and a downlink are other tests' business |
//! | 202 | a restart in the middle: `tests/interop` |
//! | 205, 212 | what a value takes on the disk, and a damaged page: `adapters` |
//! | 207 | 20,000 handshakes with seconds between their flights: `sim`, in virtual time |
//! | 214 | files of devices: `tests/cli` |
//! | 168 | its shortest lifetime is 30 s |

mod authority;
mod backup;
mod blocks;
mod client;
mod clocks;
mod coap;
mod commands;
mod crypto;
mod exact;
mod exchange;
mod format;
mod handshake;
mod harness;
mod identity;
mod limits;
mod listening;
mod load;
mod mistakes;
mod mutations;
mod named;
mod negotiation;
mod observe;
mod operators;
mod plain;
mod races;
mod raw;
mod record;
mod refusals;
mod second_cookie;
mod short_paths;
mod suspended;
mod tap;
mod upstream;
mod wildcard;
