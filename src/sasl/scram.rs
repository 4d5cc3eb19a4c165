//! SCRAM-SHA-256 (RFC 5802 with RFC 7677): keys, messages and proofs that both sides share.

use std::fmt;

use zeroize::Zeroizing;

use super::digest::Hash;
use super::encoding::{base64, from_base64};
use super::hmac::HmacKey;
use super::secret::{Secret, same};

/// Rounds for passwords that are stored in clear, and the fewest that a client should accept (RFC 7677 §4).
pub const ITERATIONS: u32 = 4096;

/// Most rounds of which we do the work: a server could ask a client for hours of it.
pub const MAX_ITERATIONS: u32 = 1_000_000;

/// Type of channel binding for the `-PLUS` form (RFC 9266).
pub const BINDING_TYPE: &str = "tls-exporter";

/// What a server needs to know of a password.
#[derive(Clone, PartialEq, Eq)]
pub struct ScramKeys {
    /// Told to the client.
    pub salt: Vec<u8>,
    /// Told to the client.
    pub iterations: u32,
    stored: Secret,
    server: Secret,
}

impl ScramKeys {
    /// The keys of a password. As slow as `iterations` make it.
    pub fn new(password: &Secret, salt: &[u8], iterations: u32) -> Self {
        let keys = Salted::new(password, salt, iterations);
        Self {
            salt: salt.to_vec(),
            iterations,
            stored: Secret::new(Hash::Sha256.digest(&keys.client)),
            server: Secret::new(keys.server.to_vec()),
        }
    }

    /// Reads `iterations,salt,StoredKey,ServerKey`, the last three in base64.
    pub fn parse(text: &str) -> Option<Self> {
        let mut fields = text.split(',');
        let iterations = fields.next()?.parse().ok().filter(|n| (1..=MAX_ITERATIONS).contains(n))?;
        let mut bytes = || from_base64(fields.next()?.as_bytes()).filter(|bytes| !bytes.is_empty());
        let (salt, stored, server) = (bytes()?, bytes()?, bytes()?);
        let whole = fields.next().is_none() && stored.len() == KEY && server.len() == KEY;
        whole.then(|| Self { salt, iterations, stored: Secret::new(stored), server: Secret::new(server) })
    }

    /// The text that [`ScramKeys::parse`] reads.
    pub fn to_text(&self) -> String {
        let [salt, stored, server] = [&self.salt, self.stored.expose(), self.server.expose()].map(base64);
        format!("{},{salt},{stored},{server}", self.iterations)
    }

    /// Whether these are the keys of `password`. As slow as [`ScramKeys::new`].
    pub fn is_of(&self, password: &Secret) -> bool {
        Self::new(password, &self.salt, self.iterations).stored == self.stored
    }

    /// Whether a client that knows the password made `proof` for `messages`.
    pub(super) fn proves(&self, messages: &str, proof: &[u8]) -> bool {
        let signature = HmacKey::new(Hash::Sha256, &self.stored).code(messages.as_bytes());
        let client = Zeroizing::new(xor(&signature, proof));
        proof.len() == KEY && same(&Hash::Sha256.digest(&client), self.stored.expose())
    }

    /// What shows the client that the server knows the keys.
    pub(super) fn signature(&self, messages: &str) -> Vec<u8> {
        HmacKey::new(Hash::Sha256, &self.server).code(messages.as_bytes())
    }
}

impl fmt::Debug for ScramKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[scram-sha-256 keys]")
    }
}

/// The client's keys, which come from the password only.
pub(super) struct Salted {
    client: Zeroizing<Vec<u8>>,
    server: Zeroizing<Vec<u8>>,
}

impl Salted {
    pub(super) fn new(password: &Secret, salt: &[u8], iterations: u32) -> Self {
        let salted = Secret::new(stretch(password, salt, iterations));
        let key = HmacKey::new(Hash::Sha256, &salted);
        Self {
            client: Zeroizing::new(key.code(b"Client Key")),
            server: Zeroizing::new(key.code(b"Server Key")),
        }
    }

    pub(super) fn proof(&self, messages: &str) -> Vec<u8> {
        let stored = Secret::new(Hash::Sha256.digest(&self.client));
        xor(&HmacKey::new(Hash::Sha256, &stored).code(messages.as_bytes()), &self.client)
    }

