//! `emailrelay`: all roles in one process, with the command line of E-MailRelay 2.6.

use std::process::ExitCode;

fn main() -> ExitCode {
    emailrelay::cli::start::main(emailrelay::cli::Program::Relay).into()
}
