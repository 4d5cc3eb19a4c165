//! What a session is told at its start.

use std::sync::Arc;
use std::time::Duration;

use crate::sasl::Mechanism;
use crate::{PRODUCT, VERSION};

/// Settings shared by all sessions of a server.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Our name in greeting, EHLO reply and `Received:` line.
    pub domain: String,
    /// Name and version in the greeting, `E-MailRelay V3.0.0`.
    pub product: String,
    /// What the server does not tell.
    pub anonymous: Anonymous,
    /// Largest message in bytes as received from the client, dots unstuffed; the `Received:` line is not counted.
    pub max_size: Option<u64>,
    /// Extensions offered.
    pub extensions: Extensions,
    /// Angle brackets are required around addresses.
    pub strict_parsing: bool,
    /// Addresses and parameters by the letter of RFC 5321.
    pub strict_address: bool,
    /// Non-ASCII domains are converted to A-labels.
    pub alabels: bool,
    /// What to do about line ends other than CR LF in content.
    pub bare_lf: BareLf,
    /// Longest silence of the peer; none: no limit once it has said EHLO.
    pub idle_timeout: Option<Duration>,
    /// How a peer is treated that errs or is silent.
    pub habits: Habits,
    /// Most recipients of one message.
    pub max_recipients: u32,
    /// How long the first refused login waits; the next ones wait longer, and the last one ends the session. None: none
    /// of this.
    pub auth_delay: Option<Duration>,
    /// Offer STARTTLS (RFC 3207).
    pub starttls: bool,
    /// Without encryption there is no mail.
    pub tls_required: bool,
    /// Produce an [`super::Event`] for each protocol line.
    pub trace: bool,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            domain: "localhost".to_owned(),
            product: format!("{PRODUCT} V{VERSION}"),
            anonymous: Anonymous::default(),
            max_size: None,
            extensions: Extensions::default(),
            strict_parsing: true,
            strict_address: false,
            alabels: true,
            bare_lf: BareLf::default(),
            idle_timeout: Some(Duration::from_secs(1800)),
            habits: Habits::default(),
            max_recipients: 10_000,
            auth_delay: Some(Duration::from_secs(1)),
            starttls: false,
            tls_required: false,
            trace: false,
        }
    }
}

/// How a peer is treated that errs or is silent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Habits {
    /// All refusals count, and after some of them replies wait; silence ends with 421, before EHLO sooner.
    #[default]
    New,
    /// As with E-MailRelay 2.6: protocol errors count, nothing waits; silence ends without a word, always after the same time.
    Old,
}

/// What an anonymous server keeps to itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Anonymous {
    /// Its name, in greeting and EHLO reply.
    pub server: bool,
    /// Whether addresses exist.
    pub vrfy: bool,
    /// That it had the message: no `Received:` line.
    pub content: bool,
}

/// Extensions that can be switched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extensions {
    /// Offer PIPELINING (RFC 2920). Batches are accepted in any case.
    pub pipelining: bool,
    /// Offer CHUNKING and BINARYMIME (RFC 3030), and take BDAT.
    pub chunking: bool,
    /// Offer SMTPUTF8 (RFC 6531).
    pub smtputf8: bool,
    /// Refuse a non-ASCII local part unless MAIL had SMTPUTF8.
    pub smtputf8_strict: bool,
    /// Offer ENHANCEDSTATUSCODES (RFC 2034), and have them in replies.
    pub enhanced_status_codes: bool,
}

impl Default for Extensions {
    fn default() -> Self {
        Self {
            pipelining: true,
            chunking: false,
            smtputf8: false,
            smtputf8_strict: false,
            enhanced_status_codes: false,
        }
    }
}

/// Policy for bare CR and LF in content. They are stored as they came unless the message is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BareLf {
    /// Take everything.
    Accept,
    /// Refuse a message with a lone dot between line ends of which one is bare: it may hide a second message.
    #[default]
    Smuggling,
    /// Refuse any bare LF as well.
    Reject,
}

/// The client of one session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// Address without port; `/` for a unix-domain socket.
    pub address: String,
    /// The cipher, where the connection is encrypted.
    pub cipher: Option<Box<str>>,
    /// How clients can log in; none: nobody needs to.
    pub offer: Option<Arc<Offer>>,
    /// Why this one need not.
    pub trust: Option<Box<Trust>>,
    /// Whether it is served at all is asked at MAIL, of a client that is not known by then.
    pub screened: bool,
}

/// The mechanisms of AUTH.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// For sessions in clear, in the order of the EHLO reply.
    pub clear: Vec<Mechanism>,
    /// For encrypted sessions.
    pub secure: Vec<Mechanism>,
    /// For those that a login can be bound to.
    pub bound: Vec<Mechanism>,
}

impl Offer {
    /// Those of a session with this cipher suite, in OpenSSL's spelling, or of one in clear.
    pub fn mechanisms(&self, cipher: Option<&str>) -> &[Mechanism] {
        /// How the suites of TLS 1.3 begin (RFC 8446 §B.4).
        const TLS_1_3: &str = "TLS_";
        match cipher {
            None => &self.clear,
            Some(cipher) if cipher.starts_with(TLS_1_3) => &self.bound,
            Some(_) => &self.secure,
        }
    }

    /// Whether there is any.
    pub fn is_some(&self) -> bool {
        !(self.clear.is_empty() && self.secure.is_empty())
    }
}

/// An address from which nobody needs to log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    /// Stands for the login.
    pub keyword: String,
    /// Where that is said, for the log.
    pub reason: String,
}
