//! Addresses in MAIL and RCPT (RFC 5321 §4.1.2), as liberal as mail programs need them to be.
//!
//! Inside the angle brackets hardly anything is checked: a relay that refuses odd local parts loses mail. What is
//! refused is what could break the lines of envelope, log and onward SMTP: control characters, bad UTF-8.

use super::command::{is_blank, trim_start};
use super::{idn, strict};

/// Longest address accepted, in bytes, a source route not counted. RFC 5321 §4.5.3.1.3 asks for 256.
pub const MAX_PATH: usize = 1000;

/// Why an address or its command was refused; the text goes to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// `MAIL` is not followed by `FROM:`.
    #[error("invalid mail-from command")]
    MailCommand,
    /// `RCPT` is not followed by `TO:`.
    #[error("invalid rcpt-to command")]
    RcptCommand,
    /// Nothing there, or no closing bracket at all.
    #[error("invalid angle brackets in mailbox name")]
    Unclosed,
    /// Something other than a space follows the closing bracket, or a quote is never closed.
    #[error("invalid angle brackets")]
    Brackets,
    /// No closing bracket behind the quoted part.
    #[error("invalid quoting")]
    Quoting,
    /// No angle brackets where they are required.
    #[error("missing angle brackets in mailbox name")]
    NoBrackets,
    /// `@` at the front without `:` or without anything behind it.
    #[error("invalid source route in mailbox name")]
    SourceRoute,
    /// Control character, bad UTF-8, a domain without A-labels, `@` at either end.
    #[error("invalid character in mailbox name")]
    Character,
    /// RCPT with an empty address.
    #[error("invalid empty mailbox")]
    Empty,
    /// A parameter of MAIL has a value it must not have.
    #[error("invalid mail-from parameter")]
    Parameter,
    /// A parameter that is none of ours; only by the letter of the standard is that an error.
    #[error("parameter not recognized")]
    UnknownParameter,
    /// A parameter whose value is none; only by the letter of the standard is that an error.
    #[error("invalid parameter")]
    BadParameter,
    /// By the letter of the standard: a blank between the colon and the bracket (RFC 5321 §3.3).
    #[error("blank before mailbox name")]
    Blank,
    /// By the letter of the standard: neither a dot-string nor a quoted string, or no domain behind it.
    #[error("invalid local part in mailbox name")]
    LocalPart,
    /// By the letter of the standard: neither a domain nor an address literal.
    #[error("invalid domain in mailbox name")]
    Domain,
    /// By the letter of the standard: over [`strict::MAX_LOCAL`].
    #[error("local part too long")]
    LocalTooLong,
    /// By the letter of the standard: over [`strict::MAX_DOMAIN`].
    #[error("domain too long")]
    DomainTooLong,
    /// Longer than [`MAX_PATH`], or by the letter of the standard than [`strict::MAX_STRICT_PATH`].
    #[error("path too long")]
    TooLong,
    /// Sender's local part is not ASCII and SMTPUTF8 was not given (RFC 6531 §3.4). The spelling is historical;
    /// tools match it.
    #[error("invalid character in mailbox name: not using smptutf8")]
    SenderNeedsUtf8,
    /// Recipient's local part is not ASCII and SMTPUTF8 was not given.
    #[error("invalid character in mailbox name: not using smtputf8")]
    RecipientNeedsUtf8,
}

/// How addresses are read.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Angle brackets are required.
    pub brackets: bool,
    /// Non-ASCII domains are converted to A-labels.
    pub alabels: bool,
    /// By the letter of RFC 5321, for which the brackets are required in any case.
    pub strict: bool,
}

/// An address: possibly empty (the null reverse path, RFC 5321 §4.5.5), never with a control character.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mailbox {
    sent: String,
    converted: Option<String>,
    utf8_local: bool,
}

impl Mailbox {
    /// The address as the client sent it, without brackets and source route: for replies.
    pub fn as_sent(&self) -> &str {
        &self.sent
    }

    /// The address with its domain in A-labels: for verifier, envelope and forwarding.
    pub fn address(&self) -> &str {
        self.converted.as_deref().unwrap_or(&self.sent)
    }

    /// True for the null reverse path.
    pub fn is_empty(&self) -> bool {
        self.sent.is_empty()
    }

