//! The content that a report is about: its header, and what of it can be returned.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use crate::message::report::Returned;
use crate::message::{Headers, LineEnds};

/// So much is looked at for the header.
const MAX_HEADER: u64 = 64 * 1024;
/// RFC 5322 section 2.1.1, without the line end. Longer lines cannot be sent in a part that is not encoded.
const MAX_LINE: usize = 998;
/// Bytes that are read at a time.
const CHUNK: usize = 32 * 1024;

/// A content file.
pub(super) struct Content {
    file: File,
    size: u64,
    lines: Vec<Vec<u8>>,
    header: Headers,
}

impl Content {
    /// Reads the header.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn open(mut file: File, size: u64) -> io::Result<Self> {
        let mut bytes = Vec::new();
        Read::by_ref(&mut file).take(MAX_HEADER).read_to_end(&mut bytes)?;
        let lines: Vec<Vec<u8>> = bytes
            .split(|byte| *byte == b'\n')
            .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
            .take_while(|line| !line.is_empty())
            .map(clean)
            .collect();
        Ok(Self { file, size, header: Headers::new(lines.clone()), lines })
    }

    /// The header.
    pub(super) fn header(&self) -> &Headers {
        &self.header
    }

    /// What can be returned if this much is wanted, and whether it has bytes that are not ASCII.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn examine(&mut self, wanted: Returned, max_size: u64) -> io::Result<(Returned, bool)> {
        match wanted {
            Returned::Nothing => Ok((Returned::Nothing, false)),
            Returned::Message if self.size <= max_size => match self.scan()? {
                Some(eight_bit) => Ok((Returned::Message, eight_bit)),
                None => Ok(self.headers_only()),
            },
            Returned::Message | Returned::Headers => Ok(self.headers_only()),
        }
    }

    /// Gives what [`examine`](Self::examine) has found good, with CRLF line ends, in pieces.
    ///
    /// # Errors
    /// The file cannot be read, or `sink` does not take it.
    pub(super) fn copy<E: From<io::Error>>(
        &mut self,
        what: Returned,
        sink: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        match what {
            Returned::Nothing => Ok(()),
            Returned::Headers => self.lines.iter().try_for_each(|line| {
                sink(line)?;
                sink(b"\r\n")
            }),
            Returned::Message => {
                let (mut line_ends, mut out) = (LineEnds::default(), Vec::new());
                self.file.seek(SeekFrom::Start(0))?;
                // No more than was examined, should somebody write to it.
                let mut rest = Read::by_ref(&mut self.file).take(self.size);
                let mut chunk = vec![0; CHUNK];
                loop {
                    let count = rest.read(&mut chunk)?;
                    let piece = chunk.get(..count).filter(|piece| !piece.is_empty());
                    let Some(piece) = piece else { break };
                    out.clear();
                    line_ends.convert(piece, &mut out);
                    sink(&out)?;
                }
                out.clear();
                line_ends.finish(&mut out);
                sink(&out)
            }
        }
    }

    fn headers_only(&self) -> (Returned, bool) {
        (Returned::Headers, self.lines.iter().any(|line| !line.is_ascii()))
    }

    /// Whether the content has bytes that are not ASCII. None if it cannot be part of a message as it is: it has a NUL, a bare
    /// CR, or a line that is too long.
    fn scan(&mut self) -> io::Result<Option<bool>> {
        self.file.seek(SeekFrom::Start(0))?;
        let mut chunk = vec![0; CHUNK];
        let (mut eight_bit, mut line, mut cr) = (false, 0_usize, false);
        loop {
            let count = self.file.read(&mut chunk)?;
            let piece = chunk.get(..count).filter(|piece| !piece.is_empty());
            let Some(piece) = piece else { return Ok(Some(eight_bit)) };
            for &byte in piece {
                if byte == 0 || (cr && byte != b'\n') {
                    return Ok(None);
                }
                cr = byte == b'\r';
                eight_bit |= !byte.is_ascii();
                line = if byte == b'\n' { 0 } else { line + usize::from(!cr) };
                if line > MAX_LINE {
                    return Ok(None);
                }
            }
        }
    }
}

/// A header line as it can be sent.
fn clean(line: &[u8]) -> Vec<u8> {
    let line = line.get(..MAX_LINE).unwrap_or(line);
    line.iter().map(|&byte| if matches!(byte, 0 | b'\r') { b'?' } else { byte }).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn returned(text: &[u8], wanted: Returned, max: u64) -> (Returned, bool, Vec<u8>) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text).unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        let mut content = Content::open(file, text.len() as u64).unwrap();
        let (what, eight_bit) = content.examine(wanted, max).unwrap();
        let mut out = Vec::new();
        let mut sink = |bytes: &[u8]| -> io::Result<()> {
            out.extend_from_slice(bytes);
            Ok(())
        };
        content.copy(what, &mut sink).unwrap();
        (what, eight_bit, out)
    }

    #[test]
    fn what_can_be_sent_is_returned() {
        use Returned::{Headers, Message, Nothing};
        let long = [b"A: b\r\n\r\n".as_slice(), &[b'x'; MAX_LINE + 1], b"\r\n"].concat();
        /// Content, what is wanted; what is returned, whether it is more than ASCII, and its text.
        type Row<'a> = (&'a [u8], Returned, Returned, bool, &'a [u8]);
        let table: &[Row<'_>] = &[
            (b"A: b\r\n\r\nbody\r\n", Message, Message, false, b"A: b\r\n\r\nbody\r\n"),
            (b"A: b\n\nbody", Message, Message, false, b"A: b\r\n\r\nbody\r\n"),
            (b"A: b\r\n\r\n\xe9\r\n", Message, Message, true, b"A: b\r\n\r\n\xe9\r\n"),
            (b"A: b\r\n\r\n\xe9\r\n", Headers, Headers, false, b"A: b\r\n"),
            (b"A: b\r\n\r\nbare\rcr\r\n", Message, Headers, false, b"A: b\r\n"),
            (b"A: b\r\n\r\nnul\0\r\n", Message, Headers, false, b"A: b\r\n"),
            (b"A: \xe9\0\r\n\r\nx", Message, Headers, true, b"A: \xe9?\r\n"),
            (b"A: b\r\n\r\nbody\r\n", Nothing, Nothing, false, b""),
            (b"", Message, Message, false, b""),
            (&long, Message, Headers, false, b"A: b\r\n"),
        ];
        for (text, wanted, what, eight_bit, out) in table {
            assert_eq!(returned(text, *wanted, 10_000), (*what, *eight_bit, out.to_vec()), "{text:?}");
        }
        assert_eq!(returned(b"A: b\r\n\r\nbody\r\n", Message, 13).0, Headers);
        assert_eq!(returned(b"A: b\r\n\r\nbody\r\n", Message, 14).0, Message);
    }
}
