//! Protocol lines for the log, with what may be a secret taken out.

use super::event::Event;
use crate::smtp::command::{Command, Verb, is_blank};
use crate::smtp::escape::printable;

/// Stands for what is not shown.
const HIDDEN: &str = "[not logged]";

/// Lines after a refused AUTH in which a client that does not wait may still send its credentials.
pub(super) const LINES_AFTER_AUTH: u8 = 2;

/// A reply line.
pub(super) fn sent(line: &str) -> Event {
    Event::Tx(printable(line.as_bytes()))
}

/// A command line. `after_auth`: it is one of the [`LINES_AFTER_AUTH`] behind a refused AUTH.
pub(super) fn received(line: &[u8], command: &Command<'_>, after_auth: bool) -> Event {
    if command.verb == Some(Verb::Auth) {
        return Event::Rx(auth(command.argument));
    }
    if !after_auth {
        return Event::Rx(printable(line));
    }
    let words = line.split(|b| is_blank(*b));
    let shown = words.map(|word| if may_be_secret(word) { HIDDEN.to_owned() } else { printable(word) });
    Event::Rx(shown.collect::<Vec<_>>().join(" "))
}

/// The mechanism is shown, an initial response (RFC 4954 §4) is not.
fn auth(argument: &[u8]) -> String {
    let end = argument.iter().position(|b| is_blank(*b));
    let mechanism = printable(argument.get(..end.unwrap_or(argument.len())).unwrap_or_default());
    match end {
        Some(_) => format!("AUTH {mechanism} {HIDDEN}"),
        None => format!("AUTH {mechanism}"),
    }
}

/// Valid base64 of eight or more characters.
fn may_be_secret(word: &[u8]) -> bool {
    let digits = word.strip_suffix(b"==").or_else(|| word.strip_suffix(b"=")).unwrap_or(word);
    word.len() >= 8
        && word.len().is_multiple_of(4)
        && digits.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(line: &str, after_auth: bool) -> String {
        received(line.as_bytes(), &Command::parse(line.as_bytes()), after_auth).to_string()
    }

    #[test]
    fn credentials_are_never_shown() {
        assert_eq!(shown("AUTH PLAIN AGJvYgBwYXNz", false), "rx<<: \"AUTH PLAIN [not logged]\"");
        assert_eq!(shown("auth login", false), "rx<<: \"AUTH login\"");
        assert_eq!(shown("AGJvYgBwYXNz", true), "rx<<: \"[not logged]\"");
        assert_eq!(shown("cGFzc3dvcmQ=", true), "rx<<: \"[not logged]\"");
        assert_eq!(shown("MAIL FROM:<a\u{1}>", true), "rx<<: \"MAIL FROM:<a\\x01>\"");
        assert_eq!(shown("AGJvYgBwYXNz", false), "rx<<: \"AGJvYgBwYXNz\"");
    }
}
