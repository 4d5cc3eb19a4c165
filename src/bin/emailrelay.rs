//! `emailrelay`: all roles in one process, with the command line of E-MailRelay 2.6; and every tool, by whose name it is called.

use std::process::ExitCode;

fn main() -> ExitCode {
    emailrelay::cli::called::main().into()
}
