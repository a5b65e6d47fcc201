//! The program; everything else is in the library.

use std::process::ExitCode;

/// Every report allocates memory on one thread and frees it on another, at which glibc's allocator is slow.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    narrowgate::run()
}
