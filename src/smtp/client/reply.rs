//! Replies of the server (RFC 5321 section 4.2): values and an incremental parser.

use std::fmt;

use super::events::Escaped;
use super::limits::{MAX_REPLY, MAX_REPLY_LINE};

/// One complete reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The three digits, 100 to 599.
    pub code: u16,
    /// The text of all lines: leading blanks trimmed, control characters made blanks, empty lines left out, the rest joined
    /// with a newline. Bytes that are not UTF-8 are read as Latin-1.
    pub text: String,
}

impl Reply {
    /// The service is closing the connection, whatever the command was (RFC 5321 section 4.2.3).
    pub const CLOSING: u16 = 421;

    /// 1xx, 2xx or 3xx.
    pub fn is_positive(&self) -> bool {
        self.code < 400
    }

    /// 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.code)
    }

    /// 4xx.
    pub fn is_temporary(&self) -> bool {
        (400..500).contains(&self.code)
    }

    /// 5xx.
    pub fn is_permanent(&self) -> bool {
        self.code >= 500
    }

    /// 421.
    pub fn is_closing(&self) -> bool {
        self.code == Self::CLOSING
    }

    /// The text as the reason of a failure: `error` if the server gave none.
    pub fn reason(&self) -> &str {
        if self.text.is_empty() { "error" } else { &self.text }
    }

    /// The same reply with at most `limit` bytes of text.
    #[must_use]
    pub(super) fn shortened(mut self, limit: usize) -> Self {
        let cut = (0..=limit).rev().find(|&at| self.text.is_char_boundary(at)).unwrap_or(0);
        self.text.truncate(cut);
        self
    }
}

impl fmt::Display for Reply {
    /// Code and text on one line, control characters escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if !self.text.is_empty() {
            write!(f, " {}", Escaped(&self.text))?;
        }
        Ok(())
    }
}

/// What the parser made of the bytes so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// All bytes are taken and the reply is not complete.
    NeedMore,
    /// A line is complete, the reply is not. [`ReplyParser::line`] has it.
    Line,
    /// A reply is complete. [`ReplyParser::line`] has its last line, [`ReplyParser::texts`] all of them.
    Reply(Reply),
}

/// Why the server cannot be understood any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParseError {
    /// A line that is not a reply line, or has another code than the line before it.
    Invalid,
    /// A line or a reply over its limit.
    Overflow,
}

/// Incremental parser. Holds at most one reply, within [`MAX_REPLY_LINE`] and [`MAX_REPLY`].
///
/// Only CRLF ends a line: a server that ends lines otherwise is not waited for beyond the reply timeout, and what it hides behind
/// a bare LF is never taken for a reply.
#[derive(Debug, Default)]
pub struct ReplyParser {
    line: Vec<u8>,
    line_is_complete: bool,
    code: Option<u16>,
    texts: Vec<String>,
    reply_is_complete: bool,
    size: usize,
}

impl ReplyParser {
    /// Takes bytes from the front of `input` up to the end of a line.
    ///
    /// # Errors
    /// When the server breaks the protocol or a limit. The parser must not be used after that.
    pub fn feed(&mut self, input: &mut &[u8]) -> Result<Step, ParseError> {
        self.start();
        let limit = MAX_REPLY_LINE.min(MAX_REPLY.saturating_sub(self.size));
        while !input.is_empty() {
            let room = limit.saturating_sub(self.line.len());
            if room == 0 {
                return Err(ParseError::Overflow);
            }
            let upto = input.iter().position(|&b| b == b'\n').map_or(input.len(), |at| at + 1).min(room);
            let Some((taken, rest)) = input.split_at_checked(upto) else { break };
            self.line.extend_from_slice(taken);
            *input = rest;
            if self.line.ends_with(b"\r\n") {
                self.size += self.line.len();
                self.line.truncate(self.line.len() - 2);
                self.line_is_complete = true;
                return self.end_of_line();
            }
        }
        Ok(Step::NeedMore)
    }

    /// The last complete line without its CRLF, for the log.
    pub fn line(&self) -> &[u8] {
        &self.line
    }

    /// The texts of all lines of the last complete reply, empty ones included.
    pub fn texts(&self) -> &[String] {
        &self.texts
    }

    /// True if nothing of an unfinished reply is held.
    pub fn is_between_replies(&self) -> bool {
        self.reply_is_complete || (self.line.is_empty() && self.code.is_none())
    }

    /// Clears what the last call left for the accessors.
    fn start(&mut self) {
        if self.line_is_complete {
            self.line.clear();
            self.line_is_complete = false;
        }
        if self.reply_is_complete {
            self.texts.clear();
            self.code = None;
            self.size = 0;
            self.reply_is_complete = false;
        }
    }

