//! Why TLS does not work: at the start, in a handshake, later. The texts keep the words that OpenSSL uses, for log matchers.

use std::io;
use std::path::PathBuf;

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, PeerIncompatible};

/// A file, or the set of options, that cannot be used. `Display` begins with `tls error: `.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// The file cannot be read.
    #[error("tls error: cannot open {what} file: {reason}: file=[{}]", file.display())]
    Open {
        /// What was expected in it.
        what: &'static str,
        /// The file.
        file: PathBuf,
        /// The system's words.
        reason: String,
    },
    /// The file does not have what it should have.
    #[error("tls error: {reason}: file=[{}]", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Something that is not about one file.
    #[error("tls error: {0}")]
    Other(String),
}

impl SetupError {
    pub(super) fn file(file: &std::path::Path, reason: impl Into<String>) -> Self {
        Self::File { file: file.to_owned(), reason: reason.into() }
    }
}

/// Why a handshake failed. `Display` is what stands behind `tls: tls error: `, such as `accept: no shared cipher`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{step}: {reason}")]
pub struct HandshakeError {
    /// `accept`, `connect` or `read`.
    pub step: &'static str,
    /// In OpenSSL's words.
    pub reason: String,
    /// The time limit passed.
    pub timed_out: bool,
    /// The peer sent something other than TLS.
    pub clear_text: bool,
}

impl HandshakeError {
    pub(super) fn new(step: &'static str, reason: impl Into<String>) -> Self {
        Self { step, reason: reason.into(), timed_out: false, clear_text: false }
    }

    pub(super) fn timeout(step: &'static str) -> Self {
        Self { timed_out: true, ..Self::new(step, "handshake timed out") }
    }

    pub(super) fn ended(step: &'static str) -> Self {
        Self::new(step, UNEXPECTED_EOF)
    }

    pub(super) fn clear_text(step: &'static str) -> Self {
        Self { clear_text: true, ..Self::new(step, WRONG_VERSION) }
    }

    /// What an error of a handshake means.
    pub(super) fn from_io(step: &'static str, error: &io::Error) -> Self {
        match tls_error(error) {
            Some(Error::InvalidMessage(
                InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
            )) => Self::clear_text(step),
            Some(error) => Self::new(step, reason(error)),
            None if is_end(error) => Self::ended(step),
            None => Self::new(step, crate::os::reason(error)),
        }
    }
}

/// OpenSSL's words for what is not TLS,
const WRONG_VERSION: &str = "wrong version number";
/// for an end that nobody has announced,
const UNEXPECTED_EOF: &str = "unexpected eof while reading";
/// and for a certificate that is not good.
const VERIFY_FAILED: &str = "certificate verify failed";

/// What went wrong on a connection that was secure, if it is TLS that did; none for an ordinary error of the network.
#[must_use]
pub fn read_fault(error: &io::Error) -> Option<HandshakeError> {
    match tls_error(error) {
        Some(error) => Some(HandshakeError::new("read", reason(error))),
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            Some(HandshakeError::new("read", UNEXPECTED_EOF))
        }
        None => None,
    }
}

/// Whether the peer has just gone away.
#[must_use]
pub fn is_end(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
    )
}

fn tls_error(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref::<Error>()
}

fn reason(error: &Error) -> String {
    match error {
        Error::NoCertificatesPresented => "peer did not return a certificate".to_owned(),
        Error::InvalidCertificate(error) => format!("{VERIFY_FAILED}: {}", certificate(error)),
        Error::AlertReceived(alert) => format!("peer alert: {}", alert_name(*alert)),
        Error::PeerIncompatible(error) => incompatible(error),
        Error::PeerSentOversizedRecord | Error::InvalidMessage(_) => "bad record".to_owned(),
        Error::DecryptError => "decryption failed or bad record mac".to_owned(),
        Error::InappropriateMessage { .. } | Error::InappropriateHandshakeMessage { .. } => {
            "unexpected message".to_owned()
        }
        other => other.to_string().to_lowercase(),
    }
}

fn incompatible(error: &PeerIncompatible) -> String {
    match error {
        PeerIncompatible::NoCipherSuitesInCommon
        | PeerIncompatible::NoKxGroupsInCommon
        | PeerIncompatible::NoSignatureSchemesInCommon
        | PeerIncompatible::NoCertificateRequestSignatureSchemesInCommon
        | PeerIncompatible::NoEcPointFormatsInCommon => "no shared cipher".to_owned(),
        PeerIncompatible::Tls12NotOffered
        | PeerIncompatible::Tls12NotOfferedOrEnabled
        | PeerIncompatible::ServerDoesNotSupportTls12Or13
        | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
        | PeerIncompatible::SupportedVersionsExtensionRequired => "unsupported protocol".to_owned(),
        other => format!("{other:?}").to_lowercase(),
    }
}

/// Why a certificate is not good, in few words.
pub(super) fn certificate(error: &CertificateError) -> String {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "expired".to_owned(),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "not valid yet".to_owned()
        }
        CertificateError::UnknownIssuer => "unknown issuer".to_owned(),
        CertificateError::BadSignature => "bad signature".to_owned(),
        CertificateError::BadEncoding => "bad encoding".to_owned(),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            NAME_MISMATCH.to_owned()
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "unsuitable purpose".to_owned()
        }
        CertificateError::UnhandledCriticalExtension => "unknown critical extension".to_owned(),
        CertificateError::Other(other) => unknown(&other.to_string()),
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "unsupported signature algorithm or key size".to_owned()
        }
        other => format!("{other:?}").to_lowercase(),
    }
}

/// The checker's own names of its errors, where rustls passes them through.
fn unknown(text: &str) -> String {
    match text {
        "CaUsedAsEndEntity" => "certificate authority used as a leaf".to_owned(),
        "UnsupportedCertVersion" => "unsupported certificate version".to_owned(),
        other => other.to_owned(),
    }
}

/// The reason of a certificate for somebody else.
pub(super) const NAME_MISMATCH: &str = "name mismatch";

/// As in RFC 8446 section 6.
fn alert_name(alert: AlertDescription) -> String {
    let name = alert.as_str().map_or_else(|| format!("{alert:?}"), str::to_owned);
    let mut words = String::new();
    let mut inside = false;
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && inside {
            words.push('_');
        }
        inside = letter.is_ascii_lowercase();
        words.push(letter.to_ascii_lowercase());
    }
    words
}
