//! What an instance says at its start.

use std::path::Path;

use crate::config::FilterSpec;
use crate::log::{self, Context, LoginEvent, PopEvent, Server, SpoolEvent, StartEvent};
use crate::net::listener::Bound;
use crate::role::bind::{ServerSockets, Sockets};
use crate::role::instance::Instance;
use crate::spool::Spool;

impl Instance {
    /// Whether clients on other machines are offered to send their passwords in clear.
    fn exposes_passwords(&self) -> bool {
        let Some(logins) = &self.parts.logins else { return false };
        let reachable = |listener: &Bound| listener.local().ip().is_some_and(|ip| !ip.is_loopback());
        logins.offer().clear.iter().any(|mechanism| mechanism.shows_secret())
            && self.sockets.smtp.bound.iter().any(reachable)
    }

    /// What is said at the start.
    pub fn announce(&self) {
        if self.exposes_passwords() {
            log::emit(&self.parts.context, &LoginEvent::Exposed.into());
        }
        let instance = Some(&self.parts.settings.name).filter(|name| !name.is_empty()).cloned();
        let ServerSockets { smtp, admin, pop } = &self.sockets;
        self.announce_filters();
        for (server, sockets) in [(Server::Smtp, smtp), (Server::Admin, admin), (Server::Pop, pop)] {
            self.announce_server(server, sockets);
        }
        if let Some(pop) = &self.parts.pop {
            let (instance, source) = (instance.clone(), pop.logins().source());
            log::emit(&Context::default(), &PopEvent::Accounts { instance, source }.into());
        }
        let forwards = self.parts.engine.is_some()
            || (self.parts.smtp.is_some() && self.parts.settings.forward.immediate);
        if let Some(to) = self.parts.settings.forward.to.as_ref().filter(|_| forwards) {
            // The line carries the instance's name in any log format.
            let context = Context::default();
            log::emit(&context, &StartEvent::ForwardingTo { instance, address: to.to_string() }.into());
        }
    }

    /// Filters that cannot be run are noticed before the first message is.
    fn announce_filters(&self) {
        let filter = &self.parts.settings.filter;
        for program in filter.server.iter().chain(&filter.client).map(FilterSpec::program) {
            if let Some(text) = program_warning(program, "filter") {
                log::emit(&self.parts.context, &StartEvent::Configuration { text }.into());
            }
        }
    }

    fn announce_server(&self, server: Server, sockets: &Sockets) {
        let instance = Some(&self.parts.settings.name).filter(|name| !name.is_empty());
        for listener in &sockets.bound {
            let (instance, address) = (instance.cloned(), listener.local().to_string());
            // The line carries the instance's name in any log format.
            log::emit(&Context::default(), &StartEvent::Listening { instance, server, address }.into());
        }
        let without = &sockets.without_address;
        if !without.is_empty() {
            let interfaces = without.clone();
            log::emit(&self.parts.context, &StartEvent::NoAddresses { interfaces }.into());
        }
        if let Some(interface) = without.first().filter(|_| sockets.bound.is_empty()).cloned() {
            log::emit(&self.parts.context, &StartEvent::WaitingForInterface { server, interface }.into());
        }
    }
}

/// What is wrong with a program file already. It may be put right while we run, so that is no reason not to start.
pub(crate) fn program_warning(path: Option<&Path>, what: &str) -> Option<String> {
    let path = path?;
    if !path.exists() {
        return Some(format!("{what} program does not exist: {}", path.display()));
    }
    path.is_dir().then(|| format!("invalid program: {}", path.display()))
}

/// Says which mailboxes will not be usable.
pub(super) fn look_at_mailboxes(spool: &Spool, context: &Context) {
    match spool.mailboxes() {
        Ok(mailboxes) => {
            for (name, _) in mailboxes.into_iter().filter(|(_, usable)| !usable) {
                let name = name.as_str().to_owned();
                log::emit(context, &PopEvent::MailboxNotAccessible { name }.into());
            }
        }
        Err(error) => log::emit(context, &SpoolEvent::StoreFailed { reason: error.to_string() }.into()),
    }
}
