//! The client's side of an exchange.
//!
//! [`usable`] says what an account is good for, best first. An [`Exchange`] gives the initial response and answers each
//! challenge, already out of its base64. Success at the other end counts only if [`Exchange::is_satisfied`].

mod exchange;
mod scram;

use super::digest::Hash;
use super::hmac::HmacKey;
use super::mechanism::Mechanism;
use super::secret::Secret;

pub use exchange::{Exchange, Refused};

/// An account at another server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The name there.
    pub user: String,
    /// What proves it.
    pub proof: Proof,
}

/// What proves that we are a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The password.
    Password(Secret),
    /// Its masked form.
    Key(HmacKey),
    /// The complete string of XOAUTH2.
    Bearer(Secret),
    /// A bare token.
    Token(Secret),
}

impl Proof {
    /// The kind of secret in logs.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Password(_) => "plaintext",
            Self::Key(key) => key.hash().name(),
            Self::Bearer(_) | Self::Token(_) => "oauth",
        }
    }
}

/// What can be done with a proof, best first.
pub fn usable(proof: &Proof) -> Vec<Mechanism> {
    use Mechanism::{Cram, Login, OAuthBearer, Plain, ScramSha256, ScramSha256Plus, XOAuth2};
    match proof {
        Proof::Password(_) => vec![
            ScramSha256Plus,
            ScramSha256,
            Cram(Hash::Sha512),
            Cram(Hash::Sha256),
            Cram(Hash::Sha1),
            Cram(Hash::Md5),
            Plain,
            Login,
        ],
        Proof::Key(key) => vec![Cram(key.hash())],
        Proof::Bearer(_) => vec![XOAuth2],
        Proof::Token(_) => vec![XOAuth2, OAuthBearer],
    }
}

#[cfg(test)]
mod tests;