    /// Whether the server's signature is that of somebody who knows the keys.
    pub(super) fn is_signed(&self, messages: &str, signature: &[u8]) -> bool {
        let key = HmacKey::new(Hash::Sha256, &Secret::new(self.server.to_vec()));
        same(&key.code(messages.as_bytes()), signature)
    }
}

/// `Hi()` of RFC 5802 §2.2: PBKDF2 with one block of output.
fn stretch(password: &Secret, salt: &[u8], iterations: u32) -> Vec<u8> {
    let key = HmacKey::new(Hash::Sha256, password);
    let mut round = Zeroizing::new(key.code(&[salt, &1_u32.to_be_bytes()].concat()));
    let mut sum = round.to_vec();
    for _ in 1..iterations {
        *round = key.code(&round);
        sum.iter_mut().zip(round.iter()).for_each(|(sum, byte)| *sum ^= byte);
    }
    sum
}

fn xor(a: &[u8], b: &[u8]) -> Vec<u8> {
    a.iter().zip(b).map(|(a, b)| a ^ b).collect()
}

/// The attribute of that letter at the front of a message, and what follows its comma.
pub(super) fn attribute(message: &str, letter: char) -> Option<(&str, &str)> {
    let rest = message.strip_prefix(letter)?.strip_prefix('=')?;
    Some(rest.split_once(',').unwrap_or((rest, "")))
}

/// A name as it stands in a message (RFC 5802 §5.1).
pub(super) fn quote(name: &str) -> String {
    name.replace('=', "=3D").replace(',', "=2C")
}

/// The name of [`quote`]; none if a `=` stands for nothing.
pub(super) fn unquote(text: &str) -> Option<String> {
    let mut parts = text.split('=');
    let mut name = parts.next()?.to_owned();
    for part in parts {
        let (code, rest) = part.split_at_checked(2)?;
        name.push(match code {
            "2C" => ',',
            "3D" => '=',
            _ => return None,
        });
        name.push_str(rest);
    }
    Some(name)
}

/// Bytes in a key.
const KEY: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7677 §3.
    #[test]
    fn the_example_of_the_standard() {
        let messages = "n=user,r=rOprNGfwEbeRWgbNEkqO,\
            r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,\
            c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let salt = from_base64(b"W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let keys = ScramKeys::new(&Secret::from("pencil"), &salt, 4096);
        let proof = from_base64(b"dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=").unwrap();
        assert!(keys.proves(messages, &proof));
        assert!(!keys.proves(&messages[1..], &proof) && !keys.proves(messages, &proof[1..]));
        assert_eq!(base64(&keys.signature(messages)), "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
        let client = Salted::new(&Secret::from("pencil"), &salt, 4096);
        assert_eq!(client.proof(messages), proof);
        assert!(client.is_signed(messages, &keys.signature(messages)));
        assert_eq!(ScramKeys::parse(&keys.to_text()), Some(keys.clone()));
        assert!(keys.is_of(&Secret::from("pencil")) && !keys.is_of(&Secret::from("pen")));
    }

    #[test]
    fn names_are_quoted_and_unquoted() {
        assert_eq!(quote("a=b,c"), "a=3Db=2Cc");
        assert_eq!(unquote("a=3Db=2Cc").as_deref(), Some("a=b,c"));
        for bad in ["=", "a=2", "a=20b", "=3d", "=ä"] {
            assert_eq!(unquote(bad), None, "{bad}");
        }
    }

    #[test]
    fn stored_keys_are_checked() {
        let key = base64(&[7; 32]);
        assert!(ScramKeys::parse(&format!("4096,c2FsdA==,{key},{key}")).is_some());
        for bad in [
            format!("0,c2FsdA==,{key},{key}"),
            format!("9999999,c2FsdA==,{key},{key}"),
            format!("4096,,{key},{key}"),
            format!("4096,c2FsdA==,{key}"),
            format!("4096,c2FsdA==,{key},{key},x"),
            format!("4096,c2FsdA==,{key},c2FsdA=="),
        ] {
            assert_eq!(ScramKeys::parse(&bad), None, "{bad}");
        }
    }
}