    /// True if the part before the last `@` is not ASCII, so that onward delivery needs SMTPUTF8.
    pub fn has_utf8_local(&self) -> bool {
        self.utf8_local
    }

    fn parse(text: &[u8], alabels: bool) -> Result<Self, PathError> {
        if text.len() > MAX_PATH {
            return Err(PathError::TooLong);
        }
        let sent = std::str::from_utf8(text).map_err(|_| PathError::Character)?;
        if sent.bytes().any(|b| b.is_ascii_control()) || sent.starts_with('@') || sent.ends_with('@') {
            return Err(PathError::Character);
        }
        let (local, domain) = sent.rsplit_once('@').unwrap_or((sent, ""));
        let mut converted = None;
        if alabels && !domain.is_ascii() {
            let ascii = idn::to_ascii(domain).map_err(|_| PathError::Character)?;
            converted = Some(format!("{local}@{ascii}"));
        }
        Ok(Self { sent: sent.to_owned(), converted, utf8_local: !local.is_ascii() })
    }
}

/// Reads `FROM:<address>[ parameters]`; returns the address and the text of the parameters.
///
/// # Errors
/// Any [`PathError`] but those of RCPT and of parameters.
pub fn reverse_path(argument: &[u8], rules: Rules) -> Result<(Mailbox, &[u8]), PathError> {
    let text = strip_keyword(argument, b"FROM:").ok_or(PathError::MailCommand)?;
    let (mailbox, parameters) = path(text, rules)?;
    if rules.strict {
        strict::sender(mailbox.as_sent(), mailbox.address())?;
    }
    Ok((mailbox, parameters))
}

/// Reads `TO:<address>[ anything]`. Parameters of RCPT are ignored, unless rules are strict: we offer none.
///
/// # Errors
/// Any [`PathError`] but those of MAIL and of its parameters.
pub fn forward_path(argument: &[u8], rules: Rules) -> Result<Mailbox, PathError> {
    let text = strip_keyword(argument, b"TO:").ok_or(PathError::RcptCommand)?;
    let (mailbox, parameters) = path(text, rules)?;
    if mailbox.is_empty() {
        return Err(PathError::Empty);
    }
    if rules.strict {
        strict::recipient(mailbox.as_sent(), mailbox.address())?;
        if parameters.iter().any(|b| !is_blank(*b)) {
            return Err(PathError::UnknownParameter);
        }
    }
    Ok(mailbox)
}

fn strip_keyword<'a>(argument: &'a [u8], keyword: &[u8]) -> Option<&'a [u8]> {
    let (word, rest) = argument.split_at_checked(keyword.len())?;
    word.eq_ignore_ascii_case(keyword).then_some(rest)
}

fn path(text: &[u8], rules: Rules) -> Result<(Mailbox, &[u8]), PathError> {
    if text.iter().any(|b| matches!(b, b'\0' | b'\r' | b'\n')) {
        return Err(PathError::Character);
    }
    if rules.strict && text.first().is_some_and(|b| is_blank(*b)) {
        return Err(PathError::Blank);
    }
    let text = trim_start(text);
    let (address, rest) = match text.split_first() {
        None => return Err(PathError::Unclosed),
        Some((b'<', inner)) => bracketed(inner, rules.strict)?,
        Some(_) if rules.brackets || rules.strict => return Err(PathError::NoBrackets),
        Some(_) => unbracketed(text)?,
    };
    Ok((Mailbox::parse(address, rules.alabels)?, rest))
}

/// Bytes of a path that are not in its address or source route.
const BRACKETS: usize = 2;

/// The address and what follows the closing bracket.
fn bracketed(inner: &[u8], strict: bool) -> Result<(&[u8], &[u8]), PathError> {
    let first = find(inner, b'>').ok_or(PathError::Unclosed)?;
    let start = route(inner.get(..first).unwrap_or_default())?;
    if strict && let Some(colon) = start.checked_sub(1) {
        let route = inner.get(..colon).and_then(|route| std::str::from_utf8(route).ok());
        strict::source_route(route.ok_or(PathError::SourceRoute)?)?;
    }
    let inner = inner.get(start..).unwrap_or_default();
    let end = match inner.split_first() {
        Some((b'"', quoted)) => {
            let close = closing_quote(quoted).ok_or(PathError::Brackets)?.saturating_add(1);
            let behind = find(inner.get(close..).unwrap_or_default(), b'>').ok_or(PathError::Quoting)?;
            close.saturating_add(behind)
        }
        _ => first.saturating_sub(start),
    };
    let (address, rest) = inner.split_at_checked(end).unwrap_or_default();
    if strict && start.saturating_add(end).saturating_add(BRACKETS) > strict::MAX_STRICT_PATH {
        return Err(PathError::TooLong);
    }
    match rest {
        [b'>'] => Ok((address, &[])),
        [b'>', b' ', parameters @ ..] => Ok((address, parameters)),
        _ => Err(PathError::Brackets),
    }
}

