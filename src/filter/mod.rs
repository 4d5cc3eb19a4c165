//! Filters: users' programs, servers and our own code that see each message before it is acknowledged or sent on.
//!
//! A [`Chain`] runs the filters of one position one after another on the two files of a message, each of which may change,
//! replace or remove them, and returns one [`Outcome`]. It decides nothing about the message itself: what an outcome means is
//! for the SMTP server's session and for forwarding.
//!
//! | module | what it is |
//! |---|---|
//! | `chain` | the sequence, and the log lines of its verdict |
//! | `code` | exit codes, of programs and of `exit:`, at each position |
//! | `text` | what a program or server wrote for the client |
//! | `program` | external programs, over [`crate::program`] |
//! | [`filter_copy`] | the program `emailrelay-filter-copy`, without a process |
//! | `mailboxes` | `copy:` and `deliver:` |
//! | `split` | `split:` |
//! | `mx` | `mx:` |
//! | `msgid` | `msgid:` |
//! | `simple` | `exit:` and `sleepms:` |
//! | `net`, `spam` | servers: our line protocol, and spamd; their connections are in `server`, and `breaker` leaves dead ones alone |
//!
//! To add a kind: a variant of [`FilterSpec`], a type that is a [`Filter`], and a line in [`build`].

mod breaker;
mod chain;
mod code;
pub mod filter_copy;
mod mailboxes;
mod msgid;
mod mx;
mod net;
mod prepared;
mod program;
mod server;
mod simple;
mod spam;
mod split;
mod text;

use std::fmt;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::config::filter::FilterSpec;
use crate::log::{self, Context, FilterEvent};
use crate::net::alternatives::Alternatives;
use crate::program::Runner;
use crate::spool::{DeliveryDir, MessageId, Spool};

pub use chain::Chain;
pub use prepared::{Prepared, Undo, apply_all};

/// When a filter runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// A message has been received and is not yet acknowledged.
    Server,
    /// A message is about to be sent.
    Client,
    /// As `Client`, for a message whose envelope asks for routing (`ForwardTo`).
    Routing,
}

impl Position {
    /// The word in log lines.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Server => "filter",
            Self::Client => "client-filter",
            Self::Routing => "routing-filter",
        }
    }
}

/// A message before a filter. Nobody else touches its files meanwhile.
#[derive(Clone, Debug)]
pub struct Job {
    /// When.
    pub position: Position,
    /// The message.
    pub id: MessageId,
    /// Absolute path of the content.
    pub content: PathBuf,
    /// Absolute path of the envelope: `.envelope.new` at the server position, else `.envelope.busy`.
    pub envelope: PathBuf,
    /// Where the message is from.
    pub facts: Facts,
    /// Where log lines belong.
    pub context: Context,
    /// Cancelled when the process cannot wait any longer. The filter then ends soon; its outcome is not used.
    pub stop: CancellationToken,
}

/// What is known of a message apart from its files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Address of the client that brought it, without port; `/` for a unix socket.
    pub client: String,
    /// Who authenticated; empty if nobody did.
    pub authentication: String,
    /// Return path.
    pub sender: String,
}

/// What a filter, or a chain of them, says of a message.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The verdict.
    pub verdict: Verdict,
    /// At the server position: forward at once. At the others: after this message take no more in this run.
    pub flag: bool,
    /// What is to be done if the whole chain lets the message through or abandons it.
    pub prepared: Vec<Box<dyn Prepared>>,
}

/// The verdict on a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Verdict {
    /// Go on with it.
    #[default]
    Ok,
    /// The filter has dealt with it: leave alone what it has left.
    Abandon,
    /// Refuse it.
    Fail(Failure),
}

/// Why a message is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// For the client, one line, not yet escaped.
    pub response: String,
    /// SMTP code, 400 to 599, if the filter gave one.
    pub code: Option<u16>,
    /// For the log and the envelope.
    pub reason: String,
    /// The message is not to blame: the filter could not do its work. Queued mail waits.
    pub is_fault: bool,
    /// There is no next hop for it, and the reason says why; otherwise a filter that routes has failed, and no more is known.
    pub about_next_hop: bool,
}

/// The running of a filter.
pub type Running<'a> = Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;

