//! The requests of a session that are answered from the spool. All of it blocks on the disk.

use std::sync::Arc;
use std::time::Duration;

use crate::admin::{Action, Answer, Request, State};
use crate::config::address::Remote;
use crate::forward::Destination;
use crate::log::{self, AdminEvent, Context};
use crate::role::admin::explain;
use crate::spool::{ActionError, Envelope, MessageId, MessageState, Spool};

/// Without a next hop nothing can be sent. Scripts know the text.
pub(super) const NO_NEXT_HOP: &str = "no remote server configured: use --forward-to";

/// Somebody's request, and what it takes to answer it.
pub(super) struct Job {
    pub(super) spool: Arc<Spool>,
    pub(super) context: Context,
    /// Who wants it, for the log.
    pub(super) by: String,
    /// Where messages go whose envelope does not tell.
    pub(super) next_hop: Option<String>,
    /// How long messages are tried.
    pub(super) give_up: Option<Duration>,
}

/// Whether forwarding is asked for as well.
pub(super) fn wants_forwarding(action: Action) -> bool {
    action == Action::Requeue { now: true }
}

impl Job {
    /// Does what is wanted, says so in the log, and answers.
    pub(super) fn carry_out(self, request: Request) -> Answer {
        let by = self.by.clone();
        match request {
            Request::List(state) => match self.spool.name_list(state_of(state)) {
                Ok(names) => Answer::Block(names),
                Err(error) => Answer::Failed(error.to_string()),
            },
            Request::UnfailAll => match self.spool.requeue_failed() {
                Ok(count) => self.done(AdminEvent::Unfailed { count, by }),
                Err(error) => Answer::Failed(error.to_string()),
            },
            Request::Smtp { enable } => {
                let switched = if enable { self.spool.enable_smtp() } else { self.spool.disable_smtp() };
                match switched {
                    Ok(()) => self.done(AdminEvent::SmtpSwitched { enabled: enable, by }),
                    Err(error) => Answer::Failed(error.to_string()),
                }
            }
            Request::Dnsbl(seconds) => match self.spool.stop_dnsbl(seconds) {
                Ok(()) => self.done(AdminEvent::DnsblSwitched { seconds }),
                Err(error) => Answer::Failed(error.to_string()),
            },
            Request::Show { id, header } => self.about(&id, |job, id| job.show(id, header)),
            Request::Explain(id) => self.about(&id, Self::explain),
            Request::Act(action, id) => self.about(&id, |job, id| job.act(action, id)),
            Request::Fail { id, reason } => self.about(&id, |job, id| {
                job.spool.give_up(id, &reason)?;
                Ok(job.did("fail", id))
            }),
            Request::Purge { older } => match self.spool.purge_failed(Duration::from_secs(older)) {
                Ok(purged) => {
                    for id in &purged {
                        self.did("purge", id);
                    }
                    Answer::Lines(vec![format!("{} deleted", purged.len())])
                }
                Err(error) => Answer::Failed(error.to_string()),
            },
            // Answered without the spool.
            Request::Status | Request::Forward => Answer::Done,
        }
    }

    fn done(&self, event: AdminEvent) -> Answer {
        log::emit(&self.context, &event.into());
        Answer::Done
    }

    fn about(
        &self,
        id: &str,
        answer: impl FnOnce(&Self, &MessageId) -> Result<Answer, ActionError>,
    ) -> Answer {
        match id.parse() {
            Ok(id) => answer(self, &id).unwrap_or_else(|error| Answer::Failed(error.to_string())),
            Err(error) => Answer::Failed(format!("{error}")),
        }
    }

    fn act(&self, action: Action, id: &MessageId) -> Result<Answer, ActionError> {
        act(&self.spool, action, id)?;
        Ok(self.did(action.as_str(), id))
    }

    fn did(&self, action: &'static str, id: &MessageId) -> Answer {
        log_action(&self.context, action, id, &self.by);
        Answer::Done
    }

    fn show(&self, id: &MessageId, header: bool) -> Result<Answer, ActionError> {
        self.spool.inspect(id).map(|found| Answer::Lines(explain::show(&found, header)))
    }

    fn explain(&self, id: &MessageId) -> Result<Answer, ActionError> {
        let found = self.spool.inspect(id)?;
        let left_alone = found.envelope.as_ref().ok().and_then(|envelope| self.left_alone(envelope));
        let policy =
            explain::Policy { next_hop: self.next_hop.as_deref(), give_up: self.give_up, left_alone };
        Ok(Answer::Lines(explain::explain(&found, &policy, crate::os::clock::unix_now())))
    }

    /// Until when no forwarder tries the destination of a message.
    fn left_alone(&self, envelope: &Envelope) -> Option<u64> {
        let next_hop = Remote::parse(self.next_hop.as_deref()?, None).ok()?;
        let destination = Destination::of(envelope, &next_hop).ok()?;
        self.spool.troubles().get(&destination.to_string()).map(|trouble| trouble.until)
    }
}

/// Does something with one message, for whoever may want it.
///
/// # Errors
/// See [`ActionError`].
pub(in crate::role) fn act(spool: &Spool, action: Action, id: &MessageId) -> Result<(), ActionError> {
    match action {
        Action::Requeue { .. } => spool.requeue(id),
        Action::Hold => spool.hold(id),
        Action::Release => spool.release(id),
        Action::Delete => spool.delete(id),
    }
}

/// Says in the log what was done with a message, and who did it.
pub(in crate::role) fn log_action(context: &Context, action: &'static str, id: &MessageId, by: &str) {
    let id = id.to_string();
    let context = context.with_message(&id);
    log::emit(&context, &AdminEvent::Action { action, id: Some(id), by: by.to_owned() }.into());
}

fn state_of(state: State) -> MessageState {
    match state {
        State::Ready => MessageState::Ready,
        State::Busy => MessageState::Busy,
        State::Failed => MessageState::Failed,
        State::Held => MessageState::Held,
        State::New => MessageState::New,
    }
}
