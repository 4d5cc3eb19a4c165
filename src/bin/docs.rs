//! `emailrelay-docs DIRECTORY`: writes the manual pages, shell completions and the reference of options there. Used by `make`, not installed.

use std::path::PathBuf;

fn main() -> std::io::Result<()> {
    let directory = std::env::args_os().nth(1).map_or_else(|| PathBuf::from("."), PathBuf::from);
    emailrelay::cli::docs::write(&directory)
}