fn unbracketed(text: &[u8]) -> Result<(&[u8], &[u8]), PathError> {
    let end = text.iter().position(|b| is_blank(*b)).unwrap_or(text.len());
    let (address, rest) = text.split_at_checked(end).unwrap_or((text, &[]));
    Ok((address.get(route(address)?..).unwrap_or_default(), rest))
}

/// Length of the source route at the front (RFC 5321 appendix C: accepted and ignored).
fn route(text: &[u8]) -> Result<usize, PathError> {
    if text.first() != Some(&b'@') {
        return Ok(0);
    }
    match find(text, b':') {
        Some(colon) if colon.saturating_add(1) < text.len() => Ok(colon.saturating_add(1)),
        _ => Err(PathError::SourceRoute),
    }
}

/// Position of the quote that closes a quoted string whose opening quote has been taken off.
fn closing_quote(quoted: &[u8]) -> Option<usize> {
    let mut escaped = false;
    quoted.iter().position(|b| {
        let closes = *b == b'"' && !escaped;
        escaped = *b == b'\\' && !escaped;
        closes
    })
}

fn find(text: &[u8], byte: u8) -> Option<usize> {
    text.iter().position(|b| *b == byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRICT: Rules = Rules { brackets: true, alabels: true, strict: false };
    const LOOSE: Rules = Rules { brackets: false, alabels: false, strict: false };
    const LETTER: Rules = Rules { brackets: false, alabels: true, strict: true };

    fn from(text: &str) -> Result<String, PathError> {
        reverse_path(text.as_bytes(), STRICT).map(|(mailbox, _)| mailbox.address().to_owned())
    }

    #[test]
    fn the_address_ends_at_the_right_bracket() {
        for (text, address) in [
            ("FROM:<a@b>", "a@b"),
            ("from: \t<a@b> SIZE=1", "a@b"),
            ("FROM:<>", ""),
            ("FROM:<@x,@y:a@b>", "a@b"),
            ("FROM:<\"a>b\"@c>", "\"a>b\"@c"),
            ("FROM:<\"a\\\"b\"@c>", "\"a\\\"b\"@c"),
            ("FROM:<@r:\"a:>b\"@c>", "\"a:>b\"@c"),
            ("FROM:< a b@c@d >", " a b@c@d "),
            ("FROM:<a@BÜCHER.de>", "a@xn--bcher-kva.de"),
        ] {
            assert_eq!(from(text).as_deref(), Ok(address), "{text}");
        }
    }

    #[test]
    fn parameters_are_what_follows_the_space() {
        let (_, parameters) = reverse_path(b"FROM:<a>  SIZE=1 ", STRICT).unwrap();
        assert_eq!(parameters, b" SIZE=1 ");
    }

    #[test]
    fn without_strict_parsing_the_address_ends_at_a_blank() {
        for (text, address) in [("FROM:a@b> SIZE=1", "a@b>"), ("FROM: <a@b>", "a@b"), ("FROM:@x:a", "a")] {
            let (mailbox, _) = reverse_path(text.as_bytes(), LOOSE).unwrap();
            assert_eq!(mailbox.address(), address, "{text}");
        }
        assert_eq!(reverse_path(b"FROM: ", LOOSE), Err(PathError::Unclosed));
        assert_eq!(reverse_path("FROM:a@ü".as_bytes(), LOOSE).unwrap().0.address(), "a@ü");
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_parse_or_are_refused(tail: Vec<u8>) {
            let text = [b"FROM:<", &tail[..], b">"].concat();
            let _ = reverse_path(&text, STRICT);
            let _ = reverse_path(&text, LETTER);
            let _ = forward_path(&text, LETTER);
            let _ = reverse_path(&text, LOOSE);
            let _ = forward_path(&tail, LOOSE);
        }
    }
}
