//! The envelope of a message: who sent it, to whom, and how it came in, as a small text file beside the content.
//!
//! Written is always format `#2821.8` of E-MailRelay 2.6, byte for byte; read are `.3` (1.0) to `.8`, with fields in any
//! order, optional ones missing, line ends LF or CRLF. What follows the `End` line is free text that filters, scripts
//! and we ourselves add to; an edit keeps it.

mod format;
mod parse;
#[cfg(test)]
mod tests;
mod trailer;
pub mod xtext;

use crate::smtp::Body;
use crate::spool::id::MessageId;
pub use trailer::{Attempt, FailNote, InDoubt, Interrupted, Notice, Rejected, RetryNote, RetryState};
pub(crate) use trailer::{
    delay_noted, delayed_line, drop_retry_lines, failure_lines, failures, fresh_start, in_doubt_line,
    interrupted_line, make_due, notice, notified_line, replace_retry_lines, split_line,
};

/// Largest envelope that is read; a larger one is corrupt.
pub const MAX_ENVELOPE: usize = 1024 * 1024;
/// Most recipients that are read; an envelope with more is corrupt.
pub const MAX_RECIPIENTS: usize = 100_000;
/// Largest envelope that is stored: leaves room for the lines that failures add.
pub const MAX_NEW_ENVELOPE: usize = MAX_ENVELOPE - 64 * 1024;

/// Start of every line of ours.
pub(crate) const LINE_PREFIX: &str = "X-MailRelay-";

/// The keyword of a declared body in the file.
fn body_keyword(body: Body) -> &'static str {
    match body {
        Body::SevenBit => "7bit",
        Body::EightBit => "8bit",
        Body::BinaryMime => "binarymime",
        Body::Unknown => "unknown",
    }
}

/// The declared body that a keyword in the file names.
fn body_of_keyword(text: &str) -> Body {
    [Body::SevenBit, Body::EightBit, Body::BinaryMime]
        .into_iter()
        .find(|body| body_keyword(*body) == text)
        .unwrap_or_default()
}

/// The fields of an envelope. Text that was not UTF-8 in the file has U+FFFD in its place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Envelope {
    /// Declared body type.
    pub body: Body,
    /// Sender without brackets; empty for the null sender.
    pub sender: String,
    /// Mailboxes of local recipients. Forwarding leaves them alone.
    pub local: Vec<String>,
    /// Addresses to forward to, without brackets. Repeats are kept.
    pub remote: Vec<String>,
    /// [xtext](xtext) of the authenticated id; the keyword of a trusted address; or empty.
    pub authentication: String,
    /// Address of the client without port; `/` for a unix-domain client.
    pub client: String,
    /// PEM text of the client's verified certificate, lines separated by `\n`; or empty.
    pub client_certificate: String,
    /// `AUTH=` of MAIL (RFC 4954) as [xtext](xtext), `<>`, or empty.
    pub mail_auth_in: String,
    /// `AUTH=` to send when forwarding, as [xtext](xtext); empty for the default policy.
    pub mail_auth_out: String,
    /// Text for the routing filter, usually a domain; written as [xtext](xtext).
    pub forward_to: String,
    /// `host:port` to connect to instead of the configured one; or empty.
    pub forward_to_address: String,
    /// Selects the client secret; empty for the unnamed one.
    pub client_account_selector: String,
    /// A mailbox of the envelope is not ASCII, so SMTPUTF8 (RFC 6531) is needed.
    pub utf8_mailboxes: bool,
    /// Lines behind the `End` line, without line ends and without white space at their ends.
    pub trailer: Vec<Vec<u8>>,
}

impl Envelope {
    /// Reads an envelope file.
    ///
    /// # Errors
    /// The file is damaged or too large. The texts are those of E-MailRelay 2.6 where it has them.
    pub fn parse(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        parse::parse(bytes)
    }

