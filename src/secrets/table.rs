//! What a secrets file says.

use std::collections::HashMap;
use std::hint::black_box;
use std::net::IpAddr;

use super::client::{Account, ClientEntry};
use super::trust::{Trust, Trusted};
use crate::sasl::scram::ScramKeys;
use crate::sasl::server::{Accounts, Found, Kinds};
use crate::sasl::{Hash, HmacKey, PasswordHash, Secret};

/// Selectors of accounts at SOCKS proxies begin so.
const AT_PROXY: &str = "socks:";

/// Accounts, trusted addresses, and our own accounts elsewhere.
#[derive(Debug, Default)]
pub struct Secrets {
    pub(super) plain: HashMap<Vec<u8>, Entry<Secret>>,
    pub(super) keys: HashMap<(Hash, Vec<u8>), Entry<HmacKey>>,
    pub(super) scram: HashMap<Vec<u8>, Entry<ScramKeys>>,
    pub(super) hashes: HashMap<Vec<u8>, Entry<PasswordHash>>,
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
        Kinds {
            plain: !self.plain.is_empty(),
            masked,
            scram: !self.scram.is_empty(),
            hashed: !self.hashes.is_empty(),
        }
    }

    /// Whether to check this user's password takes a slow hash, which a user who does not exist takes as well.
    pub fn is_costly(&self, user: &[u8]) -> bool {
        // Another spelling of a name may be somebody else's.
        let cheap = user.is_ascii() && (self.plain.contains_key(user) || self.scram.contains_key(user));
        !self.hashes.is_empty() && !cheap
    }

    /// Why this peer need not log in, if so; `None` as a peer is a unix-domain socket.
    pub fn trust(&self, peer: Option<IpAddr>) -> Option<&Trust> {
        self.trusted.find(peer)
    }

    /// Our account for a selector; the empty one selects the default.
    pub fn account(&self, selector: &str) -> Option<&Account> {
        self.clients.get(selector)
    }

    /// Our account at this SOCKS proxy, written as in the log.
    pub fn account_at_proxy(&self, proxy: &str) -> Option<&Account> {
        self.clients.get(&format!("{AT_PROXY}{proxy}"))
    }

    /// There are accounts at proxies and no others: at next hops we do not log in.
    pub fn is_for_proxies_alone(&self) -> bool {
        !self.clients.is_empty() && self.clients.keys().all(|selector| selector.starts_with(AT_PROXY))
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

    fn hash(&self, user: &[u8]) -> Option<Found<&PasswordHash>> {
        self.hashes.get(user).map(Entry::found)
    }

    fn pretend(&self, password: &Secret) {
        // The dearest there is: most users of a file have the same kind.
        if let Some(entry) = self.hashes.values().max_by_key(|entry| entry.value.work()) {
            black_box(entry.value.is_of(password));
        } else if let Some(entry) = self.scram.values().max_by_key(|entry| entry.value.iterations) {
            black_box(entry.value.is_of(password));
        }
    }

    fn pepper(&self) -> &Secret {
        &self.pepper
    }
}
