//! What happens in the spool directory, whoever does it: another role, E-MailRelay 2.6, a script, a person.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent};

use super::Spool;
use super::control::{FORWARD_REQUEST, SMTP_DISABLED};
use super::error::SpoolError;
use super::id::{MessageId, classify};
use super::inspect::MessageState;

/// Something that has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A message has come, gone, or changed its state.
    Message {
        /// Which.
        id: MessageId,
        /// Where it was; none: not in the spool.
        from: Option<MessageState>,
        /// Where it is now; none: not in the spool.
        to: Option<MessageState>,
    },
    /// A forwarding run takes up its work.
    RequestTaken,
    /// The SMTP server was switched on or off.
    Smtp {
        /// On.
        enabled: bool,
    },
    /// Changes were lost: there were too many at once, or the directory was removed or renamed.
    Lost,
}

/// A watch on the directory. Its descriptor is readable when there is something to [`read`](Self::read).
#[derive(Debug)]
pub struct Watch {
    inotify: Inotify,
    /// The directory is not the spool directory any more.
    over: bool,
    /// The first half of a rename whose second half has not been seen yet.
    moving: Option<(u32, MessageId, MessageState)>,
}

impl Spool {
    /// Watches the directory from now on.
    ///
    /// # Errors
    /// The system has no watch to give.
    pub fn watch(&self) -> Result<Watch, SpoolError> {
        let inotify = watching(&self.shared.path);
        let inotify = inotify.map_err(|errno| SpoolError { action: "watch spool directory", errno })?;
        Ok(Watch { inotify, over: false, moving: None })
    }
}

fn watching(path: &Path) -> Result<Inotify, Errno> {
    let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
    let wanted = AddWatchFlags::IN_CREATE
        | AddWatchFlags::IN_DELETE
        | AddWatchFlags::IN_MOVED_FROM
        | AddWatchFlags::IN_MOVED_TO
        | AddWatchFlags::IN_DELETE_SELF
        | AddWatchFlags::IN_MOVE_SELF
        | AddWatchFlags::IN_ONLYDIR;
    inotify.add_watch(&path.join("."), wanted)?;
    Ok(inotify)
}

impl Watch {
    /// The directory was removed or renamed: another watch is needed for what has come in its place.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// What has happened since the last call, in order; nothing is waited for.
    ///
    /// # Errors
    /// The system does not tell.
    pub fn read(&mut self) -> Result<Vec<Change>, SpoolError> {
        let mut changes = Vec::new();
        loop {
            match self.inotify.read_events() {
                Ok(events) => {
                    for event in events {
                        self.note(&event, &mut changes);
                    }
                }
                Err(Errno::EINTR) => {}
                // The two halves of a rename are put into the queue together.
                Err(Errno::EAGAIN) => {
                    self.moved_away(&mut changes);
                    return Ok(changes);
                }
                Err(errno) => return Err(SpoolError { action: "watch spool directory", errno }),
            }
        }
    }

    fn note(&mut self, event: &InotifyEvent, changes: &mut Vec<Change>) {
        let has = |flag| event.mask.intersects(flag);
        let gone = AddWatchFlags::IN_DELETE_SELF | AddWatchFlags::IN_MOVE_SELF | AddWatchFlags::IN_UNMOUNT;
        self.over |= has(gone);
        if has(gone | AddWatchFlags::IN_Q_OVERFLOW) {
            self.moving = None;
            changes.push(Change::Lost);
            return;
        }
        let name = event.name.as_deref().and_then(|name| name.to_str()).unwrap_or_default();
        let appears = has(AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO);
        match name {
            FORWARD_REQUEST if !appears => changes.push(Change::RequestTaken),
            SMTP_DISABLED => changes.push(Change::Smtp { enabled: !appears }),
            _ => self.note_message(name, event, changes),
        }
    }

    fn note_message(&mut self, name: &str, event: &InotifyEvent, changes: &mut Vec<Change>) {
        let known =
            classify(name).and_then(|(stem, kind)| Some((stem.parse().ok()?, MessageState::of(kind)?)));
        let has = |flag| event.mask.contains(flag);
        let moved =
            self.moving.take_if(|(cookie, ..)| has(AddWatchFlags::IN_MOVED_TO) && *cookie == event.cookie);
        self.moved_away(changes);
        match (known, moved) {
            // Under a name of its own again, as when an edited envelope takes its place.
            (Some((id, to)), Some((_, before, from))) if id == before => {
                changes.push(Change::Message { id, from: Some(from), to: Some(to) });
            }
            (Some((id, state)), None) if has(AddWatchFlags::IN_MOVED_FROM) => {
                self.moving = Some((event.cookie, id, state));
            }
            (Some((id, state)), None) if has(AddWatchFlags::IN_DELETE) => {
                changes.push(Change::Message { id, from: Some(state), to: None });
            }
            // A new text that replaces an envelope moves nothing.
            (Some((_, MessageState::Busy)), None) => {}
            (Some((id, state)), None) => {
                changes.push(Change::Message { id, from: None, to: Some(state) });
            }
            (known, Some((_, before, from))) => {
                changes.push(Change::Message { id: before, from: Some(from), to: None });
                if let Some((id, to)) = known {
                    changes.push(Change::Message { id, from: None, to: Some(to) });
                }
            }
            (None, None) => {}
        }
    }

    /// A rename whose second half did not follow has led out of the directory.
    fn moved_away(&mut self, changes: &mut Vec<Change>) {
        if let Some((_, id, from)) = self.moving.take() {
            changes.push(Change::Message { id, from: Some(from), to: None });
        }
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}
