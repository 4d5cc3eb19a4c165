//! Facts for the log. `Display` is the text of the line, the same as E-MailRelay has always written it.

use std::fmt;

use super::How;
use super::chunks::bdat;

/// Something worth a line in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A line from the server. Only with `trace`.
    Received(String),
    /// A command to the server. Only with `trace`.
    Sent(String),
    /// A response in an exchange of AUTH to the server. Only with `trace`.
    SentAuth,
    /// We have logged in.
    LoggedIn {
        /// With what.
        how: How,
        /// The session is encrypted.
        secure: bool,
    },
    /// A mechanism was refused, and another is tried.
    AuthRefused {
        /// With what.
        how: How,
        /// The text of the refusal.
        text: String,
        /// The mechanism that follows.
        next: String,
    },
    /// A password or token goes over the wire for all to see.
    SecretInClear,
    /// Content to the server, as the number of lines that ended in this write. Only with `trace`.
    SentContent {
        /// Number of lines.
        lines: u64,
    },
    /// A BDAT chunk to the server. Only with `trace`.
    SentChunk {
        /// Bytes in the chunk.
        size: u64,
        /// It is the last.
        last: bool,
    },
    /// No greeting came in time; EHLO is sent without it.
    GreetingTimeout {
        /// The limit in seconds.
        seconds: u64,
    },
    /// A reply line is longer than any server should send. Once per session.
    VeryLongLine {
        /// Length of the line in bytes.
        length: usize,
        /// What is considered normal, in bytes.
        limit: usize,
    },
    /// The reply does not belong here and ends the session.
    UnexpectedResponse {
        /// Code and text, on one line.
        reply: String,
    },
    /// The server has sent something in clear behind its reply to STARTTLS.
    PlaintextAfterStartTls,
    /// The message was refused by ourselves.
    Refused {
        /// The reason.
        reason: String,
    },
    /// The message went out, but not to all recipients.
    RecipientsRejected,
    /// The message is sent although the server lacks an extension. Once per session for each extension.
    Missing(MissingExtension),
}

/// An extension that a message needs and the server lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissingExtension {
    /// 8BITMIME (RFC 6152).
    EightBitMime,
    /// BINARYMIME with CHUNKING (RFC 3030).
    BinaryMime,
    /// SMTPUTF8 (RFC 6531).
    SmtpUtf8,
}

/// How much an event matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Somebody should look.
    Warning,
    /// Only with verbose logging.
    Verbose,
}

impl Event {
    /// The level of the line.
    pub fn level(&self) -> Level {
        match self {
            Self::SentAuth | Self::LoggedIn { .. } | Self::AuthRefused { .. } => Level::Verbose,
            Self::Received(_) | Self::Sent(_) | Self::SentContent { .. } | Self::SentChunk { .. } => {
                Level::Verbose
            }
            _ => Level::Warning,
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Received(line) => write!(f, "rx<<: \"{}\"", Escaped(line)),
            Self::Sent(line) => write!(f, "tx>>: \"{}\"", Escaped(line)),
            Self::SentAuth => f.write_str("tx>>: [response not logged]"),
            Self::LoggedIn { how, secure } => {
                let tls = if *secure { "over tls " } else { "" };
                write!(f, "successful authentication with remote server {tls}{how}")
            }
            Self::AuthRefused { how, text, next } => {
                write!(f, "smtp error: authentication failed {how}: [{}]: trying [{next}]", Escaped(text))
            }
            Self::SecretInClear => f.write_str("sending password without tls"),
            Self::SentContent { lines } => write!(f, "tx>>: [{lines} line(s) of content]"),
            Self::SentChunk { size, last } => {
                let unit = if *size == 1 { "byte" } else { "bytes" };
                write!(f, "tx>>: \"{}\" [{size} {unit}]", bdat(*size, *last))
            }
            Self::GreetingTimeout { seconds } => {
                write!(f, "timeout: no greeting from remote server after {seconds}s: continuing")
            }
            Self::VeryLongLine { length, limit } => {
                write!(f, "very long line detected: {length} > {limit}")
            }
            Self::UnexpectedResponse { reply } => {
                write!(f, "client protocol: unexpected response [{reply}]")
            }
            Self::PlaintextAfterStartTls => f.write_str("plaintext after starttls"),
            Self::Refused { reason } => write!(f, "smtp client protocol: failed: {reason}"),
            Self::RecipientsRejected => f.write_str("smtp client protocol: one or more recipients rejected"),
            Self::Missing(extension) => write!(f, "sending {extension} extension"),
        }
    }
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mechanism, kind, user, line } = self;
        write!(f, "using mechanism [{mechanism}] and {kind} secret for [{}]", Escaped(user))?;
        line.map_or(Ok(()), |line| write!(f, " from line {line}"))
    }
}

impl fmt::Display for MissingExtension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (message, keyword) = match self {
            Self::EightBitMime => ("an eight-bit message", "8BITMIME"),
            Self::BinaryMime => ("a binarymime message", "BINARYMIME/CHUNKING"),
            Self::SmtpUtf8 => ("a message with utf8 mailbox names", "SMTPUTF8"),
        };
        write!(f, "{message} to a server that has not advertised the {keyword}")
    }
}

/// Peer text for the log: one line, control characters visible.
pub(super) struct Escaped<'a>(pub(super) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        for c in self.0.chars() {
            match c {
                '\\' => f.write_str("\\\\")?,
                '\0' => f.write_str("\\0")?,
                '\t' => f.write_str("\\t")?,
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                c if c.is_control() => write!(f, "\\x{:02x}", u32::from(c))?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_those_that_tools_match() {
        let table = [
            (Event::Received("220 a\\b\x07".to_owned()), "rx<<: \"220 a\\\\b\\x07\""),
            (Event::Sent("DATA".to_owned()), "tx>>: \"DATA\""),
            (Event::SentChunk { size: 1234, last: true }, "tx>>: \"BDAT 1234 LAST\" [1234 bytes]"),
            (Event::SentChunk { size: 1, last: false }, "tx>>: \"BDAT 1\" [1 byte]"),
            (Event::SentContent { lines: 3 }, "tx>>: [3 line(s) of content]"),
            (
                Event::GreetingTimeout { seconds: 20 },
                "timeout: no greeting from remote server after 20s: continuing",
            ),
            (Event::VeryLongLine { length: 1504, limit: 1000 }, "very long line detected: 1504 > 1000"),
            (
                Event::UnexpectedResponse { reply: "554 go away".to_owned() },
                "client protocol: unexpected response [554 go away]",
            ),
            (
                Event::Missing(MissingExtension::EightBitMime),
                "sending an eight-bit message to a server that has not advertised the 8BITMIME extension",
            ),
            (
                Event::Missing(MissingExtension::BinaryMime),
                "sending a binarymime message to a server that has not advertised the BINARYMIME/CHUNKING extension",
            ),
            (
                Event::Missing(MissingExtension::SmtpUtf8),
                "sending a message with utf8 mailbox names to a server that has not advertised the SMTPUTF8 extension",
            ),
        ];
        for (event, text) in table {
            assert_eq!(event.to_string(), text);
        }
    }
}
