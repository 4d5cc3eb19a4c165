//! `emailrelay-smtp`: the SMTP server role.

use std::process::ExitCode;

fn main() -> ExitCode {
    emailrelay::cli::start::main(emailrelay::cli::Program::Smtp).into()
}
