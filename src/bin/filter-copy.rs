//! `emailrelay-filter-copy`: copies messages into all sub-directories of the spool.

use std::process::ExitCode;

fn main() -> ExitCode {
    emailrelay::role::copy::main(std::env::args_os()).into()
}
