//! The spool as the place where messages go.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;

use crate::log::{self, Context, ServerEvent};
use crate::spool::{
    self, CopyStyle, Folders, MessageId, NewMessage, Spool, SpoolConfig, Stage, StoreError, xtext,
};

use super::compose::Envelope;
use super::fault::Fault;
use super::store::{Draft, Store, StoreFault};

/// What the envelope says about the client, as there is none.
const CLIENT: &str = "127.0.0.1";
/// An empty `AUTH=` value (RFC 4954 section 5).
const NO_AUTH: &str = "<>";

/// The name of a content file, and what is logged of it.
type Copied = (String, Option<ServerEvent>);

/// An open spool directory.
pub(super) struct SpoolStore {
    spool: Arc<Spool>,
    /// Messages go into its sub-directories (`--copy`).
    copy: bool,
}

/// A message in a spool directory.
pub(super) struct SpoolDraft {
    message: NewMessage,
    /// What is logged when it is stored.
    record: Option<ServerEvent>,
}

impl SpoolStore {
    /// Opens a spool directory.
    ///
    /// # Errors
    /// When it is not there or may not be used.
    pub(super) fn open(directory: &Path, copy: bool) -> Result<Self, StoreFault> {
        match Spool::open(directory, SpoolConfig::default()) {
            Ok(spool) => Ok(Self { spool, copy }),
            Err(error) => Err(StoreFault::Temporary(error.to_string())),
        }
    }

    /// Asks for a forwarding run.
    ///
    /// # Errors
    /// When the caller may not.
    pub(super) fn flush(&self) -> Result<(), Fault> {
        self.spool.request_forward().map_err(|error| StoreFault::Temporary(error.to_string()).into())
    }

    /// The spool itself, to look at.
    pub(super) fn spool(&self) -> &Spool {
        &self.spool
    }

    /// Files can be made in it.
    pub(super) fn is_writable(&self) -> bool {
        self.spool.writable()
    }

    /// What is wrong with the directory already, if anything.
    pub(super) fn warning(&self) -> Option<String> {
        let path = self.spool.path().display();
        (!self.spool.writable()).then(|| format!("directory not writable: \"{path}\""))
    }
}

impl Store for SpoolStore {
    type Draft = SpoolDraft;

    fn create(&self, _: &Envelope) -> Result<SpoolDraft, StoreFault> {
        let id = self.spool.next_id();
        match self.spool.create(&id) {
            Ok(message) => Ok(SpoolDraft { message, record: None }),
            Err(error) => {
                let path = self.spool.path().join(id.to_string());
                Err(fault(&format!("cannot write content file {}", path.display()), &error))
            }
        }
    }

    fn commit(&self, drafts: Vec<SpoolDraft>, stored: &mut dyn FnMut(&str)) -> Result<(), StoreFault> {
        let (copied, drafts) = if self.copy { self.copy(drafts)? } else { (Vec::new(), drafts) };
        for (name, record) in copied {
            log_stored(record);
            stored(&name);
        }
        let commits: Vec<_> = drafts.into_iter().map(SpoolDraft::commit).collect();
        let mut result = Ok(());
        for (name, record, outcome) in commits {
            match outcome.recv().unwrap_or(Err(StoreError::Closed)) {
                Ok(_) => {
                    log_stored(record);
                    stored(&name);
                }
                Err(error) => result = result.and(Err(fault("cannot store", &error))),
            }
        }
        result
    }

    fn request_forward(&self) {
        // The forwarder's timer finds the message in any case.
        let _ = self.spool.request_forward();
    }
}

