//! Address lists (RFC 5322 section 3.4, with UTF-8 as in RFC 6532), as they are found rather than as they should be.
//!
//! Beyond the strict grammar: empty list members, a missing `;` at the end of the last group, bare local parts
//! (`root (Cron Daemon)`), obsolete routes (`<@hop:joe@example.com>`, dropped), dots and undecodable bytes in display
//! names (the bytes are dropped).

use super::address::Address;
use super::header::Headers;
use super::lexer::{Lexeme, Lexer, Position, Token};

/// Why a text is no address list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// A character that starts no token, or a token without its end, at this byte offset.
    #[error("parsing error at position {0}")]
    Token(usize),
    /// Tokens in an order that the grammar does not know.
    #[error("invalid address-list")]
    Grammar,
}

/// A header field that holds no address list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("rfc-5322/6532 parsing error: {error}: line {line}")]
pub struct HeaderError {
    /// What is wrong.
    pub error: ListError,
    /// The number of the field's first line in the header block, counted from 1.
    pub line: usize,
}

impl From<Position> for ListError {
    fn from(position: Position) -> Self {
        Self::Token(position.0)
    }
}

/// The addresses of all header fields with this name, in order, repeats kept.
///
/// # Errors
/// When one of the fields is no address list.
pub fn addresses(headers: &Headers, name: &str) -> Result<Vec<Address>, HeaderError> {
    let mut all = Vec::new();
    for field in headers.named(name) {
        all.extend(parse(&field.value()).map_err(|error| HeaderError { error, line: field.number() })?);
    }
    Ok(all)
}

/// The addresses of an unfolded field value. Members of groups are taken, group names are not.
///
/// # Errors
/// When the value is no address list.
pub fn parse(value: &[u8]) -> Result<Vec<Address>, ListError> {
    let mut addresses = Vec::new();
    let mut group = false;
    let mut lexer = Lexer::new(value);
    loop {
        let (words, end) = member(&mut lexer)?;
        match end {
            Some(b':') if !group && display_name(&words)?.is_some() => group = true,
            Some(b'<') => {
                addresses.push(angle_address(&words, &mut lexer)?);
                match lexer.next().transpose()?.map(|lexeme| lexeme.token) {
                    Some(Token::Special(b',')) => {}
                    Some(Token::Special(b';')) if group => group = false,
                    None => return Ok(addresses),
                    Some(_) => return Err(ListError::Grammar),
                }
            }
            Some(b',') | None => addresses.extend(lone_address(&words)?),
            Some(b';') if group => {
                addresses.extend(lone_address(&words)?);
                group = false;
            }
            Some(_) => return Err(ListError::Grammar),
        }
        if end.is_none() {
            return Ok(addresses);
        }
    }
}

/// The tokens up to the next one that ends a list member or changes its kind, and that one.
fn member<'a>(lexer: &mut Lexer<'a>) -> Result<(Vec<Lexeme<'a>>, Option<u8>), ListError> {
    let mut words = Vec::new();
    for lexeme in lexer {
        let lexeme = lexeme?;
        match lexeme.token {
            Token::Special(byte) if !matches!(byte, b'@' | b'.') => return Ok((words, Some(byte))),
            _ => words.push(lexeme),
        }
    }
    Ok((words, None))
}

fn lone_address(words: &[Lexeme<'_>]) -> Result<Option<Address>, ListError> {
    if words.is_empty() { Ok(None) } else { addr_spec(words).map(Some) }
}

/// What follows `<`, up to and with `>`.
fn angle_address(name: &[Lexeme<'_>], lexer: &mut Lexer<'_>) -> Result<Address, ListError> {
    let name = display_name(name)?;
    let (mut words, mut end) = member(lexer)?;
    if words.first().is_some_and(|first| first.token == Token::Special(b'@')) {
        // RFC 5322 section 4.4 `obs-route`: RFC 5321 appendix C tells to ignore it.
        while end == Some(b',') {
            (_, end) = member(lexer)?;
        }
        if end != Some(b':') {
            return Err(ListError::Grammar);
        }
        (words, end) = member(lexer)?;
    }
    if end != Some(b'>') {
        return Err(ListError::Grammar);
    }
    Ok(Address { name, ..addr_spec(&words)? })
}

/// `local-part ["@" domain]`.
fn addr_spec(words: &[Lexeme<'_>]) -> Result<Address, ListError> {
    let at = words.iter().position(|word| word.token == Token::Special(b'@'));
    let (local, domain) = match at {
        None => (words, None),
        Some(at) => (words.get(..at).unwrap_or_default(), words.get(at + 1..)),
    };
    let local = dotted(local, |token| match token {
        Token::Atom(bytes) => Some(bytes),
        Token::Quoted(bytes) => Some(bytes),
        _ => None,
    })?;
    let domain = match domain {
        None => None,
        Some([Lexeme { token: Token::Literal(literal), .. }]) => Some(utf8(literal)?.to_owned()),
        Some(words) => Some(dotted(words, |token| match token {
            Token::Atom(bytes) => Some(bytes),
            _ => None,
        })?),
    };
    Ok(Address { name: None, local, domain })
}

/// Words with dots between them, as one text.
fn dotted<'t>(
    words: &'t [Lexeme<'_>],
    part: impl Fn(&'t Token<'_>) -> Option<&'t [u8]>,
) -> Result<String, ListError> {
    let mut text = String::new();
    let mut words = words.iter().map(|word| &word.token);
    loop {
        let word = words.next().and_then(&part).ok_or(ListError::Grammar)?;
        text.push_str(utf8(word)?);
        match words.next() {
            None => return Ok(text),
            Some(Token::Special(b'.')) => text.push('.'),
            Some(_) => return Err(ListError::Grammar),
        }
    }
}

/// A phrase as plain text; nothing when it is empty.
fn display_name(words: &[Lexeme<'_>]) -> Result<Option<String>, ListError> {
    if words.is_empty() {
        return Ok(None);
    }
    let mut name = String::new();
    for word in words {
        let text: &[u8] = match &word.token {
            Token::Atom(bytes) => bytes,
            Token::Quoted(bytes) => bytes,
            Token::Special(b'.') => b".",
            _ => return Err(ListError::Grammar),
        };
        if word.spaced && !name.is_empty() {
            name.push(' ');
        }
        name.extend(text.utf8_chunks().map(|chunk| chunk.valid()));
    }
    Ok(Some(name))
}

fn utf8(bytes: &[u8]) -> Result<&str, ListError> {
    std::str::from_utf8(bytes).map_err(|_| ListError::Grammar)
}

#[cfg(test)]
#[path = "list_tests.rs"]
mod tests;
