//! Messages on their way to the client: line ends, leading dots (RFC 1939 §3), and the first lines alone (TOP).

/// Sends a message, or its beginning, block by block.
///
/// CRLF stays what it is, a lone LF becomes CRLF, and a dot behind either is doubled: a stored `LF . LF` must not end the
/// reply for a client that takes LF for a line end. A lone CR is no line end and stays.
#[derive(Debug)]
pub(super) struct Sender {
    /// The next byte is the first of its line.
    at_start: bool,
    /// The last byte was a CR.
    after_cr: bool,
    /// The line so far is empty.
    empty: bool,
    /// Lines of the body still to be sent behind the header; none: all.
    limit: Option<u32>,
    in_body: bool,
    /// Lines sent so far.
    lines: usize,
}

impl Sender {
    /// The whole message, or its header and `limit` lines of the body.
    pub(super) fn new(limit: Option<u32>) -> Self {
        Self { at_start: true, after_cr: false, empty: true, limit, in_body: false, lines: 0 }
    }

    /// Appends what is to be sent of a block. False: it was enough, nothing behind it is wanted.
    pub(super) fn feed(&mut self, block: &[u8], out: &mut Vec<u8>) -> bool {
        out.reserve(block.len() + block.len() / 16);
        for piece in block.split_inclusive(|byte| *byte == b'\n') {
            if self.at_start && piece.first() == Some(&b'.') {
                out.push(b'.');
            }
            let Some(text) = piece.strip_suffix(b"\n") else {
                out.extend_from_slice(piece);
                self.empty &= piece == b"\r" && !self.after_cr;
                self.after_cr = piece.last() == Some(&b'\r');
                self.at_start = false;
                continue;
            };
            let has_cr = text.last() == Some(&b'\r') || (text.is_empty() && self.after_cr);
            out.extend_from_slice(text);
            out.extend_from_slice(if has_cr { b"\n" } else { b"\r\n" });
            let empty = self.empty && (text.is_empty() || (text == b"\r" && !self.after_cr));
            if self.ends_line(empty) {
                return false;
            }
        }
        true
    }

    /// Ends the last line if that is not done, and the message. Returns the number of lines.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) -> usize {
        if !self.at_start {
            out.extend_from_slice(b"\r\n");
            self.lines += 1;
        }
        out.extend_from_slice(b".\r\n");
        self.lines
    }

    /// Counts a line that has ended; true if it was the last one wanted.
    fn ends_line(&mut self, empty: bool) -> bool {
        (self.at_start, self.after_cr, self.empty) = (true, false, true);
        self.lines += 1;
        let Some(left) = &mut self.limit else { return false };
        if self.in_body {
            *left = left.saturating_sub(1);
        }
        self.in_body |= empty;
        self.in_body && *left == 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sent(blocks: &[&[u8]], limit: Option<u32>) -> String {
        let mut sender = Sender::new(limit);
        let mut out = Vec::new();
        let _ = blocks.iter().all(|block| sender.feed(block, &mut out));
        sender.finish(&mut out);
        out.escape_ascii().to_string()
    }

    #[test]
    fn lines_end_in_crlf_and_dots_are_doubled() {
        for (stored, expected) in [
            ("", ".\\r\\n"),
            ("a\r\n.b\r\n", "a\\r\\n..b\\r\\n.\\r\\n"),
            ("a", "a\\r\\n.\\r\\n"),
            (".", "..\\r\\n.\\r\\n"),
            ("a\n.\nb", "a\\r\\n..\\r\\nb\\r\\n.\\r\\n"),
            ("a\r.\r\n", "a\\r.\\r\\n.\\r\\n"),
            ("a\r", "a\\r\\r\\n.\\r\\n"),
            ("a\r\r\n", "a\\r\\r\\n.\\r\\n"),
            ("\0\u{1}", "\\x00\\x01\\r\\n.\\r\\n"),
        ] {
            assert_eq!(sent(&[stored.as_bytes()], None), expected, "{stored:?}");
        }
        assert_eq!(sent(&[b"a\r", b"\n", b".", b".b\r\n"], None), "a\\r\\n...b\\r\\n.\\r\\n");
    }

    #[test]
    fn top_ends_behind_the_lines_that_were_asked_for() {
        let message: &[u8] = b"A: 1\r\nB: 2\r\n\r\none\r\n\r\nthree\r\n";
        for (limit, expected) in [
            (0, "A: 1\\r\\nB: 2\\r\\n\\r\\n.\\r\\n"),
            (1, "A: 1\\r\\nB: 2\\r\\n\\r\\none\\r\\n.\\r\\n"),
            (2, "A: 1\\r\\nB: 2\\r\\n\\r\\none\\r\\n\\r\\n.\\r\\n"),
            (9, "A: 1\\r\\nB: 2\\r\\n\\r\\none\\r\\n\\r\\nthree\\r\\n.\\r\\n"),
        ] {
            assert_eq!(sent(&[message], Some(limit)), expected, "{limit}");
        }
        assert_eq!(sent(&[b"no header end\r\nx\r\n"], Some(0)), "no header end\\r\\nx\\r\\n.\\r\\n");
        assert_eq!(sent(&[b"A: 1\n\nbody\n"], Some(0)), "A: 1\\r\\n\\r\\n.\\r\\n");
        assert_eq!(sent(&[b"A: 1\r\n\r", b"\nbody\r\n"], Some(0)), "A: 1\\r\\n\\r\\n.\\r\\n");
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same(stored in "[a.\r\n]{0,40}", cut in 0_usize..40, limit in proptest::option::of(0_u32..4)) {
            let stored = stored.as_bytes();
            let cut = cut.min(stored.len());
            let whole = sent(&[stored], limit);
            prop_assert_eq!(&sent(&[&stored[..cut], &stored[cut..]], limit), &whole);
            let bytes: Vec<&[u8]> = stored.chunks(1).collect();
            prop_assert_eq!(&sent(&bytes, limit), &whole);
        }

        #[test]
        fn a_client_gets_back_what_ends_in_crlf_everywhere(lines in proptest::collection::vec("[a.]{0,3}", 0..8)) {
            let stored: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
            let mut sender = Sender::new(None);
            let mut out = Vec::new();
            sender.feed(stored.as_bytes(), &mut out);
            sender.finish(&mut out);
            let text = String::from_utf8(out).unwrap();
            let received: String = text
                .strip_suffix(".\r\n")
                .unwrap()
                .split_inclusive("\r\n")
                .map(|line| line.strip_prefix('.').unwrap_or(line))
                .collect();
            prop_assert_eq!(received, stored);
        }
    }
}
