//! Reading the message: `--content` lines, then the header lines and the body of the input.
//!
//! Only the header is kept in memory, up to a limit; the body streams through.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Read};

use base64::Engine;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::message::{Headers, LineEnds};

use super::fault::Fault;
use super::options::Options;

/// The most that is kept of a header block, in bytes, line ends included.
pub(super) const MAX_HEADER: usize = 1024 * 1024;
/// More than a line and its end need to be seen whole, in bytes.
const LINE_END: usize = 3;
/// How much of the body is in memory at a time, in bytes.
const CHUNK: usize = 64 * 1024;
/// Ends a message that is typed on a terminal.
const TERMINAL_END: &[u8] = b".";
/// How the line begins that mailbox files have in front of each message.
const MAILBOX_LINE: &[u8] = b"From ";

/// A line in base64, padded or not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Where the message comes from.
pub(super) struct Input {
    reader: Box<dyn BufRead>,
    /// A line that was read and belongs to what follows, as it came.
    unread: Vec<u8>,
    /// A person types it: a lone dot ends it.
    typed: bool,
    ended: bool,
}

/// What follows the header: kept lines first, then the rest of the input.
pub(super) struct Body {
    lines: Vec<Vec<u8>>,
    input: Option<Input>,
}

/// A header block that is being read, with the room that is left.
struct HeaderReader {
    headers: Headers,
    room: usize,
}

impl Input {
    /// The input that the options name; none when standard input is not to be read.
    ///
    /// # Errors
    /// When the input file cannot be opened.
    pub(super) fn open(options: &Options) -> Result<Option<Self>, Fault> {
        if let Some(path) = &options.input_file {
            let file = File::open(path).map_err(|_| Fault::Open(path.display().to_string()))?;
            return Ok(Some(Self::new(file, false)));
        }
        let stdin = io::stdin();
        let typed = stdin.is_terminal() && !options.dots;
        Ok((!options.no_stdin).then(|| Self::new(stdin, typed)))
    }

    /// Reads from any source; `typed` ones end with a lone dot.
    pub(super) fn new(source: impl Read + 'static, typed: bool) -> Self {
        Self {
            reader: Box::new(BufReader::with_capacity(CHUNK, source)),
            unread: Vec::new(),
            typed,
            ended: false,
        }
    }

    /// The next line with its line end, or nothing at the end.
    fn line(&mut self, limit: usize) -> Result<Option<Vec<u8>>, Fault> {
        let mut line = Vec::new();
        if self.ended
            || self.reader.by_ref().take(limit as u64).read_until(b'\n', &mut line).map_err(Fault::Read)? == 0
        {
            return Ok(None);
        }
        self.ended = self.typed && stripped(&line) == TERMINAL_END;
        Ok((!self.ended).then_some(line))
    }

    /// Passes on the rest, every line ended with CRLF.
    fn copy_to(&mut self, sink: &mut impl FnMut(&[u8]) -> Result<(), Fault>) -> Result<(), Fault> {
        let mut line_ends = LineEnds::default();
        let mut converted = Vec::with_capacity(CHUNK + CHUNK / 8);
        line_ends.convert(&std::mem::take(&mut self.unread), &mut converted);
        sink(&converted)?;
        while !self.ended {
            converted.clear();
            if self.typed {
                // A terminal gives whole lines, shorter than any buffer.
                let Some(line) = self.line(CHUNK)? else { break };
                line_ends.convert(stripped(&line), &mut converted);
                line_ends.convert(b"\n", &mut converted);
            } else {
                let chunk = match self.reader.fill_buf() {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    filled => filled.map_err(Fault::Read)?,
                };
                if chunk.is_empty() {
                    break;
                }
                line_ends.convert(chunk, &mut converted);
                let length = chunk.len();
                self.reader.consume(length);
            }
            sink(&converted)?;
        }
        converted.clear();
        line_ends.finish(&mut converted);
        sink(&converted)
    }
}

impl Body {
    /// Passes on all of it, in pieces of bounded size.
    ///
    /// # Errors
    /// When the input breaks off, or what the sink returns.
    pub(super) fn copy_to(&mut self, mut sink: impl FnMut(&[u8]) -> Result<(), Fault>) -> Result<(), Fault> {
        for line in &mut self.lines {
            line.extend_from_slice(b"\r\n");
            sink(line)?;
        }
        self.input.as_mut().map_or(Ok(()), |input| input.copy_to(&mut sink))
    }
}

/// Reads the `--content` lines and, unless all of the input is body, its header; the rest is for later.
///
/// # Errors
/// When a `--content` value is no base64, when the header is too big, and when the input breaks off.
pub(super) fn read(options: &Options, mut input: Option<Input>) -> Result<(Headers, Body), Fault> {
    let mut given = Vec::new();
    for value in &options.content {
        given.extend(content_lines(value.as_encoded_bytes())?);
    }
    // The first empty line ends the header and is not kept: one is always written there.
    let body_lines = match given.iter().position(Vec::is_empty) {
        Some(empty) => given.split_off(empty).split_off(1),
        None => Vec::new(),
    };
    let mut header = HeaderReader { headers: Headers::default(), room: MAX_HEADER };
    given.into_iter().try_for_each(|line| header.add(line))?;
    if let Some(input) = input.as_mut().filter(|_| !options.body) {
        header.read(input, options.free_form)?;
    }
    Ok((header.headers, Body { lines: body_lines, input }))
}

impl HeaderReader {
    /// Reads up to the empty line; one that is `free_form` up to whatever is no header, as Postfix and sendmail do: programs
    /// give them bare text, and messages out of mailbox files.
    fn read(&mut self, input: &mut Input, free_form: bool) -> Result<(), Fault> {
        let mut is_first = true;
        while let Some(line) = input.line(self.room + LINE_END)? {
            let text = stripped(&line);
            let is_dropped = free_form && is_first && text.starts_with(MAILBOX_LINE);
            is_first = false;
            if is_dropped {
                continue;
            }
            if text.is_empty() {
                break;
            }
            if free_form && !self.headers.goes_on_with(text) {
                input.unread = line;
                break;
            }
            self.add(text.to_vec())?;
        }
        Ok(())
    }

    fn add(&mut self, line: Vec<u8>) -> Result<(), Fault> {
        self.room = self.room.checked_sub(line.len() + 2).ok_or(Fault::HeaderSize(MAX_HEADER))?;
        self.headers.push(line);
        Ok(())
    }
}

/// The line of a `--content` value; zero or one character stand for an empty one. A value that was made with line ends
/// in it, as `echo text | base64` does, gives the lines that these end.
fn content_lines(value: &[u8]) -> Result<Vec<Vec<u8>>, Fault> {
    if value.len() <= 1 {
        return Ok(vec![Vec::new()]);
    }
    let text = BASE64.decode(value).map_err(|_| Fault::Base64)?;
    let lines = stripped(&text)
        .split(|&byte| byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line).to_vec());
    Ok(lines.collect())
}

/// The line without one LF and then one CR.
fn stripped(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
