//! Peer text made harmless: for replies, and for logs and header lines.

use std::borrow::Cow;

/// Text of a reply: control characters and DEL become backslash escapes, a backslash is doubled, all else passes.
///
/// So no echo of an address or of a program's output can end the reply line or start another (RFC 5321 §4.2).
pub fn reply_text(text: &str) -> Cow<'_, str> {
    if !text.bytes().any(|b| b.is_ascii_control() || b == b'\\') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len().saturating_add(8));
    for c in text.chars() {
        match u8::try_from(c) {
            Ok(byte) if byte.is_ascii_control() || byte == b'\\' => push_escaped(&mut out, byte),
            _ => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// Printable ASCII for logs and header lines: everything outside 0x20 to 0x7e, and the backslash, is escaped.
pub fn printable(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for &byte in bytes {
        if is_plain(byte) && byte != b'\\' {
            out.push(char::from(byte));
        } else {
            push_escaped(&mut out, byte);
        }
    }
    out
}

/// True for the bytes that [`printable`] shows as themselves, the backslash aside.
pub const fn is_plain(byte: u8) -> bool {
    matches!(byte, 0x20..=0x7e)
}

fn push_escaped(out: &mut String, byte: u8) {
    match byte {
        b'\n' => out.push_str("\\n"),
        b'\r' => out.push_str("\\r"),
        b'\t' => out.push_str("\\t"),
        b'\0' => out.push_str("\\0"),
        b'\\' => out.push_str("\\\\"),
        _ => {
            out.push_str("\\x");
            for nibble in [byte >> 4, byte & 15] {
                out.push(char::from_digit(u32::from(nibble), 16).unwrap_or('?'));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_keep_non_ascii_and_escape_controls() {
        assert_eq!(reply_text("plain"), "plain");
        assert_eq!(reply_text("a\\\"b\u{1}\t\u{7f}ü\r\n"), "a\\\\\"b\\x01\\t\\x7fü\\r\\n");
    }

    #[test]
    fn logs_are_ascii() {
        assert_eq!(printable(b"a\\b\xff\0\x1b~ \x7f"), "a\\\\b\\xff\\0\\x1b~ \\x7f");
    }
}
