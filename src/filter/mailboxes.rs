//! `copy:` and `deliver:`: copies of the message in mailboxes.
//!
//! The copies are written when the filter runs, and become visible when the whole chain has let the message through.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::spawn_blocking;

use super::{Filter, Job, Outcome, Position, Prepared, Running, Tools, Undo};
use crate::config::built_in::CopyWords;
use crate::log::{self, DeliveryEvent};
use crate::spool::{Copies, CopyStyle, DeliveryDir, DeliveryError, Folders, Original, Spool, Stage};

/// Copies into all sub-directories of the spool.
#[derive(Debug)]
pub(super) struct Copy {
    spool: Arc<Spool>,
    words: CopyWords,
    /// It was said that there are no sub-directories.
    told: AtomicBool,
}

/// Copies into the mailboxes of local recipients.
#[derive(Debug)]
pub(super) struct Deliver {
    spool: Arc<Spool>,
    words: CopyWords,
    directory: Arc<DeliveryDir>,
}

/// Copies that are ready to become visible, and what becomes of the original then.
struct Delivery {
    original: Original,
    copies: Copies,
    then: Then,
}

#[derive(Debug)]
enum Then {
    /// It stays for other recipients; the names of those who have it are noted.
    Note(Vec<String>),
    /// It stays as it is.
    Keep,
    /// It goes, with its content unless mailboxes refer to that.
    Remove { keep_content: bool },
}

impl Copy {
    pub(super) fn new(words: CopyWords, tools: &Tools) -> Self {
        Self { spool: Arc::clone(&tools.spool), words, told: AtomicBool::new(false) }
    }

    async fn filter(&self, job: &Job) -> Outcome {
        let style = style(self.words);
        let (spool, id, stage) = (Arc::clone(&self.spool), job.id.clone(), stage(job));
        let made = spawn_blocking(move || {
            let original = spool.original(&id, stage)?;
            let copies = original.copy(Folders::Mailboxes, style)?;
            Ok::<_, DeliveryError>((original, copies))
        });
        let (original, copies) = match flatten(made.await) {
            Ok(made) => made,
            Err(reason) => return Outcome::exception(job, &self.name(), reason),
        };
        if copies.to.is_empty() {
            if copies.skipped.is_empty() && !self.told.swap(true, Ordering::Relaxed) {
                let path = self.spool.path().display().to_string();
                log::emit(&job.context, &DeliveryEvent::NoFolders { path }.into());
            }
            return Outcome::ok();
        }
        let (to, skipped) = (copies.to.clone(), copies.skipped.clone());
        let event = DeliveryEvent::Copied { word: job.position.word(), id: job.id.to_string(), to, skipped };
        log::emit(&job.context, &event.into());
        let then = match self.words.nodelete {
            true => Then::Keep,
            false => Then::Remove { keep_content: style.envelope_only },
        };
        prepared(Delivery { original, copies, then })
    }
}

impl Deliver {
    pub(super) fn new(words: CopyWords, tools: &Tools) -> Self {
        Self { spool: Arc::clone(&tools.spool), words, directory: Arc::clone(&tools.delivery) }
    }

    async fn filter(&self, job: &Job) -> Outcome {
        let style = style(self.words);
        let (spool, id, stage) = (Arc::clone(&self.spool), job.id.clone(), stage(job));
        let directory = Arc::clone(&self.directory);
        let made = spawn_blocking(move || {
            let original = spool.original(&id, stage)?;
            let copies = original.deliver(&directory, style)?;
            Ok::<_, DeliveryError>((original, copies))
        });
        let (original, copies) = match flatten(made.await) {
            Ok(made) => made,
            Err(reason) => return Outcome::exception(job, &self.name(), reason),
        };
        self.report(job, &copies);
        let envelope = original.envelope();
        if envelope.local.is_empty() {
            return Outcome::ok();
        }
        let then = if !envelope.remote.is_empty() {
            Then::Note(copies.to.clone())
        } else if self.words.nodelete {
            Then::Keep
        } else {
            Then::Remove { keep_content: false }
        };
        prepared(Delivery { original, copies, then })
    }

    fn report(&self, job: &Job, copies: &Copies) {
        let elsewhere = self.directory.path() != self.spool.path();
        if elsewhere && !copies.to.is_empty() {
            let path = self.directory.path().display().to_string();
            log::emit(&job.context, &DeliveryEvent::Delivering { id: job.id.to_string(), path }.into());
        }
        for name in &copies.created {
            log::emit(&job.context, &DeliveryEvent::MailboxCreated { name: name.clone() }.into());
        }
        for name in &copies.to {
            let event = DeliveryEvent::Delivered { id: job.id.to_string(), name: name.clone() };
            log::emit(&job.context, &event.into());
        }
    }
}

impl Filter for Copy {
    fn name(&self) -> String {
        "copy:".to_owned()
    }

    fn run<'a>(&'a self, job: &'a Job) -> Running<'a> {
        Box::pin(self.filter(job))
    }
}

impl Filter for Deliver {
    fn name(&self) -> String {
        "deliver:".to_owned()
    }

    fn run<'a>(&'a self, job: &'a Job) -> Running<'a> {
        Box::pin(self.filter(job))
    }
}

impl Prepared for Delivery {
    fn apply(self: Box<Self>) -> Result<Undo, String> {
        let Self { original, copies, then } = *self;
        let published = copies.publish().map_err(|error| error.to_string())?;
        let done = match then {
            Then::Keep => Ok(()),
            Then::Note(names) if names.is_empty() => Ok(()),
            Then::Note(names) => original.note_delivered(&names),
            Then::Remove { keep_content } => original.remove(keep_content),
        };
        match done {
            Ok(()) => Ok(Undo::by(|| published.undo())),
            Err(error) => {
                published.undo();
                Err(error.to_string())
            }
        }
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery").field("original", &self.original).field("then", &self.then).finish()
    }
}

/// The original that is to be removed has been dealt with; otherwise it goes its way.
fn prepared(delivery: Delivery) -> Outcome {
    let removes = matches!(delivery.then, Then::Remove { .. });
    let mut outcome = if removes { Outcome::abandon() } else { Outcome::ok() };
    outcome.prepared.push(Box::new(delivery));
    outcome
}

fn style(words: CopyWords) -> CopyStyle {
    CopyStyle { hardlink: words.hardlink, envelope_only: words.pop }
}

pub(super) fn stage(job: &Job) -> Stage {
    match job.position {
        Position::Server => Stage::New,
        Position::Client | Position::Routing => Stage::Locked,
    }
}

/// The result of work on files, or that the work has panicked, which the runtime reports.
pub(super) fn flatten<T>(
    done: Result<Result<T, DeliveryError>, tokio::task::JoinError>,
) -> Result<T, String> {
    match done {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}
