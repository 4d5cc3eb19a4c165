//! Command lines out of the byte stream: only CR LF ends a line.

use super::limits::MAX_UNENDED;

/// What stands at the front of the unread bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Front<'a> {
    /// A complete line: its text without CRLF, and how many bytes it takes with it.
    Line { text: &'a [u8], taken: usize },
    /// No end of line yet, and still room for one.
    Incomplete,
    /// `limit` bytes without a line end: take these and [`Skip`] the rest.
    TooLong,
}

/// Finds the first line. `limit` counts the line end.
pub(super) fn front(bytes: &[u8], limit: usize) -> Front<'_> {
    let window = bytes.get(..limit).unwrap_or(bytes);
    match find_crlf(window) {
        Some(end) => {
            Front::Line { text: window.get(..end).unwrap_or_default(), taken: end.saturating_add(CRLF.len()) }
        }
        None if window.len() < limit => Front::Incomplete,
        None => Front::TooLong,
    }
}

/// Swallows the rest of a line that was too long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Skip {
    /// Bytes of the line so far, at most [`MAX_UNENDED`].
    length: usize,
    /// The last byte was a CR, so an LF would end the line.
    after_cr: bool,
}

/// What [`Skip::feed`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Skipped {
    /// The line has not ended; all bytes belong to it.
    All,
    /// The line ended with this many of the bytes.
    Ended(usize),
    /// [`MAX_UNENDED`] bytes and no end.
    Endless,
}

impl Skip {
    /// Starts behind the bytes that [`Front::TooLong`] takes, which are `first`.
    pub(super) fn new(first: &[u8]) -> Self {
        Self { length: first.len(), after_cr: first.last() == Some(&b'\r') }
    }

    /// Goes on through `bytes`.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Skipped {
        let room = MAX_UNENDED.saturating_sub(self.length);
        let window = bytes.get(..room).unwrap_or(bytes);
        if self.after_cr && window.first() == Some(&b'\n') {
            return Skipped::Ended(1);
        }
        if let Some(end) = find_crlf(window) {
            return Skipped::Ended(end.saturating_add(CRLF.len()));
        }
        if let Some(last) = window.last() {
            self.after_cr = *last == b'\r';
        }
        self.length = self.length.saturating_add(window.len());
        if self.length >= MAX_UNENDED { Skipped::Endless } else { Skipped::All }
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
    fn the_limit_counts_the_line_end_and_only_crlf_is_one() {
        assert_eq!(front(b"a\nb\rc\r\nNOOP", 20), Front::Line { text: b"a\nb\rc", taken: 7 });
        assert_eq!(front(b"abc\r\n", 5), Front::Line { text: b"abc", taken: 5 });
        assert_eq!(front(b"abcd\r\n", 5), Front::TooLong);
        assert_eq!(Skip::new(b"abcd\r").feed(b"\nNOOP"), Skipped::Ended(1));
        assert_eq!(front(b"abc\r", 5), Front::Incomplete);
    }

    #[test]
    fn an_endless_line_is_found_at_any_split() {
        let bytes = vec![b'x'; MAX_UNENDED];
        for step in [1, 7, 4096, MAX_UNENDED] {
            let mut skip = Skip::new(&bytes[..512]);
            let mut last = Skipped::All;
            let mut fed = 512;
            for chunk in bytes[512..].chunks(step) {
                assert_eq!(last, Skipped::All);
                last = skip.feed(chunk);
                fed += chunk.len();
            }
            assert_eq!((last, fed), (Skipped::Endless, MAX_UNENDED));
        }
    }
}