    /// The file's bytes in format `#2821.8`.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        format::to_bytes(self)
    }

    /// What the next hop said of one recipient when the message failed last: code and text, escaped. None if it said nothing of
    /// this one in particular.
    #[must_use]
    pub fn refusal_of(&self, recipient: &str) -> Option<(u16, String)> {
        trailer::refusal_of(&self.trailer, recipient)
    }

    /// The message that its recipients were in when they were refused, if the others waited there.
    #[must_use]
    pub fn split_from(&self) -> Option<MessageId> {
        trailer::split_from(&self.trailer)
    }

    /// Checks that sender and remote recipients can be put between angle brackets on the wire: a file may come from a
    /// filter or a person.
    ///
    /// # Errors
    /// There is a CR, LF or NUL; or `<`, `>` or a space outside quotes; or a quote that does not end; or a recipient is
    /// empty; or the text was not UTF-8.
    pub fn check_addresses(&self) -> Result<(), InvalidAddress> {
        let recipients = self.remote.iter().all(|address| !address.is_empty() && is_sendable(address));
        if recipients && is_sendable(&self.sender) { Ok(()) } else { Err(InvalidAddress) }
    }
}

/// See [`Envelope::check_addresses`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid address in envelope")]
pub struct InvalidAddress;

fn is_sendable(address: &str) -> bool {
    let mut quoted = false;
    let mut escaped = false;
    for character in address.chars() {
        match character {
            '\r' | '\n' | '\0' | char::REPLACEMENT_CHARACTER => return false,
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '<' | '>' | ' ' if !quoted => return false,
            _ => {}
        }
    }
    !quoted
}

/// Why an envelope could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// A required field is missing, or a line nearly is a field: wrong case, or no space behind the colon. Neither is
    /// passed over, since a routing field that is not seen sends mail to the wrong host.
    #[error("cannot read envelope file: expected \"{LINE_PREFIX}{0}:\"")]
    Expected(&'static str),
    /// The same field twice.
    #[error("cannot read envelope file: duplicate \"{LINE_PREFIX}{0}:\"")]
    Duplicate(&'static str),
    /// A format that is not ours.
    #[error("cannot read envelope file: unknown format id: {0}")]
    UnknownFormat(String),
    /// Fewer recipients than announced: the file is cut.
    #[error("cannot read envelope file: bad 'to' line")]
    TooFewRecipients,
    /// The announced number of recipients is not a number.
    #[error("string conversion error: invalid format: expected unsigned integer: {0}")]
    CountFormat(String),
    /// The announced number of recipients is beyond every limit.
    #[error("string conversion error: over/underflow: {0}")]
    CountRange(String),
    /// No `End` line: the file is cut.
    #[error("cannot read envelope file: no end line")]
    NoEnd,
    /// `MailFromAuthIn` is not xtext.
    #[error("cannot read envelope file: invalid mail-from-auth-in encoding")]
    MailAuthIn,
    /// `MailFromAuthOut` is not xtext.
    #[error("cannot read envelope file: invalid mail-from-auth-out encoding")]
    MailAuthOut,
    /// Over [`MAX_ENVELOPE`] bytes.
    #[error("cannot read envelope file: too large")]
    TooLarge,
    /// Over [`MAX_RECIPIENTS`].
    #[error("cannot read envelope file: too many recipients")]
    TooManyRecipients,
}

/// How lines are appended to an existing file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AppendStyle {
    /// Line end of the file's first line.
    line_end: &'static str,
    /// The last line has its line end.
    terminated: bool,
}

impl AppendStyle {
    /// That of the files we write.
    pub(crate) const OURS: Self = Self { line_end: "\r\n", terminated: true };

    pub(crate) fn of(bytes: &[u8]) -> Self {
        let first = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let line_end = if first.ends_with(b"\r") { "\r\n" } else { "\n" };
        Self { line_end, terminated: bytes.ends_with(b"\n") }
    }

    /// That of the file once lines have been appended, completely or not.
    pub(crate) fn after_append(self, complete: bool) -> Self {
        Self { terminated: complete, ..self }
    }

    /// The bytes that append these lines.
    pub(crate) fn append(self, lines: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        if !self.terminated {
            bytes.extend_from_slice(self.line_end.as_bytes());
        }
        for line in lines {
            bytes.extend_from_slice(line);
            bytes.extend_from_slice(self.line_end.as_bytes());
        }
        bytes
    }
}