/// One filter. It serves many messages at the same time, at any position.
pub trait Filter: Send + Sync + fmt::Debug {
    /// Name in log lines.
    fn name(&self) -> String;

    /// Looks at a message. Keeps its own time limit ([`Tools::timeout`]), never blocks the thread, and ends soon after [`Job::stop`]
    /// is cancelled, or at once when it is dropped, leaving no process at work on the files. Faults are outcomes.
    fn run<'a>(&'a self, job: &'a Job) -> Running<'a>;

    /// Does nothing at all, and is worth no line in the log.
    fn is_idle(&self) -> bool {
        false
    }

    /// Every message that it sees ends the run, or is abandoned.
    fn ends_runs(&self) -> bool {
        false
    }

    /// Runs a program that may change the content in place, so the file must not be shared with other messages.
    fn edits_in_place(&self) -> bool {
        false
    }
}

/// What filters are made with.
#[derive(Clone, Debug)]
pub struct Tools {
    /// The spool of the messages.
    pub spool: Arc<Spool>,
    /// Runs programs.
    pub runner: Arc<Runner>,
    /// `--filter-timeout`.
    pub timeout: Option<Duration>,
    /// Where the mailboxes of local recipients are.
    pub delivery: Arc<DeliveryDir>,
    /// Our name, for what filters add to messages.
    pub domain: String,
    /// A program that abandons a message is a warning.
    pub abandon_warning: bool,
    /// Takes the addresses beside the first that a next hop has.
    pub alternatives: Arc<Alternatives>,
}

/// Makes a filter of its specification.
///
/// # Errors
/// It is not built into this version; completes `invalid filter specification: `.
pub fn build(spec: &FilterSpec, tools: &Tools) -> Result<Box<dyn Filter>, String> {
    match spec {
        FilterSpec::Exit(code) => Ok(Box::new(simple::Exit(*code))),
        FilterSpec::Sleep(time) => Ok(Box::new(simple::Sleep(*time))),
        FilterSpec::Program(program) => Ok(Box::new(program::Program::new(program.clone(), tools))),
        FilterSpec::Net(address) => Ok(Box::new(net::Net::new(address.clone(), tools))),
        FilterSpec::Spam { address, edit, options } => {
            Ok(Box::new(spam::Spam::new(address.clone(), *edit, options.clone(), tools)))
        }
        FilterSpec::Copy(words) => Ok(Box::new(mailboxes::Copy::new(*words, tools))),
        FilterSpec::Deliver(words) => Ok(Box::new(mailboxes::Deliver::new(*words, tools))),
        FilterSpec::Split(words) => Ok(Box::new(split::Split::new(*words, tools))),
        FilterSpec::Mx(words) => Ok(Box::new(mx::Mx::new(words, tools))),
        FilterSpec::Msgid(words) => Ok(Box::new(msgid::Msgid::new(*words, tools))),
    }
}

impl Outcome {
    /// Go on.
    #[must_use]
    pub fn ok() -> Self {
        Self::default()
    }

    /// Leave it alone.
    #[must_use]
    pub fn abandon() -> Self {
        Self { verdict: Verdict::Abandon, ..Self::default() }
    }

    /// Refuse it.
    #[must_use]
    pub fn fail(failure: Failure) -> Self {
        Self { verdict: Verdict::Fail(failure), ..Self::default() }
    }

    /// A filter of our own could not do its work: tells the log why.
    #[must_use]
    pub fn exception(job: &Job, name: &str, reason: String) -> Self {
        let event = FilterEvent::Exception { reason: reason.clone(), name: name.to_owned() };
        log::emit(&job.context, &event.into());
        Self::fail(Failure::fault("failed", reason))
    }
}

impl Failure {
    /// Refused by the filter, with a text for the client and the same for the log.
    #[must_use]
    pub fn rejected(response: &str, reason: impl Into<String>) -> Self {
        Self {
            response: response.to_owned(),
            code: None,
            reason: reason.into(),
            is_fault: false,
            about_next_hop: false,
        }
    }

    /// Not filtered, because something does not work.
    #[must_use]
    pub fn fault(response: &str, reason: impl Into<String>) -> Self {
        Self { is_fault: true, ..Self::rejected(response, reason) }
    }
}

#[cfg(test)]
mod built_in_tests;
#[cfg(test)]
mod tests;
