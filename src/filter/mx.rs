//! `mx:`: a message goes to the mail exchangers of the domain in its envelope's `ForwardTo`.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::mailboxes::{flatten, stage};
use super::{Failure, Filter, Job, Outcome, Running, Tools};
use crate::config::built_in::MxWords;
use crate::dns::mx::{MxError, Route, Target, route};
use crate::dns::{Limits, Resolver, system_servers};
use crate::log::{self, DeliveryEvent};
use crate::net::alternatives::Alternatives;
use crate::spool::{DeliveryError, Envelope, MessageId, Spool, Stage};

/// For clients, and for the log's line of the verdict, when the domain is not to blame.
const FAILED: &str = "failed";

/// Looks mail exchangers up.
#[derive(Debug)]
pub(super) struct Mx {
    spool: Arc<Spool>,
    resolver: Arc<Resolver>,
    public: bool,
    /// Limit on all questions for one message.
    timeout: Option<Duration>,
    alternatives: Arc<Alternatives>,
}

impl Mx {
    pub(super) fn new(words: &MxWords, tools: &Tools) -> Self {
        let servers = if words.servers.is_empty() { system_servers() } else { words.servers.clone() };
        let resolver = Arc::new(Resolver::new(&servers, Limits::default()));
        Self {
            spool: Arc::clone(&tools.spool),
            resolver,
            public: words.public,
            timeout: tools.timeout,
            alternatives: Arc::clone(&tools.alternatives),
        }
    }

    async fn filter(&self, job: &Job) -> Outcome {
        let (spool, id, stage) = (Arc::clone(&self.spool), job.id.clone(), stage(job));
        let asked = spawn_blocking(move || Ok(spool.original(&id, stage)?.envelope().forward_to.clone()));
        let forward_to = match flatten(asked.await) {
            Ok(forward_to) => forward_to,
            Err(reason) => return Outcome::exception(job, &self.name(), reason),
        };
        let found = match Target::parse(&forward_to) {
            Target::None => return Outcome::ok(),
            Target::Literal(address) => Ok(Some(address)),
            Target::Domain { name, port } => self.look_up(job, &name, port).await,
        };
        let address =
            found.as_ref().ok().copied().flatten().map(|address| address.to_string()).unwrap_or_default();
        let error = found.as_ref().err().map(ToString::to_string);
        let word = job.position.word();
        log::emit(
            &job.context,
            &DeliveryEvent::Routed { word, id: job.id.to_string(), address: address.clone(), error }.into(),
        );
        let (spool, id) = (Arc::clone(&self.spool), job.id.clone());
        if let Err(reason) = flatten(spawn_blocking(move || set(&spool, &id, stage, address)).await) {
            return Outcome::exception(job, &self.name(), reason);
        }
        found.map_or_else(|error| Outcome::fail(failure(&error)), |_| Outcome::ok())
    }

    /// None: it goes where all mail goes.
    async fn look_up(&self, job: &Job, name: &str, port: u16) -> Result<Option<SocketAddr>, MxError> {
        let event = DeliveryEvent::LookingUp { word: job.position.word(), domain: name.to_owned() };
        log::emit(&job.context, &event.into());
        let question = route(&self.resolver, name, port);
        let found = match self.timeout {
            Some(limit) => timeout(limit, question)
                .await
                .unwrap_or_else(|_| Err(MxError::Temporary("no answer in time".to_owned())))?,
            None => question.await?,
        };
        match found {
            Route::Default => Ok(None),
            Route::Addresses(mut addresses) => {
                addresses.retain(|address| !self.public || is_public(address.ip()));
                self.alternatives.remember(&addresses);
                let first = addresses.first().copied();
                first.map(Some).ok_or_else(|| MxError::Temporary("no public address".to_owned()))
            }
        }
    }
}

impl Filter for Mx {
    fn name(&self) -> String {
        "mx:".to_owned()
    }

    fn run<'a>(&'a self, job: &'a Job) -> Running<'a> {
        Box::pin(self.filter(job))
    }
}

/// What time may mend leaves the message waiting.
fn failure(error: &MxError) -> Failure {
    let (code, reason) = (error.permanent_code(), error.to_string());
    let response = if code.is_some() { reason.clone() } else { FAILED.to_owned() };
    Failure { response, code, reason, is_fault: code.is_none(), about_next_hop: true }
}

fn set(spool: &Arc<Spool>, id: &MessageId, stage: Stage, address: String) -> Result<(), DeliveryError> {
    let original = spool.original(id, stage)?;
    if original.envelope().forward_to_address == address {
        return Ok(());
    }
    original.replace_envelope(&Envelope { forward_to_address: address, ..original.envelope().clone() })
}

/// Not of a network that is somebody's own (RFC 6890).
fn is_public(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            !(ip.is_private()
                || ip.is_loopback()
                || ip.is_link_local()
                || ip.is_unspecified()
                || is_shared(ip))
        }
        IpAddr::V6(ip) => {
            !(ip.is_unique_local() || ip.is_loopback() || ip.is_unicast_link_local() || ip.is_unspecified())
        }
    }
}

/// 100.64.0.0/10 (RFC 6598).
fn is_shared(ip: std::net::Ipv4Addr) -> bool {
    let [first, second, ..] = ip.octets();
    first == 100 && second & 0xc0 == 64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_cannot_get_better_is_final() {
        let null = failure(&MxError::NullMx);
        assert_eq!((null.code, null.is_fault), (Some(556), false));
        assert_eq!(null.reason, "mx: domain does not accept mail");
        let silence = failure(&MxError::Temporary("no answer in time".to_owned()));
        assert_eq!((silence.code, silence.is_fault), (None, true));
    }

    #[test]
    fn networks_of_ones_own_are_not_public() {
        for (ip, public) in [
            ("192.0.2.1", true),
            ("10.1.2.3", false),
            ("100.64.0.1", false),
            ("100.128.0.1", true),
            ("127.0.0.1", false),
            ("::ffff:10.0.0.1", false),
            ("2001:db8::1", true),
            ("fd00::1", false),
            ("fe80::1", false),
        ] {
            assert_eq!(is_public(ip.parse().unwrap()), public, "{ip}");
        }
    }
}
