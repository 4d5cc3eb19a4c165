//! What a session is told at its start.

use std::time::Duration;

use crate::sasl::Mechanism;
use crate::{PRODUCT, VERSION};

/// Settings shared by all sessions of a server.
#[derive(Clone, Debug)]
pub struct PopConfig {
    /// Name and version in CAPA; none for an anonymous server.
    pub product: Option<String>,
    /// Longest silence of the peer; none: no limit once it has logged in.
    pub idle_timeout: Option<Duration>,
    /// Whether STLS is offered, and needed.
    pub tls: StartTls,
    /// How a silent peer is treated, and what CAPA shows.
    pub habits: Habits,
    /// Produce an [`super::Event`] for each protocol line.
    pub trace: bool,
}

/// How a silent peer is treated, and what CAPA shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Habits {
    /// Silence ends with `-ERR`, before login sooner; CAPA has everything.
    #[default]
    New,
    /// As with E-MailRelay 2.6: silence ends without a word, always after the same time; CAPA ends with SASL.
    Old,
}

/// STLS (RFC 2595).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StartTls {
    /// Not offered.
    #[default]
    No,
    /// Offered.
    Offered,
    /// Nobody logs in without.
    Required,
}

impl Default for PopConfig {
    fn default() -> Self {
        Self {
            product: Some(format!("{PRODUCT} V{VERSION}")),
            idle_timeout: Some(Duration::from_secs(1800)),
            tls: StartTls::default(),
            habits: Habits::default(),
            trace: false,
        }
    }
}

/// What is different for each session.
#[derive(Clone, Debug, Default)]
pub struct Start {
    /// How clients may log in.
    pub offers: Offers,
    /// The challenge for APOP, in its angle brackets; shown if APOP is offered.
    pub challenge: String,
    /// What the connection is: not in clear if it began with a TLS handshake.
    pub channel: Channel,
}

/// What a connection is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Channel {
    /// Everybody on the way can read along.
    #[default]
    Clear,
    /// Encrypted.
    Secure,
    /// Encrypted, and a login can be bound to it (RFC 9266).
    Bound,
}

/// How clients may log in, as the list of accounts has it now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offers {
    /// In clear.
    pub clear: Offer,
    /// In an encrypted session.
    pub secure: Offer,
    /// In an encrypted session that a login can be bound to.
    pub bound: Offer,
}

/// How clients may log in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// Behind AUTH, in this order.
    pub mechanisms: Vec<Mechanism>,
    /// By APOP.
    pub apop: bool,
}

impl Offer {
    /// From a list that may have APOP in it.
    #[must_use]
    pub fn new(mut mechanisms: Vec<Mechanism>) -> Self {
        let apop = mechanisms.contains(&Mechanism::Apop);
        mechanisms.retain(|mechanism| *mechanism != Mechanism::Apop);
        Self { mechanisms, apop }
    }

    /// By USER and PASS: the password goes over the wire as with PLAIN.
    #[must_use]
    pub fn password(&self) -> bool {
        self.mechanisms.contains(&Mechanism::Plain)
    }
}
