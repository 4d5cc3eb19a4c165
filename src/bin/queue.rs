//! `emailrelay-queue`: shows what is in a spool directory, and changes it.

use std::process::ExitCode;

fn main() -> ExitCode {
    emailrelay::role::queue::main(std::env::args_os()).into()
}
