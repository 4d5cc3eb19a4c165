//! `emailrelay-queue import-local`: messages that versions up to 2.4 have set aside for local users.
//!
//! Each is removed only when it is, durably, wherever it had to go. A crash before that delivers it once more, never not at
//! all; a command that has served some of the users is noted in the file, and not run for these again.

use std::fs::File;
use std::io::{self, Read};

use super::act::{Done, Fault};
use super::options::Target;
use super::out::Output;
use super::{BUSY, DATA, Run, SYSTEM};
use crate::role::pipe::{self, Input, PipeFault};
use crate::role::store;
use crate::role::words::complain;
use crate::spool::{
    ContentError, CopyStyle, DeliveryDir, DeliveryError, Envelope, InvalidAddress, LocalMessage, MessageId,
    NewMessage, OpenError, PeekError, Stage, StoreError,
};

/// Bytes copied at a time.
const CHUNK: usize = 256 * 1024;

/// A message stays as it is.
#[derive(Debug, thiserror::Error)]
enum ImportFault {
    #[error("another program is importing it")]
    Busy,
    #[error("it has no local recipients")]
    Nobody,
    #[error("cannot open content: {0}")]
    Content(#[from] ContentError),
    #[error("cannot read content: {}", crate::os::reason(.0))]
    Read(#[from] io::Error),
    #[error(transparent)]
    Address(#[from] InvalidAddress),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Peek(#[from] PeekError),
    #[error(transparent)]
    Deliver(#[from] DeliveryError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Command(#[from] PipeFault),
    #[error(transparent)]
    Other(#[from] Fault),
}

impl ImportFault {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Busy => BUSY,
            Self::Nobody | Self::Address(_) | Self::Peek(_) | Self::Deliver(DeliveryError::Name(_)) => DATA,
            Self::Content(ContentError::Gone) => DATA,
            Self::Other(fault) => fault.exit_code(),
            Self::Content(_) | Self::Read(_) | Self::Open(_) | Self::Deliver(_) | Self::Store(_) => SYSTEM,
            Self::Command(_) => SYSTEM,
        }
    }
}

impl Run<'_> {
    /// Imports them all, oldest first.
    pub(super) fn import(&self) -> u8 {
        let ids = match self.spool.local_messages() {
            Ok(ids) => ids,
            Err(error) => return self.fatal(&error),
        };
        let mut out = Output::new(self.options.json, "{\"command\":\"import-local\",\"results\":[");
        let (mut code, mut queued) = (0, false);
        for id in ids {
            let outcome = self.import_one(&id);
            let id = id.to_string();
            let failed = outcome.as_ref().err().map_or(0, ImportFault::exit_code);
            code = code.max(failed);
            queued |= failed == 0;
            match outcome {
                Ok(to) => {
                    let done = !self.options.dry_run;
                    let item = Done { id: &id, done, busy: false, error: None, to: Some(&to) };
                    out.item(&item, || self.told(&id, &to));
                }
                Err(fault) => {
                    let (to, error) = (Vec::new(), Some(fault.to_string()));
                    let item = Done { id: &id, done: false, busy: failed == BUSY, error, to: Some(&to) };
                    if self.options.json {
                        out.item(&item, String::new);
                    } else {
                        out.flush();
                        complain(self.program, &format!("{}: {fault}", id.escape_debug()));
                    }
                }
            }
        }
        if queued
            && !self.options.dry_run
            && matches!(self.options.target, Target::Address(_) | Target::Domain(_))
        {
            // The forwarder's timer finds them in any case.
            let _ = self.spool.request_forward();
        }
        out.finish();
        code
    }

    fn told(&self, id: &str, to: &[String]) -> String {
        let names = to.join(", ");
        let (id, names) = (id.escape_debug(), names.escape_debug());
        match (self.options.dry_run, self.options.verbose) {
            (true, _) => format!("{id}: would go to {names}\n"),
            (false, true) => format!("{id}: has gone to {names}\n"),
            (false, false) => String::new(),
        }
    }

    /// Gives those who have it then.
    fn import_one(&self, id: &MessageId) -> Result<Vec<String>, ImportFault> {
        let message = self.spool.take_local(id)?.ok_or(ImportFault::Busy)?;
        let names = message.pending();
        let to: Vec<String> = match &self.options.target {
            Target::Address(address) => vec![address.clone()],
            Target::Domain(domain) => names.iter().map(|name| format!("{name}@{domain}")).collect(),
            Target::Mailboxes(_) | Target::Command(_) => names,
        };
        if to.is_empty() {
            return Err(ImportFault::Nobody);
        }
        if self.options.dry_run {
            return Ok(to);
        }
        match &self.options.target {
            Target::Mailboxes(None) => self.deliver(&message, &to, &self.spool.delivery_dir())?,
            Target::Mailboxes(Some(path)) => self.deliver(&message, &to, &DeliveryDir::open(path)?)?,
            Target::Address(_) | Target::Domain(_) => self.requeue(&message, &to)?,
            Target::Command(words) => {
                for name in &to {
                    pipe::run(words, name, Input::File(message.content()?))?;
                    message.note_delivered(name).map_err(Fault::from)?;
                }
            }
        }
        message.remove().map_err(Fault::from)?;
        self.log("import-local", id);
        Ok(to)
    }

    /// Into mailboxes, under an id that is free in all of them: those of old versions come again after eleven days.
    fn deliver(
        &self,
        message: &LocalMessage<'_>,
        names: &[String],
        directory: &DeliveryDir,
    ) -> Result<(), ImportFault> {
        let mut new = self.spool.create(&self.spool.next_id())?;
        copy(message.content()?, &mut new)?;
        new.write_envelope(&Envelope { local: names.to_vec(), remote: Vec::new(), ..plain(message) })?;
        let original = self.spool.original(new.id(), Stage::New)?;
        // What was staged goes away with them; what is published stays, and the original goes with its owner.
        original.deliver(directory, CopyStyle::default())?.publish()?;
        new.discard();
        Ok(())
    }

    /// Into the queue, as a new message.
    fn requeue(&self, message: &LocalMessage<'_>, to: &[String]) -> Result<(), ImportFault> {
        let old = plain(message);
        let utf8_mailboxes = old.utf8_mailboxes || to.iter().any(|address| !address.is_ascii());
        let envelope = Envelope { local: Vec::new(), remote: to.to_vec(), utf8_mailboxes, ..old };
        envelope.check_addresses()?;
        let content = message.content()?;
        store::store(&self.spool, &envelope, |new| copy(content, new))?;
        Ok(())
    }
}

/// What the message of the same id said about forwarding, and what became of it, is not about this one.
fn plain(message: &LocalMessage<'_>) -> Envelope {
    Envelope {
        forward_to: String::new(),
        forward_to_address: String::new(),
        client_account_selector: String::new(),
        trailer: Vec::new(),
        ..message.envelope().clone()
    }
}

fn copy(mut from: File, to: &mut NewMessage) -> Result<(), ImportFault> {
    let mut chunk = vec![0; CHUNK];
    loop {
        match from.read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(count) => to.append(chunk.get(..count).unwrap_or_default())?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
}
