//! Lexical tokens of structured header fields (RFC 5322 section 3.2): words, quoted strings, domain literals and
//! specials. Comments and white space are dropped.

use std::borrow::Cow;

/// One token with where it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lexeme<'a> {
    pub(super) token: Token<'a>,
    /// White space or a comment came before it.
    pub(super) spaced: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A run of atom characters, 8-bit ones included.
    Atom(&'a [u8]),
    /// The content of a quoted string, backslashes resolved.
    Quoted(Cow<'a, [u8]>),
    /// A domain literal with its brackets.
    Literal(&'a [u8]),
    /// One of `< > : ; @ , .`
    Special(u8),
}

/// Where a text stops being a sequence of tokens, as a byte offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position(pub(super) usize);

pub(super) struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0 }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn taken_since(&self, start: usize) -> &'a [u8] {
        self.text.get(start..self.at).unwrap_or_default()
    }

    /// Skips white space and comments; says whether there were any.
    fn skip_blanks(&mut self) -> Result<bool, Position> {
        let start = self.at;
        while let Some(byte) = self.peek() {
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' => self.at += 1,
                b'(' => self.skip_comment()?,
                _ => break,
            }
        }
        Ok(self.at > start)
    }

    /// Comments nest to any depth; what is in them does not matter.
    fn skip_comment(&mut self) -> Result<(), Position> {
        let start = self.at;
        let mut depth = 0_usize;
        while let Some(byte) = self.peek() {
            self.at += 1;
            match byte {
                b'\\' => self.at += 1,
                b'(' => depth += 1,
                b')' if depth == 1 => return Ok(()),
                b')' => depth -= 1,
                _ => {}
            }
        }
        Err(Position(start))
    }

    fn quoted(&mut self) -> Result<Token<'a>, Position> {
        let start = self.at;
        self.at += 1;
        let mut unescaped: Option<Vec<u8>> = None;
        while let Some(byte) = self.peek() {
            match byte {
                b'"' => {
                    let content =
                        unescaped.map_or_else(|| Cow::Borrowed(self.taken_since(start + 1)), Cow::Owned);
                    self.at += 1;
                    return Ok(Token::Quoted(content));
                }
                b'\\' => {
                    unescaped.get_or_insert_with(|| {
                        self.text.get(start + 1..self.at).unwrap_or_default().to_vec()
                    });
                    self.at += 1;
                    if let (Some(content), Some(escaped)) = (&mut unescaped, self.text.get(self.at)) {
                        content.push(*escaped);
                    }
                }
                _ => {
                    if let Some(content) = &mut unescaped {
                        content.push(byte);
                    }
                }
            }
            self.at += 1;
        }
        Err(Position(start))
    }

    fn literal(&mut self) -> Result<Token<'a>, Position> {
        let start = self.at;
        self.at += 1;
        while let Some(byte) = self.peek() {
            self.at += 1;
            match byte {
                b']' => return Ok(Token::Literal(self.taken_since(start))),
                b'[' | b'\\' => break,
                _ if !byte.is_ascii_graphic() => break,
                _ => {}
            }
        }
        Err(Position(start))
    }

    fn atom(&mut self) -> Result<Token<'a>, Position> {
        let start = self.at;
        if let Some(length) = encoded_word(self.text.get(start..).unwrap_or_default()) {
            self.at += length;
            return Ok(Token::Atom(self.taken_since(start)));
        }
        while self.peek().is_some_and(is_atom_byte) {
            self.at += 1;
        }
        if self.at == start { Err(Position(start)) } else { Ok(Token::Atom(self.taken_since(start))) }
    }
}

impl<'a> Iterator for Lexer<'a> {
    type Item = Result<Lexeme<'a>, Position>;

    fn next(&mut self) -> Option<Self::Item> {
        let spaced = match self.skip_blanks() {
            Ok(spaced) => spaced,
            Err(position) => return Some(Err(position)),
        };
        let token = match self.peek()? {
            special @ (b'<' | b'>' | b':' | b';' | b'@' | b',' | b'.') => {
                self.at += 1;
                Ok(Token::Special(special))
            }
            b'"' => self.quoted(),
            b'[' => self.literal(),
            _ => self.atom(),
        };
        Some(token.map(|token| Lexeme { token, spaced }))
    }
}

fn is_atom_byte(byte: u8) -> bool {
    !byte.is_ascii_control() && !b" ()<>[]:;@\\,.\"".contains(&byte)
}

/// The length of an RFC 2047 encoded word at the start of the text. Many writers leave specials in them, which must
/// not turn into addresses: `=?utf-8?Q?Smith,_John?= <john@example.com>`.
fn encoded_word(text: &[u8]) -> Option<usize> {
    // RFC 2047 section 2 allows 75; some writers make longer ones.
    const MAX_LENGTH: usize = 500;
    let body = text.get(..text.len().min(MAX_LENGTH))?.strip_prefix(b"=?")?;
    let mut parts = body.splitn(3, |&byte| byte == b'?');
    let (charset, encoding, rest) = (parts.next()?, parts.next()?, parts.next()?);
    let end = rest.windows(2).position(|pair| pair == b"?=")?;
    let word = rest.get(..end)?;
    let sound = !charset.is_empty() && encoding.len() == 1 && !word.contains(&b'?');
    let graphic = [charset, encoding, word].into_iter().flatten().all(u8::is_ascii_graphic);
    (sound && graphic).then_some(2 + charset.len() + 1 + encoding.len() + 1 + end + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lex(text: &str) -> Result<Vec<String>, Position> {
        Lexer::new(text.as_bytes())
            .map(|lexeme| {
                lexeme.map(|Lexeme { token, spaced }| {
                    let space = if spaced { "_" } else { "" };
                    let (kind, bytes) = match token {
                        Token::Atom(bytes) => ("a:", bytes.to_vec()),
                        Token::Quoted(bytes) => ("q:", bytes.to_vec()),
                        Token::Literal(bytes) => ("l:", bytes.to_vec()),
                        Token::Special(byte) => ("", vec![byte]),
                    };
                    format!("{space}{kind}{}", String::from_utf8_lossy(&bytes))
                })
            })
            .collect()
    }

    #[test]
    fn tokens_of_a_mailbox() {
        assert_eq!(
            lex("\"J \\\"x\\\" B\" (c(d\\))) <a.b@[1.2]>").unwrap(),
            ["q:J \"x\" B", "_<", "a:a", ".", "a:b", "@", "l:[1.2]", ">"]
        );
    }

    #[test]
    fn encoded_words_are_one_atom() {
        assert_eq!(lex("=?utf-8?Q?a,_b=40?= <x>").unwrap(), ["a:=?utf-8?Q?a,_b=40?=", "_<", "a:x", ">"]);
        assert_eq!(lex("=?utf-8,?x").unwrap(), ["a:=?utf-8", ",", "a:?x"]);
    }

    #[test]
    fn errors_tell_the_position() {
        for (text, position) in [
            ("a \"b", 2),
            ("a (b", 2),
            ("a [b", 2),
            ("a \x01", 2),
            ("ab)", 2),
            ("a\\b", 1),
            ("\"a\\", 0),
            ("(\\", 0),
        ] {
            assert_eq!(lex(text), Err(Position(position)), "{text:?}");
        }
    }
}
