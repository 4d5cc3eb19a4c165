//! TLS: handshakes, certificates, and what becomes of renewed ones.

use std::fmt;

use super::{Fact, Fields};
use crate::log::escape::Peer;
use crate::log::kind::{self, Kind};

/// What is logged about encryption.
#[derive(Clone, Debug, PartialEq)]
pub enum TlsEvent {
    /// A connection is secure.
    Established {
        /// The other side's transport address.
        address: String,
        /// `TLSv1.3`.
        protocol: &'static str,
        /// As OpenSSL spells it.
        cipher: String,
    },
    /// A handshake failed, or a secure connection broke where it matters.
    Failed {
        /// Step and reason.
        text: String,
    },
    /// A secure connection was closed without notice, between messages.
    ClosedWithoutNotice {
        /// Step and reason.
        text: String,
    },
    /// Bytes in clear came behind STARTTLS or STLS.
    PlaintextAfterStartTls {
        /// The other side's transport address.
        address: String,
    },
    /// A server's certificate was looked at for `--client-tls-verify-name`.
    NameChecked {
        /// Subject of the certificate.
        subject: String,
        /// The name that was asked for.
        name: String,
        /// It is there.
        good: bool,
    },
    /// A server's certificate is not good, and is used all the same.
    NotVerified {
        /// The next hop.
        host: String,
        /// What is wrong.
        reason: String,
    },
    /// A certificate is out of date or soon will be.
    Expiring {
        /// Its file.
        file: String,
        /// Whole days that are left; `None` when it has expired.
        days: Option<u64>,
    },
    /// Renewed files are in use.
    Reloaded {
        /// The file of the certificate.
        file: String,
    },
    /// Renewed files cannot be used; the old ones stay.
    ReloadFailed {
        /// Why.
        reason: String,
    },
}

impl Fact for TlsEvent {
    fn kind(&self) -> &'static Kind {
        match self {
            TlsEvent::Established { .. } => kind::TLS_ESTABLISHED,
            TlsEvent::Failed { .. } => kind::TLS_FAILED,
            TlsEvent::ClosedWithoutNotice { .. } => kind::TLS_NO_CLOSE_NOTIFY,
            TlsEvent::PlaintextAfterStartTls { .. } => kind::TLS_PLAINTEXT,
            TlsEvent::NameChecked { .. } => kind::TLS_NAME_CHECKED,
            TlsEvent::NotVerified { .. } => kind::TLS_NOT_VERIFIED,
            TlsEvent::Expiring { .. } => kind::TLS_EXPIRING,
            TlsEvent::Reloaded { .. } => kind::TLS_RELOADED,
            TlsEvent::ReloadFailed { .. } => kind::TLS_RELOAD_FAILED,
        }
    }

    fn fields(&self) -> Fields {
        match self {
            TlsEvent::Established { protocol, cipher, .. } => {
                Fields { tls: Some(format!("{protocol} {cipher}")), ..Fields::default() }
            }
            TlsEvent::Failed { text } | TlsEvent::ClosedWithoutNotice { text } => Fields::reason(text),
            TlsEvent::NotVerified { host, reason } => {
                Fields { next_hop: Some(host.clone()), ..Fields::reason(reason) }
            }
            TlsEvent::ReloadFailed { reason } => Fields::reason(reason),
            _ => Fields::default(),
        }
    }
}

impl fmt::Display for TlsEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TlsEvent::Established { address, protocol, cipher } => {
                write!(f, "tls protocol established with {address} protocol {protocol} cipher {cipher}")
            }
            TlsEvent::Failed { text } | TlsEvent::ClosedWithoutNotice { text } => {
                write!(f, "tls: tls error: {}", Peer(text))
            }
            TlsEvent::PlaintextAfterStartTls { address } => {
                write!(f, "plaintext after starttls from {address}")
            }
            TlsEvent::NameChecked { subject, name, good } => {
                let (subject, ok) = (Peer(subject), u8::from(*good));
                write!(f, "tls: certificate-subject=[{subject}] required-peer-name=[{name}] ok={ok}")
            }
            TlsEvent::NotVerified { host, reason } => {
                write!(f, "tls: certificate of {host} not verified: {}", Peer(reason))
            }
            TlsEvent::Expiring { file, days: None } => {
                write!(f, "tls: certificate has expired: file=[{file}]")
            }
            TlsEvent::Expiring { file, days: Some(days) } => {
                let plural = if *days == 1 { "" } else { "s" };
                write!(f, "tls: certificate expires in {days} day{plural}: file=[{file}]")
            }
            TlsEvent::Reloaded { file } => write!(f, "tls: using renewed certificate: file=[{file}]"),
            TlsEvent::ReloadFailed { reason } => {
                write!(f, "tls: certificate not renewed, the old one stays in use: {reason}")
            }
        }
    }
}
