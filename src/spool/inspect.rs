//! Looking at messages, in whatever state they are; nothing is locked or changed.

use nix::errno::Errno;

use super::Spool;
use super::disk::{Access, Disk, DiskResult, is_not_regular};
use super::envelope::{Envelope, MAX_ENVELOPE, RetryState};
use super::error::{ActionError, SpoolError};
use super::id::{BAD, BUSY, CONTENT, FileKind, HELD, MessageId, NEW, READY};
use super::needs::above;

/// So much of the content is looked at for its header.
const MAX_HEADER: usize = 64 * 1024;
/// The times in ids of 1.x have six digits, and tell nothing.
const OLD_TIMES: u64 = 1_000_000;

/// The state of a message, by the name of its envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MessageState {
    /// Waits to be sent, perhaps for its next attempt.
    Ready,
    /// Being sent.
    Busy,
    /// Failed for good.
    Failed,
    /// Kept back by an administrator.
    Held,
    /// Being received.
    New,
}

impl MessageState {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Ready, Self::Busy, Self::Failed, Self::Held, Self::New];

    pub(super) fn suffix(self) -> &'static str {
        match self {
            Self::New => NEW,
            Self::Ready => READY,
            Self::Busy => BUSY,
            Self::Failed => BAD,
            Self::Held => HELD,
        }
    }

    pub(super) fn of(kind: FileKind) -> Option<Self> {
        match kind {
            FileKind::New => Some(Self::New),
            FileKind::Ready => Some(Self::Ready),
            FileKind::Busy => Some(Self::Busy),
            FileKind::Bad => Some(Self::Failed),
            FileKind::Held => Some(Self::Held),
            FileKind::Content | FileKind::Temporary => None,
        }
    }
}

/// A message as a list has it. Kept small: a hundred thousand take five megabytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The message.
    pub id: MessageId,
    /// Its state when the directory was read.
    pub state: MessageState,
    /// When it came in, in seconds since 1970: from the id, or where that does not tell the time of the envelope's last
    /// write.
    pub since: u64,
}

/// What is known of a message.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// Where it is.
    pub state: MessageState,
    /// When it came in, as for [`Listed::since`].
    pub since: u64,
    /// Its envelope; if it cannot be read, what is wrong with it.
    pub envelope: Result<Envelope, String>,
    /// What earlier attempts left.
    pub retry: RetryState,
    /// Bytes of its content; none if there is no such file.
    pub size: Option<u64>,
    /// The beginning of its content.
    pub head: Vec<u8>,
}

impl Spool {
    /// The messages in these states, oldest first. Reads the directory once and opens nothing.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn messages(&self, states: &[MessageState]) -> Result<Vec<Listed>, SpoolError> {
        let mut found = Vec::new();
        self.each_message(|id, kind| {
            if let Some(state) = MessageState::of(kind).filter(|state| states.contains(state)) {
                found.push(Listed { since: id.seconds().unwrap_or(0), id, state });
            }
        })?;
        for message in found.iter_mut().filter(|message| message.id.order().is_none()) {
            self.look_up_time(message);
        }
        found.sort_unstable_by(|one, other| {
            let seq = |message: &Listed| message.id.order().map_or(0, |(_, seq)| seq);
            let (this, that) = ((one.since, seq(one)), (other.since, seq(other)));
            this.cmp(&that).then_with(|| one.id.cmp(&other.id)).then(one.state.cmp(&other.state))
        });
        // compat: those of 1.x stay in front, by the number that they have.
        for message in found.iter_mut().take_while(|message| message.since < OLD_TIMES) {
            self.look_up_time(message);
        }
        Ok(found)
    }

    /// One that has gone meanwhile is noticed when it is opened.
    fn look_up_time(&self, message: &mut Listed) {
        if let Ok(facts) = self.shared.disk.facts_at(&message.id.file(message.state.suffix())) {
            message.since = facts.modified.as_secs();
        }
    }

    /// Looks at a message in any state, with the beginning of its content.
    ///
    /// # Errors
    /// [`ActionError::NoSuchMessage`], or the system failed us.
    pub fn inspect(&self, id: &MessageId) -> Result<Inspection, ActionError> {
        // Twice, for it may change its state while we look.
        for state in MessageState::ALL.into_iter().chain(MessageState::ALL) {
            if let Some(found) = self.look(id, state, MAX_HEADER)? {
                return Ok(found);
            }
        }
        Err(ActionError::NoSuchMessage)
    }

    /// Looks at a message in this state, without its content; none if it is not there, or not any more.
    ///
    /// # Errors
    /// The system failed us.
    pub fn inspect_in(&self, id: &MessageId, state: MessageState) -> Result<Option<Inspection>, ActionError> {
        self.look(id, state, 0)
    }

    fn look(
        &self,
        id: &MessageId,
        state: MessageState,
        head: usize,
    ) -> Result<Option<Inspection>, ActionError> {
        let disk = &self.shared.disk;
        let failed = |errno| ActionError::Io { action: "read", id: id.clone(), errno };
        let (envelope, modified) = match disk.open(&id.file(state.suffix()), Access::Read) {
            Ok((file, facts)) => {
                let bytes = disk.read(&file, MAX_ENVELOPE + 1).map_err(failed)?;
                (Envelope::parse(&bytes).map_err(|error| error.to_string()), facts.modified.as_secs())
            }
            Err(Errno::ENOENT) => return Ok(None),
            Err(errno) if is_not_regular(errno) => (Err("not a regular file".to_owned()), 0),
            Err(errno) => return Err(failed(errno)),
        };
        let since = id.seconds().filter(|seconds| *seconds >= OLD_TIMES).unwrap_or(modified);
        let retry = envelope.as_ref().map(RetryState::of).unwrap_or_default();
        let (size, head) =
            content(&**disk, id, head).map_or((None, Vec::new()), |(size, head)| (Some(size), head));
        Ok(Some(Inspection { state, since, envelope, retry, size, head }))
    }
}

/// Size and beginning of a message's content, which is here or, in a mailbox, perhaps in the spool directory above.
fn content(disk: &dyn Disk, id: &MessageId, head: usize) -> Option<(u64, Vec<u8>)> {
    let look = |disk: &dyn Disk| -> DiskResult<(u64, Vec<u8>)> {
        if head == 0 {
            let facts = disk.facts_at(&id.file(CONTENT))?;
            return if facts.regular { Ok((facts.size, Vec::new())) } else { Err(Errno::EINVAL) };
        }
        let (file, facts) = disk.open(&id.file(CONTENT), Access::Read)?;
        Ok((facts.size, disk.read(&file, head).unwrap_or_default()))
    };
    match look(disk) {
        Ok(found) => Some(found),
        Err(Errno::ENOENT) => above(disk, id).and_then(|above| look(&*above).ok()),
        Err(_) => None,
    }
}
