//! Command verbs (RFC 5321 §4.1.1) and how a line divides into verb and argument.

/// A verb the server knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// RFC 5321 §4.1.1.1.
    Ehlo,
    /// RFC 5321 §4.1.1.1.
    Helo,
    /// RFC 5321 §4.1.1.2.
    Mail,
    /// RFC 5321 §4.1.1.3.
    Rcpt,
    /// RFC 5321 §4.1.1.4.
    Data,
    /// RFC 3030 §2.
    Bdat,
    /// RFC 5321 §4.1.1.5.
    Rset,
    /// RFC 5321 §4.1.1.6.
    Vrfy,
    /// RFC 5321 §4.1.1.7.
    Expn,
    /// RFC 5321 §4.1.1.8.
    Help,
    /// RFC 5321 §4.1.1.9.
    Noop,
    /// RFC 5321 §4.1.1.10.
    Quit,
    /// RFC 4954 §4.
    Auth,
    /// RFC 3207 §4.
    StartTls,
}

/// Verbs as they stand on the wire, in any case.
const VERBS: [(&[u8], Verb); 14] = [
    (b"EHLO", Verb::Ehlo),
    (b"HELO", Verb::Helo),
    (b"MAIL", Verb::Mail),
    (b"RCPT", Verb::Rcpt),
    (b"DATA", Verb::Data),
    (b"BDAT", Verb::Bdat),
    (b"RSET", Verb::Rset),
    (b"VRFY", Verb::Vrfy),
    (b"EXPN", Verb::Expn),
    (b"HELP", Verb::Help),
    (b"NOOP", Verb::Noop),
    (b"QUIT", Verb::Quit),
    (b"AUTH", Verb::Auth),
    (b"STARTTLS", Verb::StartTls),
];

/// One command line, divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command<'a> {
    /// The first word; none if it is empty or unknown.
    pub verb: Option<Verb>,
    /// What follows the first run of blanks behind the verb, up to the end of the line.
    pub argument: &'a [u8],
}

impl<'a> Command<'a> {
    /// Divides a line without its CRLF. Leading blanks are ignored; blanks and tabs separate.
    pub fn parse(line: &'a [u8]) -> Self {
        let line = trim_start(line);
        let end = line.iter().position(|b| is_blank(*b)).unwrap_or(line.len());
        let (word, rest) = line.split_at_checked(end).unwrap_or((line, &[]));
        let verb = VERBS.iter().find(|(name, _)| name.eq_ignore_ascii_case(word)).map(|(_, verb)| *verb);
        Self { verb, argument: trim_start(rest) }
    }
}

/// True for the two separators of a command line.
pub const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// The text without leading blanks and tabs.
pub fn trim_start(text: &[u8]) -> &[u8] {
    let blanks = text.iter().take_while(|b| is_blank(**b)).count();
    text.get(blanks..).unwrap_or_default()
}

/// The text without blanks and tabs at either end.
pub fn trim(text: &[u8]) -> &[u8] {
    let text = trim_start(text);
    let blanks = text.iter().rev().take_while(|b| is_blank(**b)).count();
    text.get(..text.len().saturating_sub(blanks)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbs_match_in_any_case_and_blanks_or_tabs_separate() {
        let command = Command::parse(b" \tmAiL \t FROM:<a> ");
        assert_eq!(command, Command { verb: Some(Verb::Mail), argument: b"FROM:<a> " });
        assert_eq!(Command::parse(b"EHLO\tx").argument, b"x");
        assert_eq!(trim(b"\t x y \t"), b"x y");
    }

    #[test]
    fn other_words_are_unknown() {
        for line in [&b""[..], b"  ", b"MAILFROM", b"NOOP\0", b"NOO", b"xyz a"] {
            assert_eq!(Command::parse(line).verb, None);
        }
    }
}
