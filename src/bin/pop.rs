//! `emailrelay-pop`: the POP3 server role.

use std::process::ExitCode;

fn main() -> ExitCode {
    emailrelay::cli::start::main(emailrelay::cli::Program::Pop).into()
}
