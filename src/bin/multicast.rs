//! `emailrelay-multicast`: gives all sub-directories of the spool the message, as a filter.

use std::process::ExitCode;

fn main() -> ExitCode {
    emailrelay::role::copy::multicast_main(std::env::args_os()).into()
}
