//! Accounts at other servers.

use std::fmt;
use std::path::PathBuf;

use crate::sasl::client::{Credentials, Proof};

/// How to log in for one selector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Account {
    /// Not at all: the file says so.
    Direct,
    /// With one of these.
    Login(Vec<ClientEntry>),
}

/// A line about an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientEntry {
    /// The name there.
    pub user: String,
    /// What proves it.
    pub hold: Hold,
    /// The line in the file, if it is from a file.
    pub line: Option<u32>,
}

/// What we hold to prove who we are, or where it is to be had.
#[derive(Clone, PartialEq, Eq)]
pub enum Hold {
    /// The proof itself.
    Proof(Proof),
    /// A file with a bearer token, read anew for each session.
    TokenFile(PathBuf),
    /// A program with its arguments that prints a bearer token, and behind it for how many seconds it is good.
    TokenProgram(Vec<String>),
}

impl ClientEntry {
    /// The credentials, if they are at hand.
    pub fn credentials(&self) -> Option<Credentials> {
        match &self.hold {
            Hold::Proof(proof) => Some(Credentials { user: self.user.clone(), proof: proof.clone() }),
            Hold::TokenFile(_) | Hold::TokenProgram(_) => None,
        }
    }
}

/// Arguments of programs can be secrets too.
impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Proof(proof) => proof.fmt(f),
            Self::TokenFile(path) => write!(f, "TokenFile({})", path.display()),
            Self::TokenProgram(words) => write!(f, "TokenProgram({:?})", words.first()),
        }
    }
}
