//! Text of peers on a terminal.

use std::fmt::Write as _;

/// Text that anybody may have written, for people to read: one line of at most `limit` characters. Letters and digits of all
/// scripts stand for themselves; control characters, what turns the direction of writing and what takes no room are escaped, so that
/// nothing moves the cursor or hides.
pub(crate) fn shown(text: &str, limit: usize) -> String {
    let mut out = String::with_capacity(text.len().min(limit));
    for (number, c) in text.chars().enumerate() {
        if number == limit {
            out.push_str("...");
            break;
        }
        match c {
            ' '..='~' => out.push(c),
            _ if c.is_alphanumeric() => out.push(c),
            // Writing to a string does not fail.
            _ if c.is_ascii() => _ = write!(out, "\\x{:02x}", u32::from(c)),
            _ => _ = write!(out, "\\u{{{:x}}}", u32::from(c)),
        }
    }
    out
}

/// A number of bytes in at most five characters.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [(u64, char); 4] = [(1 << 40, 'T'), (1 << 30, 'G'), (1 << 20, 'M'), (1 << 10, 'k')];
    if bytes < 10_000 {
        return bytes.to_string();
    }
    let (unit, letter) = UNITS.into_iter().find(|(unit, _)| bytes >= *unit).unwrap_or((1, ' '));
    format!("{}{letter}", bytes / unit)
}

/// A span of time in at most four characters, for a thousand days.
pub(crate) fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_moves_the_cursor_or_hides() {
        assert_eq!(
            shown("a\u{1b}[2J\r\n\u{9b}\u{202e}\u{200b}b", 99),
            "a\\x1b[2J\\x0d\\x0a\\u{9b}\\u{202e}\\u{200b}b"
        );
        assert_eq!(shown("jos\u{e9}@\u{4e00}.example", 99), "jos\u{e9}@\u{4e00}.example");
        assert_eq!(shown("abcdef", 6), "abcdef");
        assert_eq!(shown("abcdefg", 6), "abcdef...");
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!([0, 9999, 10_240, 5 << 20, 3 << 40].map(size), ["0", "9999", "10k", "5M", "3T"]);
        assert_eq!([0, 119, 120, 7200, 172_800].map(span), ["0s", "119s", "2m", "2h", "2d"]);
    }
}
