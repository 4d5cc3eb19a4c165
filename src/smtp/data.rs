//! Mail data (RFC 5321 §4.5.2): finds the end, takes out the stuffed dots, watches for bare line ends.
//!
//! A line ends only at CR LF, so a lone dot between other line ends is data. Servers that think otherwise can be made
//! to see a second message inside the first ("SMTP smuggling", CVE-2023-51764); [`Decoder`] therefore reports every
//! lone dot of which one neighbour is a bare CR or LF, and the session decides.
//!
//! The machine works on slices: text is searched for line ends block by block and copied in runs; only the bytes
//! around line ends pass through the state machine one at a time. It gives the same result at any split.

/// Lines of data longer than this are worth a warning (RFC 5321 §4.5.3.1.6).
pub const LONG_LINE: usize = 1000;

/// The decoder of one message's data.
#[derive(Clone, Debug)]
pub struct Decoder {
    at: At,
    bare: Bare,
    /// Bytes of the current line so far.
    line: usize,
    long_line: Option<usize>,
}

/// What [`Decoder::feed`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fed {
    /// Bytes used; less than given only at the end of data.
    pub taken: usize,
    /// The end of data is among them.
    pub end: bool,
}

/// Line ends other than CR LF seen in a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bare {
    /// An LF without CR before it.
    pub lf: bool,
    /// A line of one dot, of which at least one end is a bare CR or LF.
    pub lone_dot: bool,
}

/// Where the decoder stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// Behind CR LF, or at the very start.
    Start,
    /// Inside a line.
    Middle,
    /// Behind a CR inside a line; the CR has been passed on.
    Cr,
    /// Behind CR LF and a dot that is held back.
    Dot,
    /// Behind CR LF, dot and CR, both held back.
    DotCr,
    /// Behind a bare LF.
    BareStart,
    /// Behind a bare line end and a dot, which has been passed on.
    BareDot,
    /// Behind the end of data.
    End,
}

impl Default for Decoder {
    fn default() -> Self {
        Self { at: At::Start, bare: Bare::default(), line: 0, long_line: None }
    }
}

impl Decoder {
    /// Decodes `input` up to the end of data, appending the message's bytes to `out`.
    pub fn feed(&mut self, input: &[u8], out: &mut Vec<u8>) -> Fed {
        // `kept` is the first byte not yet copied, `next` the first not yet looked at.
        let mut kept = 0;
        let mut next = 0;
        while self.at != At::End {
            if self.at == At::Middle {
                let run = find_line_end(tail(input, next));
                next += run;
                self.line += run;
            }
            let Some(&byte) = input.get(next) else { break };
            match self.step(byte) {
                Step::Keep => {}
                Step::Drop => {
                    out.extend_from_slice(input.get(kept..next).unwrap_or_default());
                    kept = next + 1;
                }
                Step::KeepAfterCr => out.push(b'\r'),
            }
            next += 1;
        }
        out.extend_from_slice(input.get(kept..next).unwrap_or_default());
        Fed { taken: next, end: self.at == At::End }
    }

    /// Bare line ends so far.
    pub fn bare(&self) -> Bare {
        self.bare
    }

    /// Length without CRLF of the first line that was longer than [`LONG_LINE`], as soon as it has ended.
    pub fn long_line(&self) -> Option<usize> {
        self.long_line
    }

    fn step(&mut self, byte: u8) -> Step {
        self.line += 1;
        match (self.at, byte) {
            (At::Start, b'.') => self.go(At::Dot, Step::Drop),
            (At::Dot, b'\r') => self.go(At::DotCr, Step::Drop),
            (At::DotCr, b'\n') => self.go(At::End, Step::Drop),
            (At::Cr, b'\n') => {
                self.end_line();
                self.go(At::Start, Step::Keep)
            }
            (At::Dot, b'\n') => {
                self.bare.lone_dot = true;
                self.inside(byte)
            }
            // The dot was stuffing, the CR was bare: the CR held back goes out in front of this byte.
            (At::DotCr, _) => {
                self.bare.lone_dot = true;
                self.behind_bare(byte);
                Step::KeepAfterCr
            }
            (At::Cr | At::BareStart, _) => self.behind_bare(byte),
            (At::BareDot, b'\r' | b'\n') => {
                self.bare.lone_dot = true;
                self.inside(byte)
            }
            _ => self.inside(byte),
        }
    }

    fn behind_bare(&mut self, byte: u8) -> Step {
        if byte == b'.' { self.go(At::BareDot, Step::Keep) } else { self.inside(byte) }
    }

    fn inside(&mut self, byte: u8) -> Step {
        match byte {
            b'\r' => self.go(At::Cr, Step::Keep),
            b'\n' => {
                self.bare.lf = true;
                self.go(At::BareStart, Step::Keep)
            }
            _ => self.go(At::Middle, Step::Keep),
        }
    }

    fn go(&mut self, at: At, step: Step) -> Step {
        self.at = at;
        step
    }

    fn end_line(&mut self) {
        let length = self.line.saturating_sub(2);
        if length > LONG_LINE && self.long_line.is_none() {
            self.long_line = Some(length);
        }
        self.line = 0;
    }
}

/// What becomes of the byte just looked at.
#[derive(Clone, Copy)]
enum Step {
    Keep,
    Drop,
    KeepAfterCr,
}

