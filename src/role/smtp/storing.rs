//! The end of a message: stored, filtered, and, where its client waits for that, sent on.

use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

use super::filtering::{self, Done, Filtering};
use super::session::{OpenMessage, Store, write_out};
use crate::filter::Chain;
use crate::filter::Undo;
use crate::forward::answer;
use crate::log::{self, Event, ServerEvent, SpoolEvent};
use crate::net::address::Endpoint;
use crate::smtp::server::{Answer, Refusal, Transaction};
use crate::spool::{Envelope, LockedMessage, MessageId, StoreError};

impl Store<'_> {
    /// All of a message is there.
    pub(super) async fn commit(&mut self, transaction: Transaction) -> Answer {
        self.checker.reset();
        let Some(message) = self.message.take() else {
            return self.refuse("", &StoreError::Incomplete);
        };
        let wanted = message.id.to_string();
        let stored = Stored::of(&transaction);
        let certificate = self.secured.as_ref().and_then(|secured| secured.certificate.as_deref());
        let envelope = envelope(transaction, self.peer, certificate);
        // What has no remote recipients has no next hop either.
        let at_once = self.line.is_some() && !envelope.remote.is_empty();
        let done = match self.filters.clone() {
            Some(chain) => self.filter(chain, message, envelope, at_once).await,
            None => self.store(message, envelope, at_once).await,
        };
        match done {
            Done::Stored(id) => {
                log::emit(&self.context, &stored.event(&id, self.peer));
                if self.peer.user().is_some() { Answer::StoredAs(id.to_string()) } else { Answer::Stored }
            }
            Done::Locked(message) => {
                log::emit(&self.context, &stored.event(message.id(), self.peer));
                self.send_on(*message).await
            }
            Done::Taken => Answer::Stored,
            Done::Refused(refusal) => Answer::Refused(refusal),
            Done::Failed(error) => self.refuse(&wanted, &error),
        }
    }

    /// Without filters. Only the outcome is waited for, which wakes the session once.
    async fn store(&self, message: OpenMessage, envelope: Envelope, at_once: bool) -> Done {
        let (done, finished) = oneshot::channel();
        let (role, spool) = (Arc::clone(self.role), Arc::clone(&self.role.spool));
        let context = self.context.clone();
        // After a panic, which the runtime reports, there is no outcome.
        drop(spawn_blocking(move || match write_out(&spool, message, &envelope) {
            Ok(message) => {
                log::emit(&context, &ServerEvent::EnvelopeFile { id: message.id().to_string() }.into());
                filtering::commit(role, message, at_once, Undo::nothing(), done);
            }
            // The session may have been cut off at the end of the stop timeout.
            Err(error) => drop(done.send(Done::Failed(error))),
        }));
        finished.await.unwrap_or(Done::Failed(StoreError::Incomplete))
    }

    async fn filter(
        &self,
        chain: Arc<Chain>,
        message: OpenMessage,
        envelope: Envelope,
        at_once: bool,
    ) -> Done {
        let (role, context) = (Arc::clone(self.role), self.context.clone());
        let finished = filtering::start(Filtering { role, chain, context, message, envelope, at_once });
        finished.await.unwrap_or(Done::Failed(StoreError::Incomplete))
    }

    /// The client waits for what the next hop says.
    async fn send_on(&mut self, message: LockedMessage) -> Answer {
        // Only asked where there is a line; dropped, the message is one like any other in the spool.
        let Some(line) = &mut self.line else { return Answer::Stored };
        match line.send(message, Arc::clone(&self.seat)).await {
            answer::Answer::Accepted => Answer::Stored,
            answer::Answer::Refused { code, text } => Answer::Refused(Refusal::new(code, text)),
        }
    }

    /// The peer gets the reply's general text; the cause goes to the log.
    pub(super) fn refuse(&self, id: &str, error: &StoreError) -> Answer {
        if let StoreError::Sync { name, errno } = error {
            let path = self.role.spool.path().join(name).display().to_string();
            let event = SpoolEvent::SyncFailed { path, reason: errno.desc().to_lowercase() };
            log::emit(&self.context, &event.into());
        }
        self.emit(ServerEvent::ProcessingFailed { id: id.to_owned(), reason: error.to_string() });
        let (code, text) = error.refusal();
        Answer::Refused(Refusal::new(code, text))
    }
}

/// What the log says of a stored message.
struct Stored {
    from: String,
    to: Vec<String>,
    size: u64,
    user: Option<String>,
}

impl Stored {
    fn of(transaction: &Transaction) -> Self {
        Self {
            from: transaction.sender.clone(),
            to: transaction.local.iter().chain(&transaction.remote).cloned().collect(),
            size: transaction.size,
            user: Some(&transaction.authentication).filter(|user| !user.is_empty()).cloned(),
        }
    }

    fn event(self, id: &MessageId, peer: &Endpoint) -> Event {
        let Self { from, to, size, user } = self;
        ServerEvent::Stored { id: id.to_string(), from, to, size, client: peer.host(), user }.into()
    }
}

fn envelope(transaction: Transaction, peer: &Endpoint, certificate: Option<&str>) -> Envelope {
    Envelope {
        body: transaction.body,
        sender: transaction.sender,
        local: transaction.local,
        remote: transaction.remote,
        authentication: transaction.authentication,
        client: peer.host(),
        client_certificate: certificate.unwrap_or_default().trim_end().to_owned(),
        mail_auth_in: transaction.mail_auth.unwrap_or_default(),
        utf8_mailboxes: transaction.utf8_mailboxes,
        ..Envelope::default()
    }
}
