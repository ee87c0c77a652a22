//! The binary `foobar`: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    foobar_userspace::cli::main()
}
