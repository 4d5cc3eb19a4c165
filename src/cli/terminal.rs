//! What is said to whoever started the program, before there is a log or beside it.

use std::io::Write;

use super::Exit;
use crate::os::journal::{self, Priority};
use crate::os::notify;

/// Ends with what the options said.
pub(super) fn leave(exit: &Exit) -> u8 {
    // Standard output may be a closed pipe; the exit code is then all there is.
    let _ = std::io::stdout().write_all(exit.stdout.as_bytes());
    if exit.code == 0 {
        let _ = std::io::stderr().write_all(exit.stderr.as_bytes());
    } else {
        fail(exit.stderr.trim_end());
    }
    exit.code
}

/// What is wrong, without the program's name and the advice for who sits at a terminal.
pub(super) fn reason(exit: &Exit) -> &str {
    let line = exit.stderr.lines().next().unwrap_or_default();
    line.split_once("error: ").map_or(line, |(_, reason)| reason)
}

/// Tells why the program ends: whoever started it, and `systemctl status`.
pub(super) fn fail(text: &str) {
    say_with(Priority::Error, text);
    notify::status(text.lines().next().unwrap_or_default());
}

pub(super) fn warn(text: &str) {
    say_with(Priority::Warning, text);
}

/// What is said before there is a log, or beside it, keeps its importance when it goes to the journal.
fn say_with(priority: Priority, text: &str) {
    for line in text.lines() {
        if journal::stderr_is_journal() {
            say(&format!("{}{line}", priority.prefix()));
        } else {
            say(line);
        }
    }
}

/// A line for whoever started the program.
pub(super) fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
