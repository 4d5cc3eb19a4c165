//! The mechanisms that exist here.

use std::fmt;

use super::digest::Hash;

/// A SASL mechanism, or POP's APOP, which is subject to the same lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mechanism {
    /// SCRAM-SHA-256-PLUS (RFC 7677): as below, bound to the TLS session (RFC 9266).
    ScramSha256Plus,
    /// SCRAM-SHA-256 (RFC 7677).
    ScramSha256,
    /// CRAM-MD5 (RFC 2195), and the same with other hash functions.
    Cram(Hash),
    /// The user and bearer token of some large providers.
    XOAuth2,
    /// RFC 7628.
    OAuthBearer,
    /// RFC 4616.
    Plain,
    /// User name and password, each on its own line.
    Login,
    /// RFC 1939 §7; a POP command, never a word behind AUTH.
    Apop,
}

use Mechanism::{Apop, Cram, Login, OAuthBearer, Plain, ScramSha256, ScramSha256Plus, XOAuth2};

impl Mechanism {
    /// All of them, best first.
    pub const ALL: [Self; 11] = [
        ScramSha256Plus,
        ScramSha256,
        Cram(Hash::Sha512),
        Cram(Hash::Sha256),
        Cram(Hash::Sha1),
        Cram(Hash::Md5),
        XOAuth2,
        OAuthBearer,
        Plain,
        Login,
        Apop,
    ];

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            ScramSha256Plus => "SCRAM-SHA-256-PLUS",
            ScramSha256 => "SCRAM-SHA-256",
            Cram(Hash::Sha512) => "CRAM-SHA512",
            Cram(Hash::Sha256) => "CRAM-SHA256",
            Cram(Hash::Sha1) => "CRAM-SHA1",
            Cram(Hash::Md5) => "CRAM-MD5",
            XOAuth2 => "XOAUTH2",
            OAuthBearer => "OAUTHBEARER",
            Plain => "PLAIN",
            Login => "LOGIN",
            Apop => "APOP",
        }
    }

    /// The mechanism of that name, in any case.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mechanism| mechanism.name().eq_ignore_ascii_case(name))
    }

    /// Whether the password itself, or a token as good as one, goes over the wire.
    pub fn shows_secret(self) -> bool {
        matches!(self, Plain | Login | XOAuth2 | OAuthBearer)
    }

    /// Whether the server speaks first, so that an initial response makes no sense (RFC 4954 §4).
    pub fn is_server_first(self) -> bool {
        matches!(self, Cram(_) | Apop)
    }
}

/// In lower case, as logs and verifiers know it.
impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name().to_ascii_lowercase())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_any_case() {
        for mechanism in Mechanism::ALL {
            assert_eq!(Mechanism::by_name(&mechanism.to_string()), Some(mechanism));
        }
        assert_eq!(Mechanism::by_name("CRAM"), None);
    }
}
