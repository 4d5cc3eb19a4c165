//! Protocol lines for the log, with what may be a secret taken out.

use super::command::{Command, Verb};
use super::event::Event;
use crate::smtp::escape::printable;

/// A reply of more lines than this is shown in part:
const MAX_SHOWN: usize = 7;
/// its first and
const FIRST: usize = 4;
/// its last lines.
const LAST: usize = 2;

/// A response in an exchange.
pub(super) fn response() -> Event {
    Event::Rx("[authentication response not logged]".to_owned())
}

/// A command line. `known`: the session is logged in, so that a line which is no command cannot be a stray response.
pub(super) fn received(line: &[u8], command: &Command<'_>, known: bool) -> Event {
    Event::Rx(match command.verb {
        Some(Verb::Pass) => format!("{} [password not logged]", printable(command.word)),
        Some(Verb::Auth) => {
            let words = std::iter::once(command.word).chain(command.words().take(1));
            words.map(printable).collect::<Vec<_>>().join(" ")
        }
        None if !known => "[unrecognised line not logged]".to_owned(),
        _ => printable(line),
    })
}

/// Line `at`, counted from 0, of a reply of `total` lines; none if it is not shown.
pub(super) fn sent(line: &[u8], at: usize, total: usize) -> Option<Event> {
    if total <= MAX_SHOWN || at < FIRST || at + LAST >= total {
        return Some(Event::Tx(printable(line)));
    }
    (at == FIRST).then(|| Event::TxLines(total - FIRST - LAST))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(line: &str, known: bool) -> String {
        received(line.as_bytes(), &Command::parse(line.as_bytes()), known).to_string()
    }

    #[test]
    fn credentials_are_never_shown() {
        assert_eq!(shown("pass  secret 1", false), "rx<<: \"pass [password not logged]\"");
        assert_eq!(shown("AUTH PLAIN AGJvYgBwYXNz", false), "rx<<: \"AUTH PLAIN\"");
        assert_eq!(shown("auth", false), "rx<<: \"auth\"");
        assert_eq!(shown("AGJvYgBwYXNz", false), "rx<<: \"[unrecognised line not logged]\"");
        assert_eq!(shown("XTND x", true), "rx<<: \"XTND x\"");
        assert_eq!(shown("USER a\u{1}", false), "rx<<: \"USER a\\x01\"");
    }

    #[test]
    fn long_replies_are_shown_in_part() {
        let lines = |total: usize| (0..total).filter_map(|at| sent(b"x", at, total)).count();
        assert_eq!((lines(1), lines(7), lines(8), lines(1000)), (1, 7, 7, 7));
        assert_eq!(sent(b"x", 4, 1000), Some(Event::TxLines(994)));
    }
}
