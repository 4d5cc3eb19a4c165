//! Lines of configuration files: for whoever reads the whole of one, and for tools that want two options of it.
//!
//! A line is a key, which is a long name without dashes, then any run of blanks, tabs and `=`, then the value
//! up to the end of the line.
//! Lines whose first character is `#` are comments; there are no comments behind values. One pair
//! of double quotes around a value is removed; nothing is escaped.

/// A line that says something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// From 1.
    pub number: usize,
    /// As it is written.
    pub key: &'a [u8],
    /// Empty if there is none.
    pub value: &'a [u8],
}

impl<'a> Line<'a> {
    /// The key without dashes in front of it, which belong to the command line.
    #[must_use]
    pub fn name(&self) -> &'a [u8] {
        trim_start(self.key, |byte| byte == b'-')
    }
}

/// The text without the mark of its encoding.
#[must_use]
pub fn text(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

/// The lines of a text that say something.
pub fn lines(bytes: &[u8]) -> impl Iterator<Item = Line<'_>> {
    text(bytes).split(|byte| *byte == b'\n').enumerate().filter_map(|(index, line)| {
        let (key, value) = divide(line.strip_suffix(b"\r").unwrap_or(line))?;
        Some(Line { number: index + 1, key, value })
    })
}

/// Key and value; none for a comment or an empty line.
fn divide(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let line = trim_start(line, is_separator);
    if line.is_empty() || line.starts_with(b"#") {
        return None;
    }
    let end = line.iter().position(|byte| is_separator(*byte)).unwrap_or(line.len());
    let (key, rest) = line.split_at(end);
    Some((key, unquoted(trim_end(trim_start(rest, is_separator)))))
}

fn is_separator(byte: u8) -> bool {
    byte == b'=' || is_blank(byte)
}

fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

fn trim_start(bytes: &[u8], what: fn(u8) -> bool) -> &[u8] {
    let start = bytes.iter().position(|byte| !what(*byte)).unwrap_or(bytes.len());
    bytes.split_at(start).1
}

fn trim_end(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| !is_blank(*byte)).map_or(0, |last| last + 1);
    bytes.split_at(end).0
}

fn unquoted(value: &[u8]) -> &[u8] {
    value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_values_in_every_spelling() {
        for (text, key, value) in [
            ("port 25", "port", "25"),
            ("port=25", "port", "25"),
            ("  port \t= = 25 \t", "port", "25"),
            ("port 25\r", "port", "25"),
            ("\u{feff}port 25", "port", "25"),
            ("log", "log", ""),
            ("log =", "log", ""),
            ("domain \"a=b # c\"", "domain", "a=b # c"),
            ("domain \"\"", "domain", ""),
            ("log-file it's \"x\"", "log-file", "it's \"x\""),
            ("--port 25", "--port", "25"),
        ] {
            let expected = Line { number: 1, key: key.as_bytes(), value: value.as_bytes() };
            assert_eq!(lines(text.as_bytes()).collect::<Vec<_>>(), [expected], "{text:?}");
        }
        assert_eq!(lines(b"\r\n# a\n = # b\n\nport 25").map(|line| line.number).collect::<Vec<_>>(), [5]);
        assert_eq!(lines(b"--port 25").next().unwrap().name(), b"port");
    }
}
