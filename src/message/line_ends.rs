//! Line ends of the body: every line loses one CR, if it has any, and gets CRLF.

/// Converts a stream in pieces of any size.
#[derive(Debug, Default)]
pub struct LineEnds {
    /// A CR that may turn out to belong to a line end.
    held_cr: bool,
    in_line: bool,
}

impl LineEnds {
    /// Converts a piece and adds it to `out`.
    pub fn convert(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        for part in piece.split_inclusive(|&byte| byte == b'\n') {
            if self.held_cr && part != b"\n" {
                out.push(b'\r');
            }
            let (text, ended) = match part.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (part, false),
            };
            let stripped = text.strip_suffix(b"\r");
            out.extend_from_slice(stripped.unwrap_or(text));
            self.held_cr = !ended && stripped.is_some();
            self.in_line = !ended;
            if ended {
                out.extend_from_slice(b"\r\n");
            }
        }
    }

    /// Ends the last line, if it has no line end.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if self.in_line {
            out.extend_from_slice(b"\r\n");
        }
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn converted<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
        let (mut line_ends, mut out) = (LineEnds::default(), Vec::new());
        pieces.into_iter().for_each(|piece| line_ends.convert(piece, &mut out));
        line_ends.finish(&mut out);
        out
    }

    #[test]
    fn each_line_loses_one_cr_and_gets_crlf() {
        let table: &[(&[u8], &[u8])] = &[
            (b"", b""),
            (b"a", b"a\r\n"),
            (b"a\n", b"a\r\n"),
            (b"a\r\n", b"a\r\n"),
            (b"a\r\r\n", b"a\r\r\n"),
            (b"a\rb\n", b"a\rb\r\n"),
            (b"\n\r\n\n", b"\r\n\r\n\r\n"),
            (b"a\r", b"a\r\n"),
            (b"a\r\r", b"a\r\r\n"),
            (b".\n..\n", b".\r\n..\r\n"),
            (b"\x00\xff\n", b"\x00\xff\r\n"),
        ];
        for (input, expected) in table {
            assert_eq!(converted([*input]), *expected, "{input:?}");
        }
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same(text in "[ab\r\n]{0,30}", size in 1_usize..5) {
            prop_assert_eq!(converted(text.as_bytes().chunks(size)), converted([text.as_bytes()]));
        }
    }
}
