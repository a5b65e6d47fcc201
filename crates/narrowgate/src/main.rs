//! The program: everything is in the library, so that tests and benches can use it too.

use std::process::ExitCode;

fn main() -> ExitCode {
    narrowgate::run()
}