/// Bytes before the first CR or LF; all of them if there is none.
fn find_line_end(bytes: &[u8]) -> usize {
    let is_end = |b: &u8| *b == b'\r' || *b == b'\n';
    let mut clean = 0;
    // A fold over a block of fixed size compiles to vector compares, a search with early exit does not.
    for block in bytes.as_chunks::<32>().0 {
        if block.iter().fold(false, |found, b| found | is_end(b)) {
            break;
        }
        clean += block.len();
    }
    let rest = tail(bytes, clean);
    clean + rest.iter().position(is_end).unwrap_or(rest.len())
}

fn tail(bytes: &[u8], from: usize) -> &[u8] {
    bytes.get(from..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(input: &[u8], step: usize) -> (Vec<u8>, Bare, bool, usize) {
        let mut decoder = Decoder::default();
        let mut out = Vec::new();
        let mut taken = 0;
        for chunk in input.chunks(step) {
            let fed = decoder.feed(chunk, &mut out);
            taken += fed.taken;
            if fed.end {
                return (out, decoder.bare(), true, taken);
            }
            assert_eq!(fed.taken, chunk.len());
        }
        (out, decoder.bare(), false, taken)
    }

    /// Input, stored bytes, whether a lone dot stands between bare line ends.
    const TABLE: [(&[u8], &[u8], bool); 19] = [
        (b".\r\n", b"", false),
        (b"a\n.\nb\r\n.\r\n", b"a\n.\nb\r\n", true),
        (b"a\r\n.\nb\r\n.\r\n", b"a\r\n\nb\r\n", true),
        (b"a\n.\r\nb\r\n.\r\n", b"a\n.\r\nb\r\n", true),
        (b"a\r\n.\rb\r\n.\r\n", b"a\r\n\rb\r\n", true),
        (b"a\r\n.\r\r\n.\r\n", b"a\r\n\r\r\n", true),
        (b"a\r.\rb\r\n.\r\n", b"a\r.\rb\r\n", true),
        (b"a\r.\r\nb\r\n.\r\n", b"a\r.\r\nb\r\n", true),
        (b"a\r.\nb\r\n.\r\n", b"a\r.\nb\r\n", true),
        (b"a\n.\rb\r\n.\r\n", b"a\n.\rb\r\n", true),
        (b".\n.\r\n.\r\n", b"\n.\r\n", true),
        (b"a\r\n.\r.\r\nb\r\n.\r\n", b"a\r\n\r.\r\nb\r\n", true),
        (b"a\rb\nc\r\n.\r\n", b"a\rb\nc\r\n", false),
        (b"a\n.b\r\n.\r\n", b"a\n.b\r\n", false),
        (b"..\r\n.\r\n", b".\r\n", false),
        (b".a\r\n. \r\n...\r\n.\r\n", b"a\r\n \r\n..\r\n", false),
        (b"a\r\n\0.\r\n.\r\n", b"a\r\n\0.\r\n", false),
        (b"a.\r\n.\r\n", b"a.\r\n", false),
        (b"\r\n\r\n.\r\n", b"\r\n\r\n", false),
    ];

    #[test]
    fn end_stuffing_and_bare_line_ends_at_every_split() {
        for (input, stored, lone_dot) in TABLE {
            for step in 1..=input.len() {
                let (out, bare, end, taken) = decode(&[input, b"QUIT"].concat(), step);
                assert_eq!((&out[..], bare.lone_dot, end), (stored, lone_dot, true), "{input:?}");
                assert_eq!(taken, input.len());
            }
        }
    }

    #[test]
    fn the_first_long_line_is_reported() {
        let long = vec![b'x'; LONG_LINE + 1];
        let mut decoder = Decoder::default();
        decoder.feed(&long[1..], &mut Vec::new());
        decoder.feed(b"\r\n", &mut Vec::new());
        assert_eq!(decoder.long_line(), None);
        decoder.feed(&[&long, &b"\r"[..]].concat(), &mut Vec::new());
        decoder.feed(&[b"\n", &long[..], &long, b"\r\n"].concat(), &mut Vec::new());
        assert_eq!(decoder.long_line(), Some(LONG_LINE + 1));
    }

    /// The rules of the module text, one byte at a time and with no regard for speed.
    fn model(input: &[u8]) -> (Vec<u8>, bool) {
        let mut out = Vec::new();
        let mut line = Vec::new();
        for &byte in input {
            line.push(byte);
            if line.ends_with(b"\r\n") {
                match &line[..] {
                    b".\r\n" => return (out, true),
                    [b'.', rest @ ..] => out.extend_from_slice(rest),
                    all => out.extend_from_slice(all),
                }
                line.clear();
            }
        }
        (out, false)
    }

    proptest::proptest! {
        #[test]
        fn agrees_with_the_model_at_any_split(
            parts in proptest::collection::vec(proptest::sample::select(vec!["\r", "\n", "\r\n", ".", "x", "long text, longer than a block of 32"]), 0..40),
            step in 1usize..50,
        ) {
            let input = parts.concat().into_bytes();
            let (out, _, end, _) = decode(&input, step);
            let (want, want_end) = model(&input);
            proptest::prop_assert_eq!(end, want_end);
            if end {
                proptest::prop_assert_eq!(out, want);
            } else {
                proptest::prop_assert!(out.starts_with(&want));
            }
        }
    }
}
