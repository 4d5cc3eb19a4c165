//! Command lines out of the byte stream (RFC 5321 §2.3.8: only CR LF ends a line).
//!
//! The caller keeps the bytes; here are only the rules of where a line ends and how long it may be. POP has the same ones,
//! with limits of its own.

/// Longest command line, CRLF included. RFC 5321 §4.5.3.1.4 asks for 512 and room for extensions.
pub const MAX_LINE: usize = 4096;

/// Longest response in an exchange of AUTH, CRLF included (RFC 4954 §4).
pub const MAX_AUTH_LINE: usize = 12_288;

/// Bytes of one line after which the peer is not talking SMTP and is cut off.
pub const MAX_UNENDED: usize = 80_000;

/// What stands at the front of the unread bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Front<'a> {
    /// A complete line: its text without CRLF, and how many bytes it takes with it.
    Line {
        /// Text without CRLF; lone CR and LF are in it as they came.
        text: &'a [u8],
        /// Bytes to take from the input.
        taken: usize,
    },
    /// No end of line yet, and still room for one.
    Incomplete,
    /// As many bytes as a line may have without a line end: take these and [`Skip`] the rest.
    TooLong,
}

/// Finds the first line, which may have `limit` bytes.
pub fn front(bytes: &[u8], limit: usize) -> Front<'_> {
    let window = bytes.get(..limit).unwrap_or(bytes);
    match find_crlf(window) {
        Some(end) => {
            Front::Line { text: window.get(..end).unwrap_or_default(), taken: end.saturating_add(CRLF.len()) }
        }
        None if window.len() < limit => Front::Incomplete,
        None => Front::TooLong,
    }
}

/// Swallows the rest of a line that was too long; starts behind the bytes that it may have.
#[derive(Clone, Copy, Debug)]
pub struct Skip {
    /// Bytes that the line may still have before it is endless.
    room: usize,
    /// The last byte was a CR, so an LF would end the line.
    after_cr: bool,
}

/// What [`Skip::feed`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skipped {
    /// The line has not ended; all bytes belong to it.
    All,
    /// The line ended with this many of the bytes.
    Ended(usize),
    /// The most bytes that are waited for, and no end.
    Endless,
}

impl Skip {
    /// Starts behind the bytes that [`Front::TooLong`] takes, which are `first`; with these the line may have `most`.
    pub fn new(first: &[u8], most: usize) -> Self {
        Self { room: most.saturating_sub(first.len()), after_cr: first.last() == Some(&b'\r') }
    }

    /// Goes on through `bytes`.
    pub fn feed(&mut self, bytes: &[u8]) -> Skipped {
        let window = bytes.get(..self.room).unwrap_or(bytes);
        if self.after_cr && window.first() == Some(&b'\n') {
            return Skipped::Ended(1);
        }
        if let Some(end) = find_crlf(window) {
            return Skipped::Ended(end.saturating_add(CRLF.len()));
        }
        if let Some(last) = window.last() {
            self.after_cr = *last == b'\r';
        }
        self.room = self.room.saturating_sub(window.len());
        if self.room == 0 { Skipped::Endless } else { Skipped::All }
    }
}

const CRLF: &[u8] = b"\r\n";

fn find_crlf(bytes: &[u8]) -> Option<usize> {
    bytes.windows(CRLF.len()).position(|pair| pair == CRLF)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_crlf_ends_a_line() {
        assert_eq!(front(b"a\nb\rc\r\nNOOP", MAX_LINE), Front::Line { text: b"a\nb\rc", taken: 7 });
        assert_eq!(front(b"a\r\r\n", MAX_LINE), Front::Line { text: b"a\r", taken: 4 });
        assert_eq!(front(b"a\n\r", MAX_LINE), Front::Incomplete);
        assert_eq!(front(b"", MAX_LINE), Front::Incomplete);
    }

    #[test]
    fn the_limit_counts_the_line_end() {
        let mut line = vec![b'x'; MAX_LINE - 2];
        line.extend_from_slice(b"\r\n");
        assert!(matches!(front(&line, MAX_LINE), Front::Line { taken: MAX_LINE, .. }));
        line.insert(0, b'x');
        assert_eq!(front(&line, MAX_LINE), Front::TooLong);
        assert_eq!(Skip::new(&line[..MAX_LINE], MAX_UNENDED).feed(&line[MAX_LINE..]), Skipped::Ended(1));
    }

    #[test]
    fn an_endless_line_is_found_at_any_split() {
        let bytes = vec![b'x'; MAX_UNENDED];
        for step in [1, 7, 4096, MAX_UNENDED] {
            let mut skip = Skip::new(&bytes[..MAX_LINE], MAX_UNENDED);
            let mut fed = MAX_LINE;
            let mut last = Skipped::All;
            for chunk in bytes[MAX_LINE..].chunks(step) {
                assert_eq!(last, Skipped::All);
                last = skip.feed(chunk);
                fed += chunk.len();
            }
            assert_eq!((last, fed), (Skipped::Endless, MAX_UNENDED));
        }
    }
}
