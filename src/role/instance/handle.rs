//! A running instance, as supervision sees it: its status, and a new configuration.

use std::sync::Arc;
use std::time::Duration;

use crate::config::Settings;
use crate::filter::{Chain, Tools};
use crate::forward::{Engine, account};
use crate::log::{self, Context, ProcessEvent};
use crate::net::ledger::Ledger;
use crate::role::admin::AdminRole;
use crate::role::fixed;
use crate::role::login::Logins;
use crate::role::pop::PopRole;
use crate::role::settings::{self, NextHop};
use crate::role::smtp::{SmtpRole, SmtpSettings};
use crate::role::tls::Tls;
use crate::spool::Spool;

/// A running instance, as supervision sees it.
#[derive(Clone)]
pub struct Handle {
    pub(super) context: Context,
    pub(super) settings: Settings,
    /// How long idle connections to a next hop are kept.
    pub(super) keep: Duration,
    pub(super) spool: Arc<Spool>,
    pub(super) filters: Tools,
    pub(super) smtp: Option<Arc<SmtpRole>>,
    pub(super) pop: Option<Arc<PopRole>>,
    pub(super) admin: Option<Arc<AdminRole>>,
    pub(super) tls: Tls,
    pub(super) engine: Option<Arc<Engine>>,
    /// Who may log in at the SMTP server.
    pub(super) logins: Option<Arc<Logins>>,
    /// Our accounts at the next hop.
    pub(super) ours: Option<Arc<account::Accounts>>,
    /// Connections are written down, if there is anybody who may ask.
    pub(super) ledger: Option<Arc<Ledger>>,
}

impl Handle {
    /// The instance's name; empty for the nameless one.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// What forwarding needs, with the filters of the moment.
    pub(super) fn next_hop(&self, filters: Option<Arc<Chain>>) -> NextHop {
        NextHop {
            accounts: self.ours.clone(),
            tls: self.tls.connector.clone(),
            filters,
            keep: self.keep,
            alternatives: Arc::clone(&self.filters.alternatives),
        }
    }

    /// Connections and messages, in words.
    #[must_use]
    pub fn status(&self) -> String {
        let mut parts = Vec::new();
        if let Some(smtp) = &self.smtp {
            parts.push(smtp.status());
        }
        if let Some(pop) = &self.pop {
            parts.push(pop.status());
        }
        if let Some(engine) = &self.engine {
            parts.push(engine.status());
        }
        if let Some(admin) = &self.admin {
            parts.push(admin.status());
        }
        let text = parts.join(", ");
        if self.settings.name.is_empty() { text } else { format!("[{}] {text}", self.settings.name) }
    }

    /// The same with the counts of the spool, to the log.
    pub fn log_status(&self) {
        let counts = self.spool.counts().map(|c| {
            let held = if c.held > 0 { format!(", {} held", c.held) } else { String::new() };
            format!("{} waiting, {} busy, {} bad{held}", c.waiting, c.busy, c.bad)
        });
        let text = format!("{}, {}", self.status(), counts.unwrap_or_else(|error| error.to_string()));
        log::emit(&self.context, &ProcessEvent::Status { text }.into());
    }

    /// Takes over what can change while running; tells what cannot.
    ///
    /// # Errors
    /// Filters cannot be made; nothing has changed.
    pub fn reload(&self, new: &Settings) -> Result<(), String> {
        let filters = settings::filters(new, &self.filters).map_err(|error| error.to_string())?;
        let next_hop = self.next_hop(filters.client);
        let immediate = settings::immediate(new, &next_hop, self.ledger.clone(), self.context.clone());
        let immediate = immediate.map_err(|error| error.to_string())?;
        self.tls.reload(new);
        if let Some(smtp) = &self.smtp {
            match settings::smtp(new, self.logins.clone(), self.tls.acceptor.clone(), filters.server) {
                Ok(config) => smtp.reload(SmtpSettings { immediate, ..config }),
                Err(error) => {
                    let reason = format!("cannot start verifiers: {}", crate::os::reason(&error));
                    log::emit(&self.context, &ProcessEvent::ReloadFailed { reason }.into());
                }
            }
        }
        if let Some(pop) = &self.pop {
            pop.reload(settings::pop(new, pop.logins(), self.tls.acceptor.clone()));
            pop.logins().look();
        }
        if let Some(logins) = &self.logins {
            logins.look();
        }
        if let Some(ours) = &self.ours {
            ours.look();
        }
        if let (Some(engine), Some(config)) =
            (&self.engine, settings::engine(new, &next_hop, self.ledger.clone(), self.context.clone()))
        {
            engine.reload(config);
        }
        if let (Some(admin), Some(ledger)) = (&self.admin, &self.ledger) {
            admin.reload(settings::admin(new, &next_hop, ledger, self.context.clone()));
        }
        fixed::report(&self.context, &fixed::of_instance(&self.settings, new));
        Ok(())
    }
}
