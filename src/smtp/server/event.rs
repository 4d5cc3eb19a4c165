//! Facts of a session for the log. The texts are those that log matchers know.

use std::fmt;

use crate::smtp::data::LONG_LINE;

/// A fact worth a log line; `Display` is its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// `MAIL FROM:<>` was accepted.
    EmptyReturnPath,
    /// First line over 1000 bytes of this connection, in commands or content.
    VeryLongLine {
        /// Length in bytes without CRLF; of a command line over the limit, as far as it was read.
        length: usize,
    },
    /// An address without angle brackets was refused.
    MissingBrackets,
    /// The peer began a TLS handshake on a port without implicit TLS.
    TlsHello,
    /// A message over the size limit was refused.
    ContentTooBig,
    /// A message was refused for its bare line ends.
    BareLineEndings,
    /// The verifier refused an address.
    RecipientRejected {
        /// As given to the verifier.
        address: String,
        /// Text of the reply.
        response: String,
        /// The verifier's reason; may be empty.
        reason: String,
    },
    /// A message went over the limit of recipients. Once per message.
    TooManyRecipients {
        /// The limit.
        limit: u32,
    },
    /// The recipients of a message took more room than they may. Once per message.
    RecipientsTooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// AUTH was tried although it is not offered.
    AuthNotAdvertised,
    /// AUTH after a login.
    TooManyAuth,
    /// AUTH in clear where that is possible only under TLS.
    AuthInClear,
    /// AUTH with a mechanism that is not offered.
    UnsupportedMechanism {
        /// Its name, printable.
        name: String,
    },
    /// AUTH with an initial response that is not base64.
    BadAuthParameter,
    /// A response that is not base64.
    BadAuthResponse,
    /// An initial response where the server speaks first.
    UnexpectedInitialResponse,
    /// The peer's address stands for a login.
    Trusting {
        /// The address.
        address: String,
        /// Where that is said.
        reason: String,
    },
    /// The peer has not logged in.
    NotTrusted {
        /// Its address.
        address: String,
    },
    /// Bytes in clear came behind STARTTLS.
    PlaintextAfterStartTls,
    /// The peer went away after end of data; its message was completed all the same.
    ClientGone,
    /// Protocol line received; printable, secrets taken out.
    Rx(String),
    /// Content was received; stands for all of it.
    RxContent,
    /// A response in an exchange of AUTH was received.
    RxAuth,
    /// Reply line sent; printable.
    Tx(String),
}

/// How much a fact matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Someone may want to look. A peer can cause all of these at will: limit their rate.
    Warning,
    /// Ordinary.
    Info,
    /// Protocol trace, only made if [`super::ServerConfig::trace`] is set.
    Trace,
}

