//! Who may log in: what the SMTP and POP roles share around [`crate::sasl`].
//!
//! [`Accounts`] reads the secrets files of an instance at the start. [`Logins`] knows the accounts of one server as they are now;
//! [`Attempt`] is the way of one client through an exchange, off the event loop, with its log lines.

mod attempt;
mod pam;
mod throttle;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::task::spawn_blocking;

pub use attempt::{Attempt, Verdict};
pub use pam::Pam;
use throttle::Throttle;

use crate::config::{ClientAuth, ServerAuth, Settings};
use crate::forward::account;
use crate::log::Context;
use crate::sasl::client::Proof;
use crate::sasl::server::offered;
use crate::sasl::{Mechanism, Policy};
use crate::secrets::{ClientEntry, Files, Hold, Secrets, Store, Trust, refresh};
use crate::smtp::server::Offer;

/// The accounts of one server.
#[derive(Debug)]
pub struct Logins {
    source: Source,
    policy: Policy,
    domain: String,
    context: Context,
    throttle: Option<Throttle>,
    /// The mechanisms of the contents that were in use last.
    offer: Mutex<Option<(Arc<Secrets>, Arc<Offer>)>>,
}

/// Where accounts are.
#[derive(Debug, Clone)]
pub enum Source {
    /// In a secrets file.
    File(Arc<Store>),
    /// Those of the system.
    Pam {
        /// Asks for them.
        pam: Pam,
        /// Of this file only the trusted addresses count.
        trusted: Option<Arc<Store>>,
    },
}

/// The secrets files of one instance.
#[derive(Debug, Default)]
pub struct Accounts {
    /// Who may log in at the SMTP server.
    pub server: Option<Source>,
    /// Our own at the next hop.
    pub client: Option<account::Source>,
    /// Who may log in at the POP server.
    pub pop: Option<Source>,
}

impl Accounts {
    /// Reads the files that the settings name.
    ///
    /// # Errors
    /// One of them cannot be used.
    pub fn open(settings: &Settings, files: &mut Files) -> anyhow::Result<Self> {
        let context = Context::unit(&settings.name);
        let server = match &settings.smtp.auth {
            None => None,
            Some(ServerAuth::File(path)) => Some(Source::File(files.open(path, &context)?)),
            Some(ServerAuth::Pam { trusted }) => {
                let trusted = trusted.as_deref().map(|path| files.open(path, &context)).transpose()?;
                Some(Source::Pam { pam: Pam::default(), trusted })
            }
        };
        let client = match &settings.forward.auth {
            None => None,
            Some(ClientAuth::File(path)) => Some(account::Source::File(files.open(path, &context)?)),
            Some(ClientAuth::Account { user, password }) => {
                let hold = Hold::Proof(Proof::Password(password.clone()));
                let entry = ClientEntry { user: user.clone(), hold, line: None };
                Some(account::Source::Fixed(Arc::new(Secrets::of_client(entry))))
            }
        };
        let pop = match &settings.pop.auth {
            None => None,
            Some(ServerAuth::File(path)) => Some(Source::File(files.open(path, &context)?)),
            Some(ServerAuth::Pam { .. }) => Some(Source::Pam { pam: Pam::default(), trusted: None }),
        };
        Ok(Self { server, client, pop })
    }
}

impl Logins {
    /// The accounts of `source`, used as `policy` says. `domain` is our name in challenges; `throttled`: addresses that
    /// fail too often are turned away for a while.
    pub fn new(
        source: Source,
        policy: Policy,
        domain: String,
        context: Context,
        throttled: bool,
    ) -> Arc<Self> {
        let throttle = throttled.then(Throttle::default);
        Arc::new(Self { source, policy, domain, context, throttle, offer: Mutex::default() })
    }

    /// Where the accounts are, for people.
    #[must_use]
    pub fn source(&self) -> String {
        match &self.source {
            Source::File(store) => store.path().display().to_string(),
            Source::Pam { .. } => "pam:".to_owned(),
        }
    }

    /// Looks whether the file has changed, if it was not looked at a moment ago.
    pub async fn consult(&self) {
        let Some(store) = self.store() else { return };
        if store.is_due(Instant::now()) {
            let (store, context) = (Arc::clone(store), self.context.clone());
            // A panic is reported by the runtime; the contents stay.
            let _ = spawn_blocking(move || refresh(&store, &context)).await;
        }
    }

    /// Looks now whether the file has changed. Blocking.
    pub fn look(&self) {
        if let Some(store) = self.store() {
            refresh(store, &self.context);
        }
    }

    /// The mechanisms that the present accounts make possible, without APOP, which is not one of AUTH.
    pub fn offer(&self) -> Arc<Offer> {
        let secrets = self.secrets();
        let mut cached = self.offer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, offer)) = &*cached
            && Arc::ptr_eq(of, &secrets)
        {
            return Arc::clone(offer);
        }
        let choose = |secure, bound| {
            let mut chosen = self.policy.choose(&self.usable(&secrets, bound), secure);
            chosen.retain(|mechanism| *mechanism != Mechanism::Apop);
            chosen
        };
        let (clear, secure, bound) = (choose(false, false), choose(true, false), choose(true, true));
        let offer = Arc::new(Offer { clear, secure, bound });
        *cached = Some((secrets, Arc::clone(&offer)));
        offer
    }

    /// Whether APOP may be used.
    pub fn apop(&self, secure: bool) -> bool {
        self.policy.choose(&self.usable(&self.secrets(), false), secure).contains(&Mechanism::Apop)
    }

    /// Why this peer need not log in, if so; `None` as a peer is a unix-domain socket.
    pub fn trust(&self, peer: Option<IpAddr>) -> Option<Trust> {
        self.secrets().trust(peer).cloned()
    }

    fn usable(&self, secrets: &Secrets, bound: bool) -> Vec<Mechanism> {
        match &self.source {
            Source::File(_) => offered(&secrets.kinds(), bound),
            // It wants to see the password.
            Source::Pam { .. } => vec![Mechanism::Plain],
        }
    }

    fn store(&self) -> Option<&Arc<Store>> {
        match &self.source {
            Source::File(store) => Some(store),
            Source::Pam { trusted, .. } => trusted.as_ref(),
        }
    }

    fn secrets(&self) -> Arc<Secrets> {
        self.store().map_or_else(Arc::default, |store| store.current())
    }
}
