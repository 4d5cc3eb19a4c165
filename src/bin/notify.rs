//! `emailrelay-notify`: reports failed and late messages to their senders.

use std::process::ExitCode;

fn main() -> ExitCode {
    emailrelay::role::notify::main(std::env::args_os()).into()
}
