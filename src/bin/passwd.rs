//! `emailrelay-passwd`: turns a password into what a secrets file has.

use std::process::ExitCode;

fn main() -> ExitCode {
    emailrelay::role::passwd::main(std::env::args_os()).into()
}
