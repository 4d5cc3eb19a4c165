//! Facts of a session for the log. The texts are those that log matchers know.

use std::fmt;

/// A fact worth a log line; `Display` is its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The peer began a TLS handshake on a port without implicit TLS.
    TlsHello,
    /// Bytes in clear came behind STLS.
    PlaintextAfterStls,
    /// Protocol line received; printable, secrets taken out.
    Rx(String),
    /// Reply line sent; printable.
    Tx(String),
    /// Lines of a long reply that are not shown.
    TxLines(usize),
    /// Lines of a message that were sent.
    TxContent(usize),
}

/// How much a fact matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Someone may want to look. A peer can cause all of these at will: limit their rate.
    Warning,
    /// Protocol trace, only made if [`super::PopConfig::trace`] is set.
    Trace,
}

impl Event {
    /// How much it matters.
    pub fn severity(&self) -> Severity {
        match self {
            Self::TlsHello | Self::PlaintextAfterStls => Severity::Warning,
            Self::Rx(_) | Self::Tx(_) | Self::TxLines(_) | Self::TxContent(_) => Severity::Trace,
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TlsHello => f.write_str(
                "received unexpected tls handshake packet from remote client: try enabling implicit tls",
            ),
            Self::PlaintextAfterStls => f.write_str("plaintext after stls"),
            Self::Rx(line) => write!(f, "rx<<: \"{line}\""),
            Self::Tx(line) => write!(f, "tx>>: \"{line}\""),
            Self::TxLines(count) => write!(f, "tx>>: [{count} lines]"),
            Self::TxContent(count) => write!(f, "tx>>: [{count} line(s) of content]"),
        }
    }
}

/// Why a session ended; `Display` is the reason in `pop connection closed: REASON: ADDR`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// QUIT.
    Quit,
    /// QUIT, and some messages that were to be deleted stay.
    NotAllDeleted,
    /// Too many refused commands in a row, or too many lines that are too long.
    TooManyErrors,
    /// Too many failed logins.
    TooManyFailures,
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
    /// No login within so many seconds.
    LoginTimeout {
        /// The limit in force.
        seconds: u64,
    },
    /// A command line that does not end.
    Overflow,
    /// A message could not be read to its end.
    ContentFailed,
    /// Bytes in clear came behind STLS.
    PlaintextAfterStls,
    /// The TLS handshake failed.
    HandshakeFailed,
    /// A TLS handshake on a port without implicit TLS.
    TlsHello,
    /// Others needed its place.
    TooManyConnections,
    /// The server stops.
    Shutdown,
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Quit => f.write_str("pop protocol done"),
            Self::NotAllDeleted => f.write_str("pop protocol done: some messages not deleted"),
            Self::TooManyErrors => f.write_str("too many errors"),
            Self::TooManyFailures => f.write_str("too many authentication failures"),
            Self::PeerDisconnected { error: None } => f.write_str("peer disconnected"),
            Self::PeerDisconnected { error: Some(error) } => write!(f, "peer disconnected: {error}"),
            Self::Idle { seconds } => write!(f, "idle timeout: no activity after {seconds}s"),
            Self::LoginTimeout { seconds } => write!(f, "login timeout: no login after {seconds}s"),
            Self::Overflow => f.write_str("pop protocol overflow"),
            Self::ContentFailed => f.write_str("cannot read message file"),
            Self::PlaintextAfterStls => f.write_str("peer disconnected: still busy negotiating"),
            Self::HandshakeFailed => f.write_str("peer disconnected: ssl accept"),
            Self::TlsHello => f.write_str("unexpected tls handshake"),
            Self::TooManyConnections => f.write_str("too many connections"),
            Self::Shutdown => f.write_str("service shutting down"),
        }
    }
}
