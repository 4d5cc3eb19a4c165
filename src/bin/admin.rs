//! `emailrelay-admin`: the administration role.

use std::process::ExitCode;

fn main() -> ExitCode {
    emailrelay::cli::start::main(emailrelay::cli::Program::Admin).into()
}