impl SpoolStore {
    /// Delivers the messages to all sub-directories: the content stays here, where POP finds it, the envelope does not.
    /// Gives the names of the contents, and the messages back if there are no sub-directories. All are delivered
    /// to all of them, or none to any.
    fn copy(&self, drafts: Vec<SpoolDraft>) -> Result<(Vec<Copied>, Vec<SpoolDraft>), StoreFault> {
        let failed = |error: &dyn std::fmt::Display| StoreFault::Temporary(error.to_string());
        let style = CopyStyle { envelope_only: true, ..CopyStyle::default() };
        let mut staged = Vec::with_capacity(drafts.len());
        for draft in drafts {
            let original =
                self.spool.original(draft.message.id(), Stage::New).map_err(|error| failed(&error))?;
            let copies = original.copy(Folders::All, style).map_err(|error| failed(&error))?;
            staged.push((draft, original, copies));
        }
        if staged.iter().all(|(_, _, copies)| copies.to.is_empty()) {
            return Ok((Vec::new(), staged.into_iter().map(|(draft, _, _)| draft).collect()));
        }
        let mut published = Vec::with_capacity(staged.len());
        for (draft, original, copies) in staged {
            match copies.publish() {
                Ok(copies) => published.push((draft, original, copies)),
                Err(error) => {
                    published.into_iter().for_each(|(_, _, copies)| copies.undo());
                    return Err(failed(&error));
                }
            }
        }
        let mut names = Vec::with_capacity(published.len());
        for (mut draft, original, _) in published {
            names.push((draft.content_name(), draft.record.take()));
            draft.message.leave();
            // An envelope that stays here is one more delivery.
            original.remove(true).map_err(|error| failed(&error))?;
        }
        self.spool.flush().map_err(|error| failed(&error))?;
        Ok((names, Vec::new()))
    }
}

impl SpoolDraft {
    /// The name of its content file.
    fn content_name(&self) -> String {
        let path = self.message.content_path();
        path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// Starts the commit; its outcome comes from the spool's own thread.
    fn commit(mut self) -> (String, Option<ServerEvent>, mpsc::Receiver<Result<MessageId, StoreError>>) {
        let (name, record) = (self.content_name(), self.record.take());
        let (sender, outcome) = mpsc::channel();
        self.message.commit(move |result| {
            // The receiver waits for it below, or the program is ending.
            let _ = sender.send(result);
        });
        (name, record, outcome)
    }
}

impl Draft for SpoolDraft {
    fn append(&mut self, bytes: &[u8]) -> Result<(), StoreFault> {
        let result = self.message.append(bytes);
        result.map_err(|error| {
            fault(&format!("cannot write content file {}", self.message.content_path().display()), &error)
        })
    }

    fn write_envelope(&mut self, envelope: &Envelope) -> Result<(), StoreFault> {
        self.record = Some(ServerEvent::Stored {
            id: self.message.id().to_string(),
            from: envelope.sender.clone(),
            to: envelope.recipients.clone(),
            size: self.message.size(),
            // As the SMTP role calls a process of this machine.
            client: format!("/uid={}", nix::unistd::getuid()),
            user: None,
        });
        let result = self.message.write_envelope(&spool_envelope(envelope));
        result.map_err(|error| {
            fault(&format!("cannot write envelope file: {}", self.message.envelope_path().display()), &error)
        })
    }
}

/// As the SMTP role does, so that the log has the whole way of a message.
fn log_stored(record: Option<ServerEvent>) {
    if let Some(record) = record {
        log::emit(&Context::default(), &record.into());
    }
}

fn fault(what: &str, error: &StoreError) -> StoreFault {
    match error {
        StoreError::EnvelopeTooLarge => StoreFault::EnvelopeSize,
        error => StoreFault::Temporary(format!("message store error: {what}: {error}")),
    }
}

fn spool_envelope(envelope: &Envelope) -> spool::Envelope {
    spool::Envelope {
        sender: envelope.sender.clone(),
        remote: envelope.recipients.clone(),
        authentication: xtext::encode(&envelope.authentication),
        client: CLIENT.to_owned(),
        mail_auth_in: auth_value(envelope.mail_auth_in.as_deref()),
        mail_auth_out: auth_value(envelope.mail_auth_out.as_deref()),
        utf8_mailboxes: envelope.utf8_mailboxes,
        ..spool::Envelope::default()
    }
}

fn auth_value(value: Option<&[u8]>) -> String {
    match value {
        None => String::new(),
        Some([]) => NO_AUTH.to_owned(),
        Some(value) => xtext::encode(value),
    }
}
