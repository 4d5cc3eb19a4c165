//! What a secrets file says.

use std::collections::HashMap;
use std::net::IpAddr;

use super::client::{Account, ClientEntry};
use super::trust::{Trust, Trusted};
use crate::sasl::scram::ScramKeys;
use crate::sasl::server::{Accounts, Found, Kinds};
use crate::sasl::{Hash, HmacKey, Secret};

/// Accounts, trusted addresses, and our own accounts elsewhere.
#[derive(Debug, Default)]
pub struct Secrets {
    pub(super) plain: HashMap<Vec<u8>, Entry<Secret>>,
    pub(super) keys: HashMap<(Hash, Vec<u8>), Entry<HmacKey>>,
    pub(super) scram: HashMap<Vec<u8>, Entry<ScramKeys>>,
    pub(super) trusted: Trusted,
    /// By selector; the default account has the empty one.
    pub(super) clients: HashMap<String, Account>,
    pub(super) pepper: Secret,
}

/// A value with its line.
#[derive(Debug)]
pub(super) struct Entry<T> {
    pub(super) value: T,
    pub(super) line: u32,
}

impl<T> Entry<T> {
    fn found(&self) -> Found<&T> {
        Found { value: &self.value, line: self.line }
    }
}

impl Secrets {
    /// One default account of ours, as `--client-auth=plain:...` gives it.
    pub fn of_client(entry: ClientEntry) -> Self {
        Self { clients: HashMap::from([(String::new(), Account::Login(vec![entry]))]), ..Self::default() }
    }

    /// What kinds of entries there are for those who log in here.
    pub fn kinds(&self) -> Kinds {
        let mut masked: Vec<Hash> = self.keys.keys().map(|(hash, _)| *hash).collect();
        masked.sort_unstable_by_key(|hash| hash.name());
        masked.dedup();
        Kinds { plain: !self.plain.is_empty(), masked, scram: !self.scram.is_empty() }
    }

    /// Why this peer need not log in, if so; `None` as a peer is a unix-domain socket.
    pub fn trust(&self, peer: Option<IpAddr>) -> Option<&Trust> {
        self.trusted.find(peer)
    }

    /// Our account for a selector; the empty one selects the default.
    pub fn account(&self, selector: &str) -> Option<&Account> {
        self.clients.get(selector)
    }
}

impl Accounts for Secrets {
    fn password(&self, user: &[u8]) -> Option<Found<&Secret>> {
        self.plain.get(user).map(Entry::found)
    }

    fn key(&self, hash: Hash, user: &[u8]) -> Option<Found<&HmacKey>> {
        self.keys.get(&(hash, user.to_vec())).map(Entry::found)
    }

    fn scram(&self, user: &[u8]) -> Option<Found<&ScramKeys>> {
        self.scram.get(user).map(Entry::found)
    }

    fn pepper(&self) -> &Secret {
        &self.pepper
    }
}
