//! The spool directory: every file of every message, and the only code that touches them.
//!
//! A message is two plain files, in the formats of E-MailRelay 2.6: `ID.content` holds header and body, `ID.envelope`
//! tells sender and recipients. The suffix of the envelope is the state. Programs share a spool with no other means
//! than these files; each state has one owner, who alone moves the message on.
//!
//! # States
//!
//! C is `ID.content`, N `ID.envelope.new`, E `ID.envelope`, B `ID.envelope.busy`, X `ID.envelope.bad`,
//! H `ID.envelope.hold`, T `ID.envelope.busy.tmp`. Files in brackets are open and locked by the owner.
//!
//! | State | Files | Owner | Moves on by | A crash leaves, and then |
//! |---|---|---|---|---|
//! | receiving | \[C\] | [`NewMessage`] | append; `write_envelope` → complete; discard → gone | C: never acknowledged; the sweep removes it |
//! | complete | \[C\] N | [`NewMessage`] | `hold` → filtering; `commit` → committing; discard → gone | C N: never acknowledged; the sweep removes N, then C |
//! | filtering | \[C\] \[N\] | [`NewMessage`], and filters as they like | `reopen` → committing, X, or left to the filter; `refuse` → gone | C N, or what a filter has made of them: as before, and never acknowledged |
//! | committing | \[C\] N, both synced | commit thread | rename N → E; failure → gone | C N, or C E if the rename was made: not yet acknowledged, either is right |
//! | visible | C E, directory not synced | commit thread | directory sync → ready, **then** the sender is told; failure → gone | C E: ready, and forwarded although never acknowledged |
//! | visible to us alone | C \[B\], directory not synced | commit thread, for a message that its receiver sends on itself | directory sync → locked, **then** its receiver is told; failure → gone | C B: as locked, although never acknowledged |
//! | ready | C E | nobody | [`Spool::lock`]: open E, lock it, rename E → B; [`Spool::hold`]: rename E → H; [`Spool::delete`]: lock E, remove E, then C | C E: ready; C: the sweep removes it |
//! | locked | C \[B\] | [`LockedMessage`] | `sent`, `retry`, `fail`, `unlock`, `keep_remote`; `set_aside`: makes another message, as X, for some recipients, then edits | C B: the kernel drops the lock; [`Spool::recover`] renames B → E |
//! | editing | C \[B\] \[T\] | [`LockedMessage`] | T written and synced, rename T → B: locked, new text | C B T: recovered with the old text; the sweep removes T |
//! | sent | C | [`LockedMessage`] | remove B, then remove C if nobody else needs it → gone, or shared | C: the sweep removes it, unless it is shared |
//! | bad | C X | nobody, then an administrator | reason appended to B, rename B → X; [`Spool::requeue`]: a line appended that lets it start afresh, X → E; [`Spool::hold`]: X → H; [`Spool::delete`]: lock X, remove X, then C; [`FailedMessage`]: lock X, then the same, or a line appended | C X: bad, the last reason perhaps cut; C: the sweep removes it |
//! | held | C H | nobody, then an administrator | [`Spool::release`], [`Spool::requeue`]: the same line, H → E; [`Spool::delete`]: lock H, remove H, then C | C H: held, however long; C: the sweep removes it |
//!
//! A power cut differs from a crash in what was not yet synced. Accepting syncs C, N and the directory before the
//! sender is told, so an acknowledged message is in `ready` or later. An edit syncs T before the rename, so an envelope
//! never becomes empty. All other moves are synced behind the caller's back: a power cut may take them back, and the
//! message is then sent once more, never not at all.
//!
//! Rules that make this hold:
//! - the envelope goes first and the content last when a message is removed, so content without envelope means nothing;
//! - a file is created exclusively, and renamed never over another, except T over B by the owner of both;
//! - a lock (`F_OFD_SETLK`) is taken before the file gets the name that others would take it by;
//! - what is not a regular file is never opened for its text, and no link is followed.
//!
//! What an administrator does is durable before it is acknowledged. To make a ready message due now is an edit like any
//! other: it is locked, edited, and put back.
//!
//! # Mailboxes
//!
//! POP serves ready messages: those of the spool directory itself, or of a sub-directory, where each envelope has its
//! content beside it or in the spool directory, shared with other mailboxes. Removing the name E is what decides between a
//! POP session and everybody else: whoever removes or renames it has the message. Content goes only after its envelope,
//! and only when no envelope of its name is left in any state that needs it, here or in any sub-directory, whoever removes the
//! message. See [`Mailbox`].
//!
//! A message is delivered into mailboxes by copies ([`Original`]). D is such a copy of the envelope, in any number of
//! mailboxes, with its content beside it or shared:
//!
//! | State | Files | Owner | Moves on by | A crash leaves, and then |
//! |---|---|---|---|---|
//! | staged | C N, in mailboxes \[N\] and C, or a file in a maildir's `tmp` | [`Copies`] | `publish` → published; dropped → gone | the same: the sweep removes the copies |
//! | published | C N or C B, and D | [`Published`] | original removed, or committed as it is; `undo` → gone | some of D, each whole; the original as before |
//! | shared | C, and D elsewhere | nobody | the last D goes: see [`Mailbox`]. The original may be on its way all the while (`copy:pop;nodelete`) | C: kept by the sweep while there is a D |
//!
//! Everything else in the directory is left alone, but for the control files (`control`) and write probes. Messages that versions up to
//! 2.4 set aside for local users are imported only when an administrator wants it ([`LocalMessage`]).

