//! Content on its way out: line ends made CRLF, leading dots doubled (RFC 5321 sections 2.3.8 and 4.5.2).

/// Turns the bytes of a content file, in pieces of any size, into the lines that follow a 354.
///
/// CRLF, a lone LF and a lone CR each end a line and go out as CRLF, so that no two servers can disagree about where a
/// line, or the message, ends. A last line without an end is given one.
#[derive(Debug, Default)]
pub struct Stuffer {
    out: Vec<u8>,
    lines: u64,
    inside_line: bool,
    after_cr: bool,
}

impl Stuffer {
    /// Adds a piece of the file.
    pub fn push(&mut self, chunk: &[u8]) {
        let mut rest = chunk;
        if self.after_cr
            && let Some((first, tail)) = rest.split_first()
        {
            self.after_cr = false;
            if *first == b'\n' {
                rest = tail;
            }
        }
        // Most content needs no change but a dot here and there: room for it without growing.
        self.out.reserve(rest.len() + rest.len() / 64 + 16);
        self.push_lines(rest);
    }

    /// Ends the content: completes the last line and adds the final dot.
    pub fn finish(&mut self) {
        if self.inside_line {
            self.end_line();
        }
        self.out.extend_from_slice(b".\r\n");
    }

    /// Bytes that wait to be taken.
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// True if there is nothing to take.
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// Takes the bytes made so far, and the number of content lines that end in them.
    pub fn take(&mut self) -> (Vec<u8>, u64) {
        (std::mem::take(&mut self.out), std::mem::take(&mut self.lines))
    }

    /// Copies whole stretches that need no change: `kept` is the part of `stretch` already known to be good.
    fn push_lines(&mut self, mut stretch: &[u8]) {
        let mut kept = 0;
        loop {
            let (head, tail) = stretch.split_at_checked(kept).unwrap_or((stretch, &[]));
            if !self.inside_line && tail.first() == Some(&b'.') {
                self.out.extend_from_slice(head);
                self.out.push(b'.');
                (stretch, kept) = (tail, 0);
            }
            let tail = stretch.get(kept..).unwrap_or_default();
            let Some(at) = find_line_end(tail) else {
                self.out.extend_from_slice(stretch);
                self.inside_line |= !tail.is_empty();
                return;
            };
            if tail.get(at..at + 2) == Some(b"\r\n") {
                kept += at + 2;
                self.lines += 1;
                self.inside_line = false;
                continue;
            }
            self.out.extend_from_slice(stretch.get(..kept + at).unwrap_or_default());
            self.end_line();
            stretch = tail.get(at + 1..).unwrap_or_default();
            self.after_cr = tail.get(at) == Some(&b'\r') && stretch.is_empty();
            kept = 0;
        }
    }

    fn end_line(&mut self) {
        self.out.extend_from_slice(b"\r\n");
        self.lines += 1;
        self.inside_line = false;
    }
}

/// Position of the first CR or LF. Looks at blocks, which the compiler turns into vector instructions, before bytes.
fn find_line_end(bytes: &[u8]) -> Option<usize> {
    const BLOCK: usize = 32;
    let is_end = |b: u8| (b == b'\n') | (b == b'\r');
    let (blocks, _) = bytes.as_chunks::<BLOCK>();
    let is_clean = |block: &&[u8; BLOCK]| !block.iter().fold(false, |found, &b| found | is_end(b));
    let start = blocks.iter().take_while(is_clean).count() * BLOCK;
    let at = bytes.get(start..)?.iter().position(|&b| is_end(b))?;
    Some(start + at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stuffed(pieces: &[&[u8]]) -> (Vec<u8>, u64) {
        let mut stuffer = Stuffer::default();
        for piece in pieces {
            stuffer.push(piece);
        }
        stuffer.finish();
        stuffer.take()
    }

    /// Line ends by the plain rule, byte by byte.
    fn normalised(content: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut bytes = content.iter().copied().peekable();
        let mut inside_line = false;
        while let Some(b) = bytes.next() {
            inside_line = !matches!(b, b'\r' | b'\n');
            if inside_line {
                out.push(b);
            } else {
                if b == b'\r' && bytes.peek() == Some(&b'\n') {
                    bytes.next();
                }
                out.extend_from_slice(b"\r\n");
            }
        }
        if inside_line {
            out.extend_from_slice(b"\r\n");
        }
        out
    }

    /// What a strict server reads up to the final dot, and what is left behind it.
    fn unstuffed(wire: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let mut out = Vec::new();
        let mut rest = wire;
        loop {
            let end = rest.windows(2).position(|w| w == b"\r\n").expect("line end") + 2;
            let (line, tail) = rest.split_at(end);
            rest = tail;
            if line == b".\r\n" {
                return (out, rest.to_vec());
            }
            assert!(!line[..end - 2].contains(&b'\r') && !line[..end - 2].contains(&b'\n'));
            out.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
        }
    }

    #[test]
    fn every_kind_of_line_end_goes_out_as_crlf() {
        assert_eq!(stuffed(&[b"a\r\nb\nc\rd"]), (b"a\r\nb\r\nc\r\nd\r\n.\r\n".to_vec(), 4));
        assert_eq!(stuffed(&[b"a\r", b"\nb\r", b"c\n", b"\n"]), (b"a\r\nb\r\nc\r\n\r\n.\r\n".to_vec(), 4));
        assert_eq!(stuffed(&[b"a\r\r\n\n\r"]), (b"a\r\n\r\n\r\n\r\n.\r\n".to_vec(), 4));
        assert_eq!(stuffed(&[b"a\r", b"", b"\n"]), (b"a\r\n.\r\n".to_vec(), 1));
    }

    #[test]
    fn leading_dots_are_doubled() {
        assert_eq!(stuffed(&[b"."]), (b"..\r\n.\r\n".to_vec(), 1));
        assert_eq!(stuffed(&[b".", b"."]), (b"...\r\n.\r\n".to_vec(), 1));
        assert_eq!(
            stuffed(&[b"x.y\r\n.z\n.\r", b".", b"\r\n"]),
            (b"x.y\r\n..z\r\n..\r\n..\r\n.\r\n".to_vec(), 4)
        );
    }

    #[test]
    fn empty_content_is_just_the_dot() {
        assert_eq!(stuffed(&[]), (b".\r\n".to_vec(), 0));
        assert_eq!(stuffed(&[b""]), (b".\r\n".to_vec(), 0));
    }

    proptest! {
        #[test]
        fn unstuffing_gives_the_normalised_content_whatever_the_split(
            content in proptest::collection::vec(
                prop_oneof![Just(b'.'), Just(b'\r'), Just(b'\n'), Just(b'x'), any::<u8>()], 0..300),
            cuts in proptest::collection::vec(0usize..300, 0..6),
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().filter(|&c| c <= content.len()).collect();
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut from = 0;
            for cut in cuts {
                pieces.push(&content[from..cut]);
                from = cut;
            }
            pieces.push(&content[from..]);
            let (wire, lines) = stuffed(&pieces);
            let expected = normalised(&content);
            prop_assert_eq!(lines, expected.windows(2).filter(|w| w == b"\r\n").count() as u64);
            prop_assert_eq!(unstuffed(&wire), (expected, Vec::new()));
        }
    }
}
