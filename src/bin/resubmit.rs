//! `emailrelay-resubmit`: lets failed messages be tried again.

use std::process::ExitCode;

fn main() -> ExitCode {
    emailrelay::role::resubmit::main(std::env::args_os()).into()
}
