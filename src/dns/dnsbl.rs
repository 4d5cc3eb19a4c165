//! Judging clients by DNS block lists (RFC 5782): is the client's address in so many of them that it is refused?
//!
//! All lists are asked at once, and the verdict is there as soon as nothing that is still to come could change it. Only an
//! answer in 127.0.0.0/8 is a listing; one in 127.255.255.0/24 is the list's own error ("you ask too much"), and counts
//! as no answer, like every trouble with the name server: a client is not refused for that.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::resolver::{Error, Limits, Resolver, system_servers};
use crate::config::dnsbl::Dnsbl as Settings;

/// How long a listing is remembered.
const KEEP_LISTED: Duration = Duration::from_secs(300);

/// How long it is remembered that a client is not listed.
const KEEP_UNLISTED: Duration = Duration::from_secs(60);

/// Remembered answers; a flood of clients does not make them more.
pub const MAX_REMEMBERED: usize = 20_000;

/// What one list says of an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// It is listed, with these answers.
    Listed(Vec<Ipv4Addr>),
    /// It is not.
    Unlisted,
    /// The list has answered with an error of its own.
    ListError(Vec<Ipv4Addr>),
    /// The name server has not answered, or not about the address; the reason, empty if it was not waited for.
    NoAnswer(String),
}

/// What becomes of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It is let in.
    Pass,
    /// It is let in although these lists, which could have changed that, did not answer.
    PassUndecided(Vec<String>),
    /// It is refused because these have it.
    Block(Vec<String>),
    /// It is refused because these, which could have spoken for it, did not answer.
    BlockUndecided(Vec<String>),
}

impl Decision {
    /// The first list for which the client is refused; none if it is let in.
    #[must_use]
    pub fn against(&self) -> Option<&str> {
        match self {
            Self::Block(lists) | Self::BlockUndecided(lists) => {
                Some(lists.first().map_or("", String::as_str))
            }
            Self::Pass | Self::PassUndecided(_) => None,
        }
    }
}

/// The decision and what led to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What becomes of the client.
    pub decision: Decision,
    /// What each list said, in the order of the configuration.
    pub findings: Vec<(String, Finding)>,
}

/// Block lists in use.
#[derive(Debug)]
pub struct Dnsbl {
    settings: Settings,
    resolver: Arc<Resolver>,
    remembered: Mutex<HashMap<(IpAddr, usize), (Finding, Instant)>>,
}

