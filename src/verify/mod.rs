//! Address verifiers: who decides whether a recipient is good, and whether it is delivered here or forwarded.
//!
//! A [`Verifier`] belongs to an instance and is shared by its sessions; each session has a [`Checker`], which may hold a
//! connection to a `net:` verifier. Every question has an answer within the timeout, whatever program, server or user
//! database do, and so many questions at most are worked on at a time; the others wait in turn. What goes wrong on our side
//! is temporary: no mail bounces for a broken verifier.

mod account;
mod answer;
mod net;
mod program;
#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::config::address::Remote;
use crate::config::verifier::{AccountSpec, VerifierSpec};
use crate::log::{self, Context, VerifyEvent};
use crate::program::{Limits, Runner};
use crate::smtp::server::{Rejection, Verdict};

/// How long a question may wait for its turn.
const QUEUE_TIME: Duration = Duration::from_secs(30);

/// Text for a client whose question has waited too long for its turn (RFC 3463).
const TOO_BUSY: &str = "4.3.2 too busy";

/// Text for a client when nobody could be asked.
const CANNOT_VERIFY: &str = "cannot verify";

/// What is asked about one address; the arguments of a verifier program, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// The address of RCPT with its domain in A-labels, or the argument of VRFY.
    pub address: String,
    /// Envelope sender; empty for VRFY and the null reverse path.
    pub sender: String,
    /// Address and port of the client.
    pub client: String,
    /// The `--domain`.
    pub domain: String,
    /// How the client authenticated, in lower case; `none` if it did not.
    pub mechanism: String,
    /// Who the client is, or why it is trusted; may be empty.
    pub identity: String,
}

impl Query {
    fn fields(&self) -> [&str; 6] {
        [&self.address, &self.sender, &self.client, &self.domain, &self.mechanism, &self.identity]
    }
}

/// The verifier of an instance.
#[derive(Debug)]
pub struct Verifier {
    way: Way,
    /// `--filter-timeout`; none for ever.
    limit: Option<Duration>,
    turns: Semaphore,
}

/// How an answer is found.
#[derive(Debug)]
enum Way {
    AcceptAll,
    Program(PathBuf, Runner),
    Net(Remote),
    Account(AccountSpec),
}

impl Verifier {
    /// A verifier that works on so many questions at a time, and on each for no longer than `limit`.
    ///
    /// # Errors
    /// The system refuses the thread that starts programs.
    pub fn new(spec: VerifierSpec, limit: Option<Duration>, parallel: usize) -> io::Result<Arc<Self>> {
        let way = match spec {
            VerifierSpec::AcceptAll => Way::AcceptAll,
            VerifierSpec::Program(path) => {
                Way::Program(path, Runner::new(Limits { running: parallel, wait: QUEUE_TIME }))
            }
            VerifierSpec::Net(server) => Way::Net(server),
            VerifierSpec::Account(spec) => Way::Account(spec),
        };
        Ok(Arc::new(Self { way, limit, turns: Semaphore::new(parallel) }))
    }
}

/// One session's use of a verifier.
#[derive(Debug)]
pub struct Checker {
    verifier: Arc<Verifier>,
    connection: Option<net::Connection>,
}

impl Checker {
    /// For a new session.
    #[must_use]
    pub fn new(verifier: Arc<Verifier>) -> Self {
        Self { verifier, connection: None }
    }

    /// Asks about an address. To drop the future ends the work on it.
    pub async fn verify(&mut self, query: &Query, context: &Context) -> Verdict {
        if matches!(self.verifier.way, Way::AcceptAll) {
            return Verdict::Remote { address: query.address.clone() };
        }
        let Ok(Ok(_turn)) = timeout(QUEUE_TIME, self.verifier.turns.acquire()).await else {
            return refused(Rejection::LocalFault, TOO_BUSY, "too many addresses are being verified");
        };
        let limit = self.verifier.limit;
        let verdict = match &self.verifier.way {
            Way::AcceptAll => Verdict::Remote { address: query.address.clone() },
            Way::Program(path, runner) => program::ask(path, runner, query, limit, context).await,
            Way::Net(server) => net::ask(server, &mut self.connection, query, limit, context).await,
            Way::Account(spec) => account::ask(spec, query).await,
        };
        answer::checked(verdict).unwrap_or_else(|fault| {
            log::emit(context, &VerifyEvent::BadAnswer { reason: fault.to_string() }.into());
            refused(Rejection::LocalFault, "error", &fault.to_string())
        })
    }

    /// The transaction has ended: a connection is not kept for the next one.
    pub fn reset(&mut self) {
        self.connection = None;
    }
}

fn refused(rejection: Rejection, text: &str, reason: &str) -> Verdict {
    Verdict::Rejected { rejection, text: text.to_owned(), reason: reason.to_owned() }
}
