//! One exchange, from the chosen mechanism to its outcome.

use zeroize::Zeroizing;

use super::accounts::{Accounts, Found};
use super::scram::Scram;
use crate::sasl::digest::Hash;
use crate::sasl::encoding::hex;
use crate::sasl::hmac::HmacKey;
use crate::sasl::mechanism::Mechanism;
use crate::sasl::prep::prepared;
use crate::sasl::scram::{ITERATIONS, ScramKeys};
use crate::sasl::secret::{Secret, same};

/// What must be new in each exchange.
#[derive(Clone, Debug)]
pub struct Fresh {
    /// Unpredictable bytes.
    pub random: [u8; 18],
    /// Seconds since 1970.
    pub time: u64,
    /// Our own name.
    pub domain: String,
}

impl Fresh {
    /// A challenge as in RFC 2195: `<random.time@domain>`.
    pub fn challenge(&self) -> String {
        let random = self.random.iter().take(8).fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
        format!("<{random}.{}@{}>", self.time, self.domain)
    }
}

/// What is known of the channel below.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Binding {
    /// The exporter's value (RFC 9266), when the session is encrypted and its value is known.
    pub exporter: Option<Vec<u8>>,
    /// SCRAM-SHA-256-PLUS is offered, so a client that says it is not has been lied to.
    pub offered: bool,
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Send this and wait for the response.
    Challenge(Vec<u8>),
    /// All is there: is it the right password?
    Password {
        /// Who says so.
        user: Vec<u8>,
        /// What was said.
        password: Secret,
    },
    /// It is over.
    Done(Outcome),
}

/// How an exchange ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The name in the response, if there was one.
    pub user: Option<Vec<u8>>,
    /// The entry that was used; none: there is no such account.
    pub used: Option<Used>,
    /// Whether the client has shown that it is that user.
    pub accepted: bool,
}

/// An entry of the list of accounts, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    /// `plaintext`, `md5`, `pam`...
    pub kind: &'static str,
    /// The line in the file, if there is a file.
    pub line: Option<u32>,
}

/// An exchange under way.
#[derive(Debug)]
pub struct Exchange(State);

#[derive(Debug)]
enum State {
    Plain {
        asked: bool,
    },
    LoginName {
        asked: bool,
    },
    LoginPassword {
        user: Vec<u8>,
    },
    Cram {
        hash: Hash,
        challenge: String,
        asked: bool,
    },
    Scram(Scram),
    /// Over, or never possible.
    Over,
}

/// Prompts of LOGIN that every client understands.
const USERNAME: &[u8] = b"Username:";
const PASSWORD: &[u8] = b"Password:";

impl Exchange {
    /// An exchange that waits for [`Exchange::begin`].
    pub fn new(mechanism: Mechanism, fresh: &Fresh, binding: Binding) -> Self {
        Self(match mechanism {
            Mechanism::Plain => State::Plain { asked: false },
            Mechanism::Login => State::LoginName { asked: false },
            Mechanism::Cram(hash) => State::Cram { hash, challenge: fresh.challenge(), asked: false },
            Mechanism::ScramSha256 => State::Scram(Scram::new(fresh, binding, false)),
            Mechanism::ScramSha256Plus => State::Scram(Scram::new(fresh, binding, true)),
            Mechanism::XOAuth2 | Mechanism::OAuthBearer | Mechanism::Apop => State::Over,
        })
    }

    /// Starts, with the initial response if the client sent one.
    pub fn begin(&mut self, accounts: &dyn Accounts, initial: Option<&[u8]>) -> Step {
        match (&mut self.0, initial) {
            (State::Cram { challenge, asked, .. }, None) => {
                *asked = true;
                Step::Challenge(challenge.clone().into_bytes())
            }
            // The client speaks second here: RFC 4954 §4 has no room for an initial response.
            (State::Cram { .. }, Some(_)) => self.over(),
            (State::LoginName { asked }, None) => {
                *asked = true;
                Step::Challenge(USERNAME.to_vec())
            }
            (State::Plain { asked }, None) => {
                *asked = true;
                Step::Challenge(Vec::new())
            }
            (State::Scram(_), None) => Step::Challenge(Vec::new()),
            (_, Some(response)) => self.respond(accounts, response),
            (State::LoginPassword { .. } | State::Over, None) => self.over(),
        }
    }

