//! `emailrelay-forward`: the forwarding role.

use std::process::ExitCode;

fn main() -> ExitCode {
    emailrelay::cli::start::main(emailrelay::cli::Program::Forward).into()
}
