//! Our accounts at next hops: from the secrets file, or the one of the command line, to what a session needs.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::task::spawn_blocking;

use super::token::Tokens;
use crate::config::address::Remote;
use crate::log::Context;
use crate::net::socks;
use crate::os::random;
use crate::sasl::client::{Credentials, Proof};
use crate::sasl::encoding::base64;
use crate::sasl::{Policy, Secret};
use crate::secrets::{Account, ClientEntry, Hold, Secrets, Store, refresh};
use crate::smtp::client::Login;

/// Where our accounts are.
#[derive(Debug, Clone)]
pub enum Source {
    /// In a secrets file.
    File(Arc<Store>),
    /// Given at the start.
    Fixed(Arc<Secrets>),
}

/// Hosts of which is remembered that they were warned of.
const MAX_WARNED: usize = 1000;

/// Our accounts (`--client-auth`).
#[derive(Debug)]
pub struct Accounts {
    source: Source,
    policy: Policy,
    context: Context,
    tokens: Tokens,
    /// Hosts that were warned of.
    warned: Mutex<HashSet<String>>,
}

impl Accounts {
    /// The accounts of `source`, used as `policy` says.
    pub fn new(source: Source, policy: Policy, context: Context) -> Arc<Self> {
        Arc::new(Self { source, policy, context, tokens: Tokens::default(), warned: Mutex::default() })
    }

    /// How to log in with the account of `selector`; the empty one is that of the default account. None: not at all, by the
    /// word of the file. Whether the next hop is on this machine is for the caller to say.
    ///
    /// # Errors
    /// There is no such account, or no token for it, in words for the log.
    pub async fn login(&self, selector: &str) -> Result<Option<Login>, String> {
        let secrets = self.secrets().await;
        let entries = match secrets.account(selector).cloned() {
            None if selector.is_empty() && secrets.is_for_proxies_alone() => return Ok(None),
            None => return Err(format!("no client authentication account: selector [{selector}]")),
            Some(Account::Direct) => return Ok(None),
            Some(Account::Login(entries)) => entries,
        };
        let mut ready = Vec::with_capacity(entries.len());
        for entry in &entries {
            ready.push((self.credentials(entry).await?, entry.line));
        }
        Ok(Some(Login {
            entries: ready,
            policy: self.policy.clone(),
            selector: selector.to_owned(),
            nonce: base64(&random::bytes::<18>()),
            exporter: None,
            local: false,
            renewable: true,
        }))
    }

    /// Who we are at a SOCKS proxy: the account with the selector `socks:` and its address, as the log writes it.
    ///
    /// # Errors
    /// There is such an account, but without a password.
    pub async fn at_proxy(&self, proxy: &Remote) -> Result<Option<socks::Login>, String> {
        let entries = match self.secrets().await.account_at_proxy(&proxy.to_string()).cloned() {
            None | Some(Account::Direct) => return Ok(None),
            Some(Account::Login(entries)) => entries,
        };
        let login = entries.into_iter().find_map(|entry| match entry.hold {
            Hold::Proof(Proof::Password(password)) => Some(socks::Login { user: entry.user, password }),
            _ => None,
        });
        login.map(Some).ok_or_else(|| format!("socks error: no plain secret with selector [socks:{proxy}]"))
    }

    /// A fresh token in place of the one that the next hop has refused, which was that of this entry of the account. None: it
    /// would be the same again.
    pub async fn fresh_token(&self, selector: &str, entry: usize) -> Option<Secret> {
        self.tokens.forget();
        let entry = match self.secrets().await.account(selector)? {
            Account::Login(entries) => entries.get(entry)?.clone(),
            Account::Direct => return None,
        };
        match self.credentials(&entry).await.ok()?.proof {
            Proof::Token(token) if !matches!(entry.hold, Hold::Proof(_)) => Some(token),
            _ => None,
        }
    }

    /// Whether a warning about this host has not been given yet.
    pub fn is_first_warning(&self, host: &str) -> bool {
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.len() >= MAX_WARNED {
            warned.clear();
        }
        warned.insert(host.to_owned())
    }

    /// The next hop has refused an account: tokens that were kept are not used again.
    pub fn refused(&self) {
        self.tokens.forget();
    }

    /// Looks now whether the file has changed. Blocking.
    pub fn look(&self) {
        if let Source::File(store) = &self.source {
            refresh(store, &self.context);
        }
    }

    /// The contents of the file as it is now; a change is seen within a second.
    pub(super) async fn secrets(&self) -> Arc<Secrets> {
        match &self.source {
            Source::Fixed(secrets) => Arc::clone(secrets),
            Source::File(store) => {
                if store.is_due(Instant::now()) {
                    let (store, context) = (Arc::clone(store), self.context.clone());
                    // A panic is reported by the runtime; the contents stay.
                    let _ = spawn_blocking(move || refresh(&store, &context)).await;
                }
                store.current()
            }
        }
    }

    async fn credentials(&self, entry: &ClientEntry) -> Result<Credentials, String> {
        let token = match &entry.hold {
            Hold::Proof(proof) => {
                return Ok(Credentials { user: entry.user.clone(), proof: proof.clone() });
            }
            Hold::TokenFile(path) => Tokens::of_file(path).await,
            Hold::TokenProgram(words) => self.tokens.of_program(words).await,
        };
        Ok(Credentials { user: entry.user.clone(), proof: Proof::Token(token?) })
    }
}