mod aside;
mod check;
mod commit;
mod committed;
mod content_edit;
mod control;
mod delivery;
mod disk;
mod edited;
mod envelope;
mod error;
mod failed;
mod filtered;
mod finish;
mod health;
mod id;
mod inspect;
mod local;
mod lock;
mod mailbox;
mod needs;
mod new_message;
mod operate;
mod recover;
mod revive;
mod scan;
mod sweep;
#[cfg(test)]
pub(crate) mod tests;
mod trouble;
mod watch;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::errno::Errno;

use crate::os::clock::unix_time;
pub use crate::smtp::Body;
pub use check::{Problem, ProblemKind};
use commit::Committer;
pub use committed::Committed;
pub use content_edit::ContentEdit;
pub use control::FORWARD_REQUEST;
pub use delivery::{
    Copies, CopyStyle, DeliveryDir, DeliveryError, Folders, InvalidMailbox, KeptParts, MailboxName, Original,
    Parts, Published, Stage,
};
use disk::{Disk, RealDisk};
pub use edited::Reloaded;
pub use envelope::{
    Attempt, Envelope, EnvelopeError, FailNote, InDoubt, Interrupted, InvalidAddress, MAX_ENVELOPE,
    MAX_NEW_ENVELOPE, MAX_RECIPIENTS, Notice, Rejected, RetryNote, RetryState, xtext,
};
pub use error::{
    ActionError, EditError, FinishError, LockError, OpenError, PeekError, SpoolError, Stamp, StoreError,
    Unsendable,
};
pub use failed::FailedMessage;
pub use filtered::{Left, Ruling, Spoilt};
use health::Health;
use id::Ids;
pub use id::{InvalidId, MessageId};
pub use inspect::{Inspection, Listed, MessageState};
pub use local::LocalMessage;
pub use lock::{LockedMessage, Peeked};
pub use mailbox::{ContentError, Held, Mailbox, MailboxError, Removal};
pub use new_message::NewMessage;
pub use recover::Recovery;
pub use scan::{Counts, Waiting};
pub use sweep::{Fate, Orphan, SweepMode};
pub use trouble::{MAX_TROUBLES, Trouble};
pub use watch::{Change, Watch};

/// What "stored" means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Synced to the disk: survives a power cut.
    #[default]
    Full,
    /// Handed to the kernel: survives the death of our process only. As E-MailRelay 2.6.
    None,
}

/// How a spool is used.
#[derive(Clone, Copy, Debug)]
pub struct SpoolConfig {
    /// What "stored" means.
    pub durability: Durability,
    /// Bytes that must stay free: messages are refused when they would go below.
    pub reserve: u64,
    /// Starts writing a file out without waiting. Called for both files of a message before the first is waited for.
    /// Does nothing by default.
    pub writeback: fn(&File),
}

