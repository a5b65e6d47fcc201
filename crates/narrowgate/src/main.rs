//! The program: everything is in the library, so that tests and benches can use it too.

use std::process::ExitCode;

/// Memory is taken on one thread and given back on another for every report: glibc's allocator is slow at that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    narrowgate::run()
}