impl Event {
    /// How much it matters.
    pub fn severity(&self) -> Severity {
        match self {
            Self::Rx(_) | Self::RxContent | Self::RxAuth | Self::Tx(_) => Severity::Trace,
            Self::Trusting { .. } | Self::NotTrusted { .. } => Severity::Trace,
            Self::ClientGone => Severity::Info,
            _ => Severity::Warning,
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EmptyReturnPath => f.write_str("empty MAIL-FROM return path"),
            Self::VeryLongLine { length } => write!(f, "very long line detected: {length} > {LONG_LINE}"),
            Self::MissingBrackets => f.write_str(
                "invalid smtp command syntax from remote client: use --server-smtp-config=nostrictparsing to allow",
            ),
            Self::TlsHello => f.write_str(
                "received unexpected tls handshake packet from remote client: try enabling implicit tls (smtps)",
            ),
            Self::ContentTooBig => f.write_str("message content too big"),
            Self::BareLineEndings => f.write_str("message refused: bare line endings in content"),
            Self::RecipientRejected { address, response, reason } => {
                write!(f, "rejecting recipient \"{address}\": {response}")?;
                if reason.is_empty() { Ok(()) } else { write!(f, ": {reason}") }
            }
            Self::TooManyRecipients { limit } => write!(f, "too many recipients: limit is {limit}"),
            Self::RecipientsTooLong { limit } => write!(f, "too many recipients: limit is {limit} bytes"),
            Self::AuthNotAdvertised => f.write_str("client protocol error: AUTH requested but not advertised"),
            Self::TooManyAuth => f.write_str("too many AUTH requests"),
            Self::AuthInClear => f.write_str("rejecting authentication attempt without encryption"),
            Self::UnsupportedMechanism { name } => {
                write!(f, "request for unsupported server AUTH mechanism: {name}")
            }
            Self::BadAuthParameter => f.write_str("invalid base64 encoding of AUTH parameter"),
            Self::BadAuthResponse => f.write_str("invalid base64 encoding of authentication response"),
            Self::UnexpectedInitialResponse => {
                f.write_str("unexpected initial-response with a server-first AUTH mechanism")
            }
            Self::Trusting { address, reason } => write!(f, "trusting [{address}]: {reason}"),
            Self::NotTrusted { address } => {
                write!(f, "server authentication enabled but not a trusted address: {address}")
            }
            Self::PlaintextAfterStartTls => f.write_str("plaintext after starttls"),
            Self::ClientGone => f.write_str("client gone before reply"),
            Self::Rx(line) => write!(f, "rx<<: \"{line}\""),
            Self::RxContent => f.write_str("rx<<: [message content not logged]"),
            Self::RxAuth => f.write_str("rx<<: [authentication response not logged]"),
            Self::Tx(line) => write!(f, "tx>>: \"{line}\""),
        }
    }
}

/// Why a session ended; `Display` is the reason in `smtp connection closed: REASON: ADDR`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// QUIT.
    Quit,
    /// Too many protocol errors.
    TooManyErrors,
    /// Too many refused logins.
    TooManyAuthFailures,
    /// The peer closed.
    PeerDisconnected {
        /// The system's text when the connection broke.
        error: Option<String>,
    },
    /// Nothing received for so many seconds.
    Idle {
        /// The limit in force.
        seconds: u64,
    },
    /// A command line that does not end.
    Overflow,
    /// BDAT without a size: what follows may be content or commands.
    BadChunk,
    /// Content arrived more slowly than the least rate.
    TooSlow,
    /// Content went far over the size limit.
    TooBig,
    /// A TLS handshake on a port without implicit TLS.
    TlsHello,
    /// Bytes in clear behind STARTTLS.
    PlaintextAfterStartTls,
    /// The verifier asked for it.
    VerifierAbort,
    /// The server is disabled.
    Disabled,
    /// Others needed its place.
    TooManyConnections,
    /// The server stops.
    Shutdown,
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Quit => f.write_str("smtp protocol done"),
            Self::TooManyErrors => {
                f.write_str("smtp protocol done: too many protocol errors from the client")
            }
            Self::TooManyAuthFailures => f.write_str("smtp protocol done: too many authentication failures"),
            Self::PeerDisconnected { error: None } => f.write_str("peer disconnected"),
            Self::PeerDisconnected { error: Some(error) } => write!(f, "peer disconnected: {error}"),
            Self::Idle { seconds } => write!(f, "idle timeout: no activity after {seconds}s"),
            Self::Overflow => f.write_str("server protocol overflow"),
            Self::BadChunk => f.write_str("smtp protocol done: invalid chunk size from the client"),
            Self::TooSlow => f.write_str("message content too slow"),
            Self::TooBig => f.write_str("message content too big"),
            Self::TlsHello => f.write_str("unexpected tls handshake"),
            Self::PlaintextAfterStartTls => f.write_str("plaintext after starttls"),
            Self::VerifierAbort => f.write_str("smtp protocol done: address verifier abort"),
            Self::Disabled => f.write_str("service not available"),
            Self::TooManyConnections => f.write_str("too many connections"),
            Self::Shutdown => f.write_str("service shutting down"),
        }
    }
}
