//! What is wrong in a spool directory: a report, and nothing is changed.

use std::time::Duration;

use nix::errno::Errno;

use super::error::{ActionError, SpoolError};
use super::id::{BUSY, MessageId};
use super::inspect::MessageState;
use super::local::LOCAL_ENVELOPE;
use super::recover::is_older;
use super::{Spool, SweepMode};

/// Something that needs attention.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What it is.
    pub kind: ProblemKind,
    /// The message, if the file belongs to one.
    pub id: Option<MessageId>,
    /// Name of the file, below the spool directory.
    pub file: String,
    /// More about it.
    pub detail: String,
}

/// What can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemKind {
    /// A file that belongs to no message.
    Orphan,
    /// A message whose forwarder has died: nobody holds it.
    StaleBusy,
    /// An envelope that cannot be read.
    UnreadableEnvelope,
    /// A message without its content.
    MissingContent,
    /// A message for a local user, set aside by 1.x to 2.4, that nobody reads.
    LocalMessage,
}

impl ProblemKind {
    /// The word in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Orphan => "orphan",
            Self::StaleBusy => "stale-busy",
            Self::UnreadableEnvelope => "unreadable-envelope",
            Self::MissingContent => "missing-content",
            Self::LocalMessage => "local-message",
        }
    }
}

impl Spool {
    /// Looks for files that belong to no message and `.busy` messages that nobody holds, both unchanged for `older_than`, and for
    /// envelopes that cannot be read, messages without content, and those of old versions for local users. Messages that
    /// somebody is at work on are left out.
    ///
    /// # Errors
    /// A directory cannot be read.
    pub fn check_files(&self, older_than: Duration, each: &mut dyn FnMut(Problem)) -> Result<(), SpoolError> {
        for message in self.messages(&MessageState::ALL)? {
            let problem = match message.state {
                MessageState::New => None,
                MessageState::Busy => self.check_busy(&message.id, older_than),
                state => self.check_resting(&message.id, state),
            };
            problem.into_iter().for_each(&mut *each);
        }
        let orphans = self.sweep(older_than, SweepMode::Report)?.into_iter().map(|orphan| orphan.name);
        for file in orphans.chain(self.lone_local_contents()?) {
            // The sweep speaks of them sooner.
            let old = |facts: super::disk::Facts| is_older(facts.changed, older_than);
            if self.shared.disk.facts_at(&file).is_ok_and(old) {
                let kind = ProblemKind::Orphan;
                each(Problem { kind, id: None, file, detail: "belongs to no message".to_owned() });
            }
        }
        for id in self.local_messages()? {
            let detail = "for a local user, set aside by an old version".to_owned();
            let (kind, file) = (ProblemKind::LocalMessage, id.file(LOCAL_ENVELOPE));
            each(Problem { kind, id: Some(id), file, detail });
        }
        Ok(())
    }

    fn check_busy(&self, id: &MessageId, older_than: Duration) -> Option<Problem> {
        let (kind, detail) = match self.stale_for(id, older_than) {
            Ok(Some(age)) => (ProblemKind::StaleBusy, format!("held by nobody for {} s", age.as_secs())),
            Ok(None) | Err(Errno::ENOENT) => return None,
            Err(errno) => (ProblemKind::UnreadableEnvelope, errno.desc().to_lowercase()),
        };
        Some(Problem { kind, id: Some(id.clone()), file: id.file(BUSY), detail })
    }

    fn check_resting(&self, id: &MessageId, state: MessageState) -> Option<Problem> {
        let problem =
            |kind, detail| Problem { kind, id: Some(id.clone()), file: id.file(state.suffix()), detail };
        let found = match self.inspect_in(id, state) {
            Ok(found) => found?,
            Err(ActionError::Io { errno, .. }) => {
                return Some(problem(ProblemKind::UnreadableEnvelope, errno.desc().to_lowercase()));
            }
            Err(error) => return Some(problem(ProblemKind::UnreadableEnvelope, error.to_string())),
        };
        if let Err(fault) = found.envelope {
            return Some(problem(ProblemKind::UnreadableEnvelope, fault));
        }
        // Content goes last: one that has just been sent has no envelope any more.
        let lacks_content = found.size.is_none()
            && matches!(self.inspect_in(id, state), Ok(Some(again)) if again.size.is_none());
        lacks_content.then(|| problem(ProblemKind::MissingContent, "has no content file".to_owned()))
    }
}
