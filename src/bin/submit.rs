//! `emailrelay-submit`: puts a message into the spool.

use std::process::ExitCode;

fn main() -> ExitCode {
    emailrelay::role::submit::main(std::env::args_os()).into()
}
