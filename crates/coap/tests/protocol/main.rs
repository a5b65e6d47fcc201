//! An endpoint seen from outside: bytes in, bytes and events out, under virtual time.

mod attacks_answers;
mod attacks_blocks;
mod attacks_exchange;
mod attacks_format;
mod blocks;
mod client;
mod lossy;
mod observe;
mod parts;
mod peer;
mod remains;
mod secrets;
mod table;
mod vectors;
