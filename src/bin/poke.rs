//! `emailrelay-poke`: sends one line to the administration port.

use std::process::ExitCode;

fn main() -> ExitCode {
    emailrelay::role::poke::main(std::env::args_os()).into()
}
