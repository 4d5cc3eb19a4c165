//! What a session tells about a message, and how a session can end.

use std::fmt;

use super::events::Escaped;
use super::{How, LocalRefusal, Reply};

/// The end of one message: somebody decided about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageResult {
    /// What was said about each recipient, in the order of [`super::Outgoing::recipients`].
    pub recipients: Vec<Recipient>,
    /// What was decided about the message.
    pub outcome: Outcome,
    /// Code of the reply to the RSET that followed a refusal, if there was one.
    pub reset_code: Option<u16>,
}

/// One recipient and the server's word about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// The address as given.
    pub address: String,
    /// The server's answer to its RCPT.
    pub result: RecipientResult,
}

/// The server's answer to a RCPT. Acceptance alone delivers nothing: only [`Outcome::Sent`] does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecipientResult {
    /// Accepted.
    Accepted,
    /// 4xx or 5xx. The text may be shortened.
    Refused(Reply),
    /// Not asked, or asked within a transaction that had failed before.
    NotTried,
}

/// What was decided about a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// 2xx to the final dot, or to the last chunk: the server has it for all accepted recipients.
    Sent(Reply),
    /// MAIL was refused.
    MailRefused(Reply),
    /// At least one recipient was refused, and the message was to go to all or to none.
    SomeRefused,
    /// Every recipient was refused, and the message was to go to those accepted.
    AllRefused,
    /// DATA was refused.
    DataRefused(Reply),
    /// Anything but 2xx to the final dot or the last chunk, or a refusal while the content was being sent.
    ContentRefused(Reply),
    /// Refused by ourselves before MAIL.
    Local(LocalRefusal),
}

/// The end of a session for a cause that says nothing about a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The cause.
    pub kind: FaultKind,
    /// How far the session was.
    pub stage: Stage,
}

impl Fault {
    /// The content and the final dot were handed out and the answer is not known: the server may have the message.
    pub fn in_doubt(&self) -> bool {
        self.stage == Stage::FinalReply
    }
}

impl fmt::Display for Fault {
    /// The text for the log and for the exit of a run, on one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

/// How far a session was when it failed. From `Mail` on a message was in hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Waiting for the greeting.
    Greeting,
    /// Waiting for the reply to EHLO or HELO.
    Hello,
    /// Waiting for a reply in an exchange of AUTH.
    Auth,
    /// No message in hand: ready for one, or the last one's result is known.
    Idle,
    /// Waiting for the reply to MAIL.
    Mail,
    /// Waiting for replies to RCPT.
    Recipients,
    /// Waiting for the reply to DATA.
    Data,
    /// Sending content, final dot or last chunk not handed out.
    Content,
    /// Final dot, or all of the last chunk, handed out.
    FinalReply,
}

/// Why a session failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// A reply that has no meaning where it came, or 421 anywhere.
    UnexpectedResponse(Reply),
    /// What the server sent is not a reply.
    InvalidResponse,
    /// A reply over the limits.
    Overflow,
    /// No reply within so many seconds.
    ResponseTimeout(u64),
    /// The server did not read content for so many seconds.
    FlowControlTimeout(u64),
    /// The content had not the size that was announced, so that the chunks could not be completed. Our own fault.
    ContentSize(u64),
    /// The login failed.
    Auth(AuthFault),
    /// TLS is required and STARTTLS not offered.
    TlsNotOffered,
    /// TLS is required and EHLO not understood.
    TlsWithoutEsmtp,
    /// STARTTLS was refused for now; there is no going on in clear, which somebody in between may want.
    TlsRefused(Reply),
    /// Bytes in clear behind the reply to STARTTLS.
    PlaintextAfterStartTls,
    /// The connection ended, with the error text of the system if there is one.
    Disconnected(Option<String>),
}

/// Why a login failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthFault {
    /// The server does not offer AUTH.
    NotOffered,
    /// It offers no mechanism that we can or may use.
    NothingInCommon {
        /// The selector of the account.
        selector: String,
    },
    /// It refuses.
    Refused {
        /// What was tried last.
        how: How,
        /// The text of its reply.
        text: String,
    },
    /// It accepts without having shown that it knows the password (RFC 5802 §5).
    Impostor {
        /// What was tried.
        how: How,
    },
}

impl fmt::Display for AuthFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOffered => f.write_str("authentication is not supported by the remote smtp server"),
            Self::NothingInCommon { selector } => {
                f.write_str("cannot do authentication: check for a compatible client secret")?;
                if selector.is_empty() { Ok(()) } else { write!(f, " with selector [{selector}]") }
            }
            Self::Refused { how, text } => write!(f, "authentication failed {how}: [{}]", Escaped(text)),
            Self::Impostor { how } => {
                write!(f, "authentication failed {how}: the server does not know the password")
            }
        }
    }
}

impl FaultKind {
    /// The text as E-MailRelay 2.6 had it: without the reply code, which makes it useless to tell 421 from 554.
    pub fn compat26_text(&self) -> String {
        match self {
            Self::UnexpectedResponse(reply) if reply.code >= 300 && !reply.text.is_empty() => {
                format!("{UNEXPECTED}: {}", reply.text)
            }
            Self::UnexpectedResponse(_) | Self::PlaintextAfterStartTls => UNEXPECTED.to_owned(),
            Self::TlsRefused(reply) => format!("{TLS_REFUSED}: {}", reply.text),
            other => other.to_string(),
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnexpectedResponse(reply) => write!(f, "{UNEXPECTED}: {reply}"),
            Self::InvalidResponse => f.write_str("smtp error: invalid response"),
            Self::Overflow => f.write_str("smtp error: overflow on input"),
            Self::ResponseTimeout(seconds) => write!(f, "smtp error: response timeout after {seconds}s"),
            Self::FlowControlTimeout(seconds) => {
                write!(f, "smtp error: flow-control timeout after {seconds}s")
            }
            Self::ContentSize(announced) => {
                write!(f, "content file has not the size that was announced: {announced}")
            }
            Self::Auth(fault) => write!(f, "smtp error: {fault}"),
            Self::TlsNotOffered => {
                f.write_str("smtp error: tls is mandated but the server cannot do starttls")
            }
            Self::TlsWithoutEsmtp => {
                f.write_str("smtp error: tls is mandated but the server cannot do esmtp")
            }
            Self::TlsRefused(reply) => write!(f, "{TLS_REFUSED}: {reply}"),
            Self::PlaintextAfterStartTls => write!(f, "{UNEXPECTED}: plaintext after starttls"),
            Self::Disconnected(None) => f.write_str("peer disconnected"),
            Self::Disconnected(Some(error)) => write!(f, "peer disconnected: {}", Escaped(error)),
        }
    }
}

const TLS_REFUSED: &str = "tls/ssl error";
const UNEXPECTED: &str = "smtp error: unexpected response";