impl Dnsbl {
    /// Makes ready to ask; nothing is sent yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let servers = settings.server.map_or_else(system_servers, |server| vec![server]);
        // The verdicts are remembered here, for times that do not depend on the lists.
        let limits = Limits { timeout: settings.timeout.max(Duration::from_millis(1)), cache: 0 };
        let resolver = Arc::new(Resolver::new(&servers, limits));
        Self { settings, resolver, remembered: Mutex::default() }
    }

    /// Judges a client's address.
    pub async fn judge(&self, address: IpAddr) -> Verdict {
        let address = address.to_canonical();
        let deadline = Instant::now() + self.settings.timeout;
        let mut findings: Vec<Option<Finding>> = Vec::new();
        let mut questions = JoinSet::new();
        for (place, list) in self.settings.lists.iter().enumerate() {
            let known = self.recall(address, place);
            if known.is_none() {
                let (resolver, name) = (Arc::clone(&self.resolver), question(address, list));
                questions.spawn(async move { (place, finding(resolver.ipv4(&name).await)) });
            }
            findings.push(known);
        }
        while !self.is_decided(&findings) {
            match timeout_at(deadline, questions.join_next()).await {
                Ok(Some(Ok((place, finding)))) => {
                    self.remember(address, place, &finding);
                    if let Some(slot) = findings.get_mut(place) {
                        *slot = Some(finding);
                    }
                }
                Ok(Some(Err(_))) => {}
                // Every question has had its answer, or the time is up.
                Ok(None) | Err(_) => break,
            }
        }
        self.verdict(findings)
    }

    /// Whether no answer that is still to come could change the decision. Without a threshold all answers are of interest.
    fn is_decided(&self, findings: &[Option<Finding>]) -> bool {
        let pending = findings.iter().filter(|finding| finding.is_none()).count();
        let threshold = self.settings.threshold;
        let reached = listed(findings) >= threshold;
        pending == 0 || (threshold > 0 && (reached || listed(findings) + silent(findings) < threshold))
    }

    fn verdict(&self, findings: Vec<Option<Finding>>) -> Verdict {
        let threshold = self.settings.threshold;
        let (have, may) = (listed(&findings), silent(&findings));
        let named: Vec<(String, Finding)> = self
            .settings
            .lists
            .iter()
            .cloned()
            .zip(
                findings
                    .into_iter()
                    .map(|finding| finding.unwrap_or_else(|| Finding::NoAnswer(String::new()))),
            )
            .collect();
        let which = |wanted: fn(&Finding) -> bool| {
            let lists = named.iter().filter(|(_, finding)| wanted(finding)).map(|(list, _)| list.clone());
            lists.collect::<Vec<_>>()
        };
        let is_silent = |finding: &Finding| matches!(finding, Finding::NoAnswer(_) | Finding::ListError(_));
        let decision = if threshold > 0 && have >= threshold {
            Decision::Block(which(|finding| matches!(finding, Finding::Listed(_))))
        } else if may == 0 || (threshold > 0 && have + may < threshold) {
            Decision::Pass
        } else if self.settings.deny_undecided {
            Decision::BlockUndecided(which(is_silent))
        } else {
            Decision::PassUndecided(which(is_silent))
        };
        Verdict { decision, findings: named }
    }

    fn recall(&self, address: IpAddr, place: usize) -> Option<Finding> {
        let remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        let (finding, until) = remembered.get(&(address, place))?;
        (*until > Instant::now()).then(|| finding.clone())
    }

    fn remember(&self, address: IpAddr, place: usize, finding: &Finding) {
        let keep = match finding {
            Finding::Listed(_) => KEEP_LISTED,
            Finding::Unlisted => KEEP_UNLISTED,
            Finding::ListError(_) | Finding::NoAnswer(_) => return,
        };
        let now = Instant::now();
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.len() >= MAX_REMEMBERED {
            remembered.retain(|_, (_, until)| *until > now);
            if remembered.len() >= MAX_REMEMBERED {
                remembered.clear();
            }
        }
        remembered.insert((address, place), (finding.clone(), now + keep));
    }
}

fn listed(findings: &[Option<Finding>]) -> usize {
    findings.iter().filter(|finding| matches!(finding, Some(Finding::Listed(_)))).count()
}

/// Lists that may still have the client: they have not answered, or not about it.
fn silent(findings: &[Option<Finding>]) -> usize {
    let open = |finding: &&Option<Finding>| {
        matches!(finding, None | Some(Finding::NoAnswer(_) | Finding::ListError(_)))
    };
    findings.iter().filter(open).count()
}

fn finding(answer: Result<Vec<Ipv4Addr>, Error>) -> Finding {
    match answer {
        Ok(addresses) => {
            let (errors, listings): (Vec<_>, Vec<_>) = addresses
                .into_iter()
                .filter(Ipv4Addr::is_loopback)
                .partition(|address| matches!(address.octets(), [127, 255, 255, _]));
            match (listings.is_empty(), errors.is_empty()) {
                (false, _) => Finding::Listed(listings),
                (true, false) => Finding::ListError(errors),
                // A wildcard of a domain that somebody else has bought since is no listing.
                (true, true) => Finding::Unlisted,
            }
        }
        Err(Error::NoSuchName | Error::NoRecord) => Finding::Unlisted,
        Err(error @ (Error::BadName | Error::Temporary(_))) => Finding::NoAnswer(error.to_string()),
    }
}

/// The name to ask for: the address backwards, by bytes or by nibbles (RFC 5782 sections 2.1 and 2.4).
fn question(address: IpAddr, list: &str) -> String {
    let mut name = String::with_capacity(64 + list.len());
    match address {
        IpAddr::V4(address) => {
            for byte in address.octets().iter().rev() {
                let _ = write!(name, "{byte}.");
            }
        }
        IpAddr::V6(address) => {
            for byte in address.octets().iter().rev() {
                let _ = write!(name, "{:x}.{:x}.", byte & 15, byte >> 4);
            }
        }
    }
    name.push_str(list);
    name
}

#[cfg(test)]
mod tests;