impl Default for SpoolConfig {
    fn default() -> Self {
        Self { durability: Durability::Full, reserve: 0, writeback: |_| {} }
    }
}

/// A spool directory. All methods may block on the disk unless they say otherwise.
pub struct Spool {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Spool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Spool").field(&self.shared.path).finish()
    }
}

/// What the parts of a spool have in common; messages keep it alive.
struct Shared {
    path: PathBuf,
    disk: Arc<dyn Disk>,
    durability: Durability,
    reserve: u64,
    writeback: fn(&File),
    ids: Ids,
    health: Health,
    committer: Committer,
    /// Envelopes of locked messages that filters of our own have replaced.
    edited: delivery::Edited,
    /// The list of ready messages that sessions at the same time have in common.
    snapshot: mailbox::Snapshot,
    /// What mailboxes need.
    needs: needs::Needs,
    /// What administrators have asked for last.
    name_lists: scan::NameLists,
}

impl Spool {
    /// Opens the directory, probes whether files can be made in it (see [`writable`](Self::writable)), and starts the
    /// commit thread.
    ///
    /// # Errors
    /// It is not there, is no directory, or may not be read.
    pub fn open(directory: &Path, config: SpoolConfig) -> Result<Arc<Self>, OpenError> {
        let failed = |errno| OpenError { path: directory.to_owned(), errno };
        let disk = RealDisk::open(directory).map_err(failed)?;
        Self::with_disk(Arc::new(disk), directory, config).map_err(failed)
    }

    fn with_disk(disk: Arc<dyn Disk>, directory: &Path, config: SpoolConfig) -> Result<Arc<Self>, Errno> {
        let shared = Shared {
            path: directory.to_owned(),
            durability: config.durability,
            reserve: config.reserve,
            writeback: config.writeback,
            ids: Ids::new(),
            health: Health::probe(&*disk),
            committer: Committer::start(Arc::clone(&disk), &config)?,
            edited: delivery::Edited::default(),
            snapshot: mailbox::Snapshot::default(),
            needs: needs::Needs::default(),
            name_lists: scan::NameLists::default(),
            disk,
        };
        Ok(Arc::new(Self { shared: Arc::new(shared) }))
    }

    /// Path of the directory, as configured.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// The last probe could make a file. If not, the warning is `directory not writable: "<path>"`.
    #[must_use]
    pub fn writable(&self) -> bool {
        self.shared.health.writable()
    }

    /// A new id. Never blocks. It is not reserved: [`create`](Self::create) may have to take another one.
    #[must_use]
    pub fn next_id(&self) -> MessageId {
        self.shared.ids.next()
    }

    /// What [`check`](Self::check) would say, if that is known without a look at the disk. Never blocks.
    #[must_use]
    pub fn known_to_take(&self, declared: Option<u64>) -> Option<Result<(), StoreError>> {
        self.shared.health.known(self.shared.reserve.saturating_add(declared.unwrap_or(0)))
    }

    /// Whether a message of this size could be stored, the reserve left free. Blocking, but mostly from memory: free space is asked
    /// for once a second, and a directory that could not be written is probed again after 10 seconds.
    ///
    /// # Errors
    /// [`StoreError::Full`] or [`StoreError::Directory`].
    pub fn check(&self, declared: Option<u64>) -> Result<(), StoreError> {
        let needed = self.shared.reserve.saturating_add(declared.unwrap_or(0));
        self.shared.health.check(&*self.shared.disk, needed)
    }

    /// Starts a message with this id, or the next free one: see [`NewMessage::id`].
    ///
    /// # Errors
    /// The disk is full, or the directory cannot be written.
    pub fn create(&self, id: &MessageId) -> Result<NewMessage, StoreError> {
        NewMessage::create(&self.shared, id)
    }

    /// Waits until all changes made so far are durable, removals and renames included.
    ///
    /// # Errors
    /// The directory could not be synced.
    pub fn flush(&self) -> Result<(), StoreError> {
        self.shared.committer.flush()
    }
}