    /// Takes a response.
    pub fn respond(&mut self, accounts: &dyn Accounts, response: &[u8]) -> Step {
        match std::mem::replace(&mut self.0, State::Over) {
            State::Plain { .. } => plain(response),
            State::LoginName { .. } => {
                self.0 = State::LoginPassword { user: response.to_vec() };
                // compat: without a name the next prompt is empty.
                Step::Challenge(if response.is_empty() { Vec::new() } else { PASSWORD.to_vec() })
            }
            State::LoginPassword { user } if user.is_empty() => Step::Done(Outcome::default()),
            State::LoginPassword { user } => {
                Step::Password { user, password: Secret::new(response.to_vec()) }
            }
            State::Cram { hash, challenge, .. } => {
                Step::Done(cram(accounts, hash, challenge.as_bytes(), response))
            }
            State::Scram(mut scram) => {
                let step = scram.respond(accounts, response);
                if let Step::Challenge(_) = step {
                    self.0 = State::Scram(scram);
                }
                step
            }
            State::Over => self.over(),
        }
    }

    fn over(&mut self) -> Step {
        self.0 = State::Over;
        Step::Done(Outcome::default())
    }
}

/// `[authzid] NUL authcid NUL passwd` (RFC 4616 §2). The authorisation identity is ignored.
fn plain(response: &[u8]) -> Step {
    let mut parts = response.splitn(3, |byte| *byte == 0).skip(1);
    match (parts.next(), parts.next()) {
        (Some(user), Some(password)) if !user.is_empty() => {
            Step::Password { user: user.to_vec(), password: Secret::new(password.to_vec()) }
        }
        (Some(user), _) if !user.is_empty() => {
            Step::Done(Outcome { user: Some(user.to_vec()), ..Outcome::default() })
        }
        _ => Step::Done(Outcome::default()),
    }
}

/// Judges a password by the list of accounts. An unknown user takes as long as a wrong password.
pub fn check_password(accounts: &dyn Accounts, user: &[u8], password: &Secret) -> Outcome {
    let exact = check_exactly(accounts, user, password);
    if exact.accepted || (user.is_ascii() && password.expose().is_ascii()) {
        return exact;
    }
    // It may have been typed in another way than it was stored (RFC 4013).
    let (name, word) = (prepared(user), prepared(password.expose()).map(Zeroizing::new));
    let (Some(name), Some(word)) = (name, word) else { return exact };
    let again = check_exactly(accounts, name.as_bytes(), &Secret::from(word.as_str()));
    if again.accepted { again } else { exact }
}

fn check_exactly(accounts: &dyn Accounts, user: &[u8], password: &Secret) -> Outcome {
    let done = |right: bool, used: Option<Used>| Outcome {
        user: Some(user.to_vec()),
        accepted: right && used.is_some() && !password.is_empty(),
        used,
    };
    if let Some(Found { value, line }) = accounts.password(user) {
        return done(value == password, Some(Used { kind: "plaintext", line: Some(line) }));
    }
    if let Some(Found { value, line }) = accounts.scram(user) {
        return done(value.is_of(password), Some(Used { kind: SCRAM, line: Some(line) }));
    }
    if let Some(Found { value, line }) = accounts.hash(user) {
        return done(value.is_of(password), Some(Used { kind: value.function().name(), line: Some(line) }));
    }
    accounts.pretend(password);
    done(password == accounts.pepper(), None)
}

/// `user SP hex` (RFC 2195 §2); the name may contain blanks.
fn cram(accounts: &dyn Accounts, hash: Hash, challenge: &[u8], response: &[u8]) -> Outcome {
    let Some(at) = response.iter().rposition(|byte| *byte == b' ').filter(|at| *at > 0) else {
        return Outcome::default();
    };
    let (user, code) = response.split_at(at);
    let code = code.get(1..).unwrap_or_default();
    let (key, used) = match accounts.key(hash, user) {
        Some(Found { value, line }) => (value.clone(), Some(Used { kind: hash.name(), line: Some(line) })),
        None => {
            let found = accounts.password(user);
            let used = found.as_ref().map(|found| Used { kind: "plaintext", line: Some(found.line) });
            (HmacKey::new(hash, found.map_or(accounts.pepper(), |found| found.value)), used)
        }
    };
    let right = same(hex(&key.code(challenge)).as_bytes(), code);
    Outcome { user: Some(user.to_vec()), accepted: right && used.is_some(), used }
}

/// The keys for SCRAM: stored ones, those of a password, or those of nobody.
pub(super) fn scram_keys(accounts: &dyn Accounts, user: &[u8]) -> (ScramKeys, Option<Used>) {
    if let Some(Found { value, line }) = accounts.scram(user) {
        return (value.clone(), Some(Used { kind: SCRAM, line: Some(line) }));
    }
    let found = accounts.password(user);
    let used = found.as_ref().map(|found| Used { kind: "plaintext", line: Some(found.line) });
    let password = found.map_or(accounts.pepper(), |found| found.value);
    let mut salt = HmacKey::new(Hash::Sha256, accounts.pepper()).code(user);
    salt.truncate(16);
    (ScramKeys::new(password, &salt, ITERATIONS), used)
}

/// The kind of secret in logs.
const SCRAM: &str = "scram-sha-256";
