//! The binary `foobar` as the tests run it: built with them, so that it is never older than they are.

use std::process::ExitCode;

fn main() -> ExitCode {
    foobar_userspace::cli::main()
}
