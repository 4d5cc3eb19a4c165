//! One exchange with one mechanism.

use super::scram::Scram;
use super::{Credentials, Proof};
use crate::sasl::encoding::hex;
use crate::sasl::hmac::HmacKey;
use crate::sasl::mechanism::Mechanism;
use crate::sasl::secret::Secret;

/// We do not go on: the server's words make no sense, or it is not who it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

/// An exchange under way.
#[derive(Debug)]
pub struct Exchange(State);

#[derive(Debug)]
enum State {
    /// One response says it all.
    Once(Secret),
    /// As above; an error that the server then explains is acknowledged by these bytes.
    Bearer(Secret, &'static [u8]),
    Explained(&'static [u8]),
    Login {
        user: String,
        password: Secret,
    },
    LoginPassword(Secret),
    Cram {
        user: String,
        key: HmacKey,
    },
    Scram(Box<Scram>),
    Over,
}

impl Exchange {
    /// An exchange; none if these credentials are of no use for the mechanism. `nonce` is an unpredictable printable
    /// text without commas; `exporter` the value that SCRAM-SHA-256-PLUS binds to.
    pub fn new(
        mechanism: Mechanism,
        account: &Credentials,
        nonce: &str,
        exporter: Option<&[u8]>,
    ) -> Option<Self> {
        let user = &account.user;
        Some(Self(match (mechanism, &account.proof) {
            (Mechanism::Plain, Proof::Password(password)) => {
                let parts = [&b"\0"[..], user.as_bytes(), b"\0", password.expose()];
                State::Once(Secret::new(parts.concat()))
            }
            (Mechanism::Login, Proof::Password(password)) => {
                State::Login { user: user.clone(), password: password.clone() }
            }
            (Mechanism::Cram(hash), Proof::Password(password)) => {
                State::Cram { user: user.clone(), key: HmacKey::new(hash, password) }
            }
            (Mechanism::Cram(hash), Proof::Key(key)) if key.hash() == hash => {
                State::Cram { user: user.clone(), key: key.clone() }
            }
            (Mechanism::ScramSha256, Proof::Password(password)) => {
                State::Scram(Box::new(Scram::new(user, password, nonce, None)))
            }
            (Mechanism::ScramSha256Plus, Proof::Password(password)) => {
                State::Scram(Box::new(Scram::new(user, password, nonce, Some(exporter?))))
            }
            (Mechanism::XOAuth2, Proof::Bearer(whole)) => State::Bearer(whole.clone(), b""),
            (Mechanism::XOAuth2, Proof::Token(token)) => State::Bearer(xoauth2(user, token), b""),
            // RFC 7628 §3.2.3.
            (Mechanism::OAuthBearer, Proof::Token(token)) => State::Bearer(oauthbearer(user, token), b"\x01"),
            _ => return None,
        }))
    }

    /// What goes with the command itself; none if the server speaks first. To be called once.
    pub fn initial(&mut self) -> Option<Secret> {
        match std::mem::replace(&mut self.0, State::Over) {
            State::Once(whole) => Some(whole),
            State::Bearer(whole, acknowledgement) => {
                self.0 = State::Explained(acknowledgement);
                Some(whole)
            }
            State::Login { user, password } => {
                self.0 = State::LoginPassword(password);
                Some(Secret::new(user.into_bytes()))
            }
            State::Scram(mut scram) => {
                let first = scram.first();
                self.0 = State::Scram(scram);
                Some(first)
            }
            other => {
                self.0 = other;
                None
            }
        }
    }

    /// Answers a challenge.
    ///
    /// # Errors
    /// The exchange is to be cancelled.
    pub fn respond(&mut self, challenge: &[u8]) -> Result<Secret, Refused> {
        match std::mem::replace(&mut self.0, State::Over) {
            // By position, whatever the prompt says.
            State::LoginPassword(password) => Ok(password),
            State::Cram { user, key } => {
                let answer = format!("{user} {}", hex(&key.code(challenge)));
                Ok(Secret::new(answer.into_bytes()))
            }
            State::Explained(acknowledgement) => Ok(Secret::new(acknowledgement.to_vec())),
            State::Scram(mut scram) => {
                let answer = scram.respond(challenge)?;
                self.0 = State::Scram(scram);
                Ok(answer)
            }
            State::Once(_) | State::Bearer(..) | State::Login { .. } | State::Over => Err(Refused),
        }
    }

    /// Whether the server may say that all is well: with SCRAM it must have shown that it knows the password.
    pub fn is_satisfied(&self) -> bool {
        match &self.0 {
            State::Scram(scram) => scram.is_signed(),
            _ => true,
        }
    }
}

/// `user=U^Aauth=Bearer T^A^A`.
fn xoauth2(user: &str, token: &Secret) -> Secret {
    let parts = [b"user=", user.as_bytes(), b"\x01auth=Bearer ", token.expose(), b"\x01\x01"];
    Secret::new(parts.concat())
}

/// RFC 7628 §3.1.
fn oauthbearer(user: &str, token: &Secret) -> Secret {
    let user = crate::sasl::scram::quote(user);
    let parts = [b"n,a=", user.as_bytes(), b",\x01auth=Bearer ", token.expose(), b"\x01\x01"];
    Secret::new(parts.concat())
}
