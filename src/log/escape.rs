//! Text of peers made harmless: nothing they send can end a line, hide in a terminal, or look like a line of ours.

use std::borrow::Cow;
use std::fmt;

/// With this our lines begin, whatever the program.
const NAME: &str = "emailrelay";

/// Shows text that a peer chose: `\` doubled, NUL `\0`, TAB `\t`, LF `\n`, CR `\r`, other control characters `\xHH`, and
/// the start of a log line (`emailrelay: `) as `emailrelay\x3a `.
#[derive(Clone, Copy, Debug)]
pub struct Peer<'a>(pub &'a str);

impl fmt::Display for Peer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&escape(self.0))
    }
}

/// The text of [`Peer`].
pub fn escape(text: &str) -> Cow<'_, str> {
    let harmless = !text.chars().any(|c| c == '\\' || c.is_control());
    let text = if harmless { Cow::Borrowed(text) } else { Cow::Owned(escape_characters(text, true)) };
    match mask(&text, |_| true) {
        Some(masked) => Cow::Owned(masked),
        None => text,
    }
}

/// The last barrier, for a finished line: control characters that are left are escaped (ESC becomes a dot), and what looks like the start of a
/// line of ours (the name, a colon, and a level or a time) is broken up. Text that went through [`escape`] passes unchanged.
pub(super) fn guard(line: String) -> String {
    let clean = !line.chars().any(char::is_control);
    let line = if clean { line } else { escape_characters(&line.replace('\x1b', "."), false) };
    mask(&line, starts_like_a_line).unwrap_or(line)
}

fn escape_characters(text: &str, backslash: bool) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\\' if backslash => out.push_str("\\\\"),
            '\0' => out.push_str("\\0"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            // The C1 controls, two bytes each in UTF-8, are included: some terminals obey them.
            c if c.is_control() => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

/// Replaces the colon of every `emailrelay...: ` whose continuation is `dangerous`; None if there is none.
fn mask(text: &str, dangerous: fn(&str) -> bool) -> Option<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(NAME) {
        // Programs of ours are named emailrelay-smtp and so on.
        let name = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(after.len());
        let (suffix, tail) = after.split_at_checked(name).unwrap_or((after, ""));
        out.extend([before, NAME, suffix]);
        rest = match tail.strip_prefix(": ") {
            Some(continuation) if dangerous(continuation) => {
                out.push_str("\\x3a ");
                continuation
            }
            _ => tail,
        };
    }
    out.push_str(rest);
    (out.len() != text.len()).then_some(out)
}

fn starts_like_a_line(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit())
        || ["info: ", "warning: ", "error: ", "debug: "].iter().any(|level| text.starts_with(level))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn control_characters_are_written_out() {
        assert_eq!(escape("a\\b\0\t\n\r\x01\x7f\x1bé\""), "a\\\\b\\0\\t\\n\\r\\x01\\x7f\\x1bé\"");
        assert!(matches!(escape("plain text"), Cow::Borrowed(_)));
    }

    #[test]
    fn the_start_of_a_line_cannot_be_imitated() {
        let forged = "NOOP emailrelay: warning: 203.0.113.9; failed authentication x";
        let expected = "NOOP emailrelay\\x3a warning: 203.0.113.9; failed authentication x";
        assert_eq!(escape(forged), expected);
        assert_eq!(guard(forged.to_owned()), expected);
        assert_eq!(guard(expected.to_owned()), expected);
        assert_eq!(escape("emailrelay-smtp: x emailrelay: y"), "emailrelay-smtp\\x3a x emailrelay\\x3a y");
        assert_eq!(escape("emailrelay.1.2.3: emailrelay:x"), "emailrelay.1.2.3: emailrelay:x");
    }

    #[test]
    fn our_own_paths_are_not_touched() {
        let text = "invalid spool directory: /var/spool/emailrelay: no such file or directory \\";
        assert_eq!(guard(text.to_owned()), text);
        assert_eq!(guard("a\x1b[1m\nb".to_owned()), "a.[1m\\nb");
    }

    proptest! {
        #[test]
        fn nothing_ends_a_line_or_starts_one(text in "(\\PC|[\\x00-\\x1f]|emailrelay: warning: ){0,40}") {
            for line in [escape(&text).into_owned(), guard(text.clone()), guard(escape(&text).into_owned())] {
                prop_assert!(!line.chars().any(char::is_control));
                prop_assert!(!line.contains("emailrelay: warning: "));
            }
            prop_assert_eq!(guard(escape(&text).into_owned()), escape(&text).into_owned());
        }
    }
}
