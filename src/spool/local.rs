//! Messages for local users, as versions up to 2.4 set them aside: `ID.envelope.local` and `ID.content.local`, apart from what
//! is forwarded under the same id. Nothing of ours writes them; they can be imported.

use std::collections::HashSet;
use std::fs::File;

use nix::errno::Errno;

use super::delivery::{delivered, delivered_line};
use super::disk::Access;
use super::envelope::{AppendStyle, Envelope, MAX_ENVELOPE};
use super::error::{ActionError, PeekError, SpoolError};
use super::id::MessageId;
use super::lock::{open_error, parse_envelope};
use super::mailbox::ContentError;
use super::{Spool, StoreError};

pub(super) const LOCAL_ENVELOPE: &str = ".envelope.local";
const LOCAL_CONTENT: &str = ".content.local";

/// A message that no other importer touches while this value lives. Dropping it leaves it as it is.
#[derive(Debug)]
pub struct LocalMessage<'a> {
    spool: &'a Spool,
    id: MessageId,
    /// The envelope file; holds the lock.
    file: File,
    envelope: Envelope,
    style: AppendStyle,
}

impl Spool {
    /// Messages for local users, oldest first.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn local_messages(&self) -> Result<Vec<MessageId>, SpoolError> {
        let mut found: Vec<MessageId> = Vec::new();
        self.list(None, |name, _| {
            found.extend(name.strip_suffix(LOCAL_ENVELOPE).and_then(|stem| stem.parse().ok()));
        })?;
        found.sort_unstable();
        Ok(found)
    }

    /// Names of content files that lost their envelope: what a killed removal leaves, or somebody who has moved one of the two.
    pub(super) fn lone_local_contents(&self) -> Result<Vec<String>, SpoolError> {
        let (mut contents, mut envelopes) = (Vec::new(), HashSet::new());
        self.list(None, |name, _| {
            if let Some(stem) = name.strip_suffix(LOCAL_CONTENT) {
                contents.push(stem.to_owned());
            } else if let Some(stem) = name.strip_suffix(LOCAL_ENVELOPE) {
                envelopes.insert(stem.to_owned());
            }
        })?;
        contents.retain(|stem| !envelopes.contains(stem));
        Ok(contents.into_iter().map(|stem| format!("{stem}{LOCAL_CONTENT}")).collect())
    }

    /// Takes such a message. None: another importer has it, or it has gone.
    ///
    /// # Errors
    /// The envelope cannot be read.
    pub fn take_local(&self, id: &MessageId) -> Result<Option<LocalMessage<'_>>, PeekError> {
        let disk = &self.shared.disk;
        let name = id.file(LOCAL_ENVELOPE);
        let (file, facts) = match disk.open(&name, Access::Edit) {
            Ok(opened) => opened,
            Err(Errno::ENOENT) => return Ok(None),
            Err(errno) => return Err(open_error(errno)),
        };
        if !disk.try_lock(&file).map_err(PeekError::Io)? {
            return Ok(None);
        }
        // Its last owner may have removed it between our open and our lock.
        if !disk.facts_at(&name).is_ok_and(|now| now.same_file(&facts)) {
            return Ok(None);
        }
        let bytes = disk.read(&file, MAX_ENVELOPE + 1).map_err(PeekError::Io)?;
        let envelope = parse_envelope(&bytes, &facts)?;
        let style = AppendStyle::of(&bytes);
        Ok(Some(LocalMessage { spool: self, id: id.clone(), file, envelope, style }))
    }
}

impl LocalMessage<'_> {
    /// The envelope. Its remote recipients are served by the message of the same id, or have been.
    #[must_use]
    pub fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    /// The local recipients that nobody has been noted for.
    #[must_use]
    pub fn pending(&self) -> Vec<String> {
        let done = delivered(&self.envelope);
        let mut names: Vec<String> = Vec::new();
        for name in &self.envelope.local {
            if !done.contains(name) && !names.contains(name) {
                names.push(name.clone());
            }
        }
        names
    }

    /// Notes, durably, that this recipient has it, so that another attempt leaves them out.
    ///
    /// # Errors
    /// The note could not be written.
    pub fn note_delivered(&self, name: &str) -> Result<(), ActionError> {
        let disk = &self.spool.shared.disk;
        let written = disk.write(&self.file, &self.style.append(&[delivered_line(name)]));
        written.and_then(|()| disk.sync_file(&self.file)).map_err(|errno| ActionError::Io {
            action: "write the envelope of",
            id: self.id.clone(),
            errno,
        })
    }

    /// The content, open for reading at its start.
    ///
    /// # Errors
    /// It is gone, or cannot be opened.
    pub fn content(&self) -> Result<File, ContentError> {
        let opened = self.spool.shared.disk.open(&self.id.file(LOCAL_CONTENT), Access::Read);
        opened.map(|(file, _)| file).map_err(ContentError::of)
    }

    /// Removes it, durably: it is where it had to go.
    ///
    /// # Errors
    /// A file could not be removed. Without its envelope nobody will import it again.
    pub fn remove(self) -> Result<(), ActionError> {
        let disk = &self.spool.shared.disk;
        for (suffix, action) in [(LOCAL_ENVELOPE, "delete"), (LOCAL_CONTENT, "delete the content of")] {
            match disk.unlink(&self.id.file(suffix)) {
                Ok(()) | Err(Errno::ENOENT) => {}
                Err(errno) => return Err(ActionError::Io { action, id: self.id.clone(), errno }),
            }
        }
        self.spool.shared.committer.directory_changed();
        self.spool.flush().map_err(|error: StoreError| ActionError::Sync(error))
    }
}