    fn end_of_line(&mut self) -> Result<Step, ParseError> {
        let (code, last, text) = split_line(&self.line).ok_or(ParseError::Invalid)?;
        if self.code.is_some_and(|first| first != code) {
            return Err(ParseError::Invalid);
        }
        self.code = Some(code);
        let text = decode(text);
        self.texts.push(text);
        if !last {
            return Ok(Step::Line);
        }
        self.reply_is_complete = true;
        let lines: Vec<&str> = self.texts.iter().map(String::as_str).filter(|t| !t.is_empty()).collect();
        Ok(Step::Reply(Reply { code, text: lines.join("\n") }))
    }
}

/// Code, whether it is the last line, and the text of a reply line.
fn split_line(line: &[u8]) -> Option<(u16, bool, &[u8])> {
    let (digits, rest) = line.split_at_checked(3)?;
    if !digits.iter().all(u8::is_ascii_digit) || !matches!(digits.first(), Some(b'1'..=b'5')) {
        return None;
    }
    let code = digits.iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
    match rest.split_first() {
        None => Some((code, true, rest)),
        Some((b' ', text)) => Some((code, true, text)),
        Some((b'-', text)) => Some((code, false, text)),
        Some(_) => None,
    }
}

fn decode(text: &[u8]) -> String {
    let text = match str::from_utf8(text) {
        Ok(text) => text.to_owned(),
        Err(_) => text.iter().copied().map(char::from).collect(),
    };
    let text = text.replace(|c: char| c.is_control(), " ");
    text.trim_start_matches(' ').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(input: &[u8]) -> Result<Vec<Reply>, ParseError> {
        let mut parser = ReplyParser::default();
        let mut rest = input;
        let mut replies = Vec::new();
        loop {
            match parser.feed(&mut rest)? {
                Step::NeedMore => return Ok(replies),
                Step::Line => {}
                Step::Reply(reply) => replies.push(reply),
            }
        }
    }

    fn one(input: &[u8]) -> (u16, String) {
        let reply = parse(input).unwrap().pop().unwrap();
        (reply.code, reply.text)
    }

    #[test]
    fn lines_of_a_reply_are_joined_without_the_empty_ones() {
        assert_eq!(
            one(b"550-one\r\n550-\r\n550-  two\tx\r\n550 three\r\n"),
            (550, "one\ntwo x\nthree".to_owned())
        );
        assert_eq!(one(b"250\r\n"), (250, String::new()));
        assert_eq!(one(b"250 \r\n"), (250, String::new()));
        assert_eq!(one(b"250 a\rb\nc\0\r\n"), (250, "a b c ".to_owned()));
        assert_eq!(one(b"250 gr\xfc\xdf\r\n"), (250, "gr\u{fc}\u{df}".to_owned()));
        assert_eq!(one("250 gr\u{fc}\r\n".as_bytes()), (250, "gr\u{fc}".to_owned()));
    }

    #[test]
    fn anything_else_is_invalid() {
        for line in [
            &b"\r\n"[..],
            b"25\r\n",
            b"25x ok\r\n",
            b"650 ok\r\n",
            b"050 ok\r\n",
            b"250ok\r\n",
            b"250_ok\r\n",
            b"+OK\r\n",
        ] {
            assert_eq!(parse(line), Err(ParseError::Invalid), "{line:?}");
        }
        assert_eq!(parse(b"250-a\r\n251 b\r\n"), Err(ParseError::Invalid));
    }

    #[test]
    fn a_bare_line_feed_ends_nothing() {
        assert_eq!(parse(b"250 ok\n"), Ok(vec![]));
        assert_eq!(one(b"250 ok\n250 more\r\n"), (250, "ok 250 more".to_owned()));
    }

    #[test]
    fn limits_hold_for_the_line_and_for_the_reply() {
        let line = |length: usize| [b"250 ".as_slice(), &vec![b'x'; length - 6], b"\r\n"].concat();
        assert!(parse(&line(MAX_REPLY_LINE)).is_ok());
        assert_eq!(parse(&line(MAX_REPLY_LINE + 1)), Err(ParseError::Overflow));
        assert_eq!(parse(&vec![b'2'; MAX_REPLY_LINE + 1]), Err(ParseError::Overflow));
        let lines = |count: usize| b"250-12345\r\n".repeat(count);
        assert_eq!(parse(&lines(MAX_REPLY / 11)), Ok(vec![]));
        assert_eq!(parse(&lines(MAX_REPLY / 11 + 1)), Err(ParseError::Overflow));
    }

    #[test]
    fn shortening_respects_characters() {
        let reply = Reply { code: 550, text: "a\u{fc}\u{fc}".to_owned() };
        assert_eq!(reply.clone().shortened(2).text, "a");
        assert_eq!(reply.clone().shortened(3).text, "a\u{fc}");
        assert_eq!(reply.shortened(99).text, "a\u{fc}\u{fc}");
    }
}
