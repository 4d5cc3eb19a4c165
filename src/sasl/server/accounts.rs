//! What the exchange asks of the list of accounts.

use crate::sasl::digest::Hash;
use crate::sasl::hmac::HmacKey;
use crate::sasl::mechanism::Mechanism;
use crate::sasl::password_hash::PasswordHash;
use crate::sasl::scram::ScramKeys;
use crate::sasl::secret::Secret;

/// A list of accounts. Names are compared byte by byte.
pub trait Accounts {
    /// The password, where it is stored in clear.
    fn password(&self, user: &[u8]) -> Option<Found<&Secret>>;

    /// The masked password for this hash function.
    fn key(&self, hash: Hash, user: &[u8]) -> Option<Found<&HmacKey>>;

    /// The stored keys for SCRAM.
    fn scram(&self, user: &[u8]) -> Option<Found<&ScramKeys>>;

    /// The slow hash of the password.
    fn hash(&self, user: &[u8]) -> Option<Found<&PasswordHash>>;

    /// Does the work that checking this password of some user would be, so that a user who does not exist takes as long.
    fn pretend(&self, password: &Secret);

    /// A secret of this process from which salts are made, so that a user who does not exist looks like one who does.
    fn pepper(&self) -> &Secret;
}

/// An entry of the list, and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found<T> {
    /// The entry.
    pub value: T,
    /// Its line in the file.
    pub line: u32,
}

/// Which kinds of entries a list has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kinds {
    /// Passwords in clear.
    pub plain: bool,
    /// Masked passwords.
    pub masked: Vec<Hash>,
    /// Keys for SCRAM.
    pub scram: bool,
    /// Slow hashes.
    pub hashed: bool,
}

/// What can be offered with such accounts, best first. `binding`: the TLS session can be bound to.
pub fn offered(kinds: &Kinds, binding: bool) -> Vec<Mechanism> {
    let can = |mechanism: &Mechanism| match mechanism {
        Mechanism::ScramSha256Plus => binding && (kinds.plain || kinds.scram),
        Mechanism::ScramSha256 => kinds.plain || kinds.scram,
        Mechanism::Cram(hash) => kinds.plain || kinds.masked.contains(hash),
        Mechanism::Plain | Mechanism::Login => kinds.plain || kinds.scram || kinds.hashed,
        Mechanism::Apop => kinds.plain,
        Mechanism::XOAuth2 | Mechanism::OAuthBearer => false,
    };
    Mechanism::ALL.into_iter().filter(can).collect()
}
