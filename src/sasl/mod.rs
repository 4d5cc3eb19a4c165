//! Authentication without I/O (RFC 4422): mechanisms, exchanges, and the arithmetic of passwords.
//!
//! SMTP and POP use the same modules and differ only in how they carry base64 lines. Random numbers, the time and the
//! accounts come in as values; nothing here reads a file, waits, or asks for a clock.
//!
//! | module | what it is |
//! |---|---|
//! | [`Mechanism`], [`Policy`] | names, properties, and the `--server-auth-config` lists |
//! | [`server`] | the server's side: [`server::Exchange`] from the first word to the [`server::Outcome`] |
//! | [`client`] | the client's side: what to answer to each challenge |
//! | [`HmacKey`], [`enum@Hash`] | HMAC that can start from the stored halves of a masked password |
//! | [`PasswordHash`] | passwords stored as argon2id or scrypt |
//! | [`prep`] | SASLprep of names and passwords (RFC 4013) |
//! | [`scram`] | SCRAM-SHA-256 (RFC 5802, RFC 7677), both sides |
//! | [`Secret`] | bytes that are wiped when dropped and never printed |

pub mod client;
mod digest;
pub mod encoding;
mod hmac;
mod mechanism;
mod password_hash;
mod policy;
pub mod prep;
pub mod scram;
mod secret;
pub mod server;

pub use digest::Hash;
pub use hmac::{HmacKey, InvalidKey};
pub use mechanism::Mechanism;
pub use password_hash::{Function, InvalidHash, MAX_MEMORY, MAX_WORK, PasswordHash};
pub use policy::Policy;
pub use secret::Secret;
