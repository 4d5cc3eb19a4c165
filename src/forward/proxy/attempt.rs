//! One attempt to send a message, from the filters to what the next hop said.

use std::sync::Arc;

use tokio::task::spawn_blocking;

use super::Proxy;
use super::filters::{self, Filtered};
use super::line::{self, Kept};
use crate::forward::answer::{self, Answer};
use crate::forward::deliver::{self, Job, NotLoaded, Sent};
use crate::forward::engine::Engine;
use crate::forward::finish::Finish;
use crate::forward::outcome::{Disposition, Failure};
use crate::forward::ticket::Ticket;
use crate::log::{self, ForwardEvent};
use crate::spool::{LockedMessage, MessageId};

/// What came of an attempt.
pub(super) enum Attempt {
    /// The message has been dealt with: only the answer is left.
    Settled(Answer),
    /// By a bug it was put back by its guard, as a message like any other.
    Lost,
    /// It is decided what is to become of the message.
    Ended {
        finish: Box<Finish>,
        answer: Answer,
        /// What went wrong, if that is more than the answer says.
        fault: Option<String>,
    },
}

/// Sends a message, over the connection that is kept if it goes to the same destination.
pub(super) async fn make(proxy: &Arc<Proxy>, kept: &mut Option<Kept>, message: LockedMessage) -> Attempt {
    let engine = &proxy.engine;
    let message = match filters::pass(engine, message).await {
        Filtered::Passed(message) => message,
        Filtered::Settled(answer) => return Attempt::Settled(answer),
        Filtered::Lost => return Attempt::Lost,
        Filtered::Refused { message, disposition, answer, reason } => {
            return ended(engine, message, disposition, answer, Some(reason));
        }
    };
    let destination = match engine.destination(message.envelope()) {
        Ok(destination) => destination,
        Err(reason) => {
            let failure = Failure { reason: reason.clone(), ..Failure::default() };
            return ended(
                engine,
                message,
                Disposition::Permanent(failure),
                answer::FAILED.into(),
                Some(reason),
            );
        }
    };
    let mut message = message;
    loop {
        if let Some(old) = kept.take() {
            match old.serves(engine, &destination).await {
                true => *kept = Some(old),
                false => old.leave(proxy),
            }
        }
        let rested = kept.is_some();
        if !rested {
            match line::connect(proxy, &destination).await {
                Ok(made) => *kept = Some(made),
                Err(fault) => {
                    report(engine, message.id(), &fault);
                    let disposition = Disposition::SessionFault { text: fault.clone() };
                    return ended(engine, message, disposition, answer::FAILED.into(), Some(fault));
                }
            }
        }
        let Some(hop) = kept else { return Attempt::Lost };
        let job = match load(engine, message).await {
            Ok(job) => job,
            Err(attempt) => return attempt,
        };
        let sent = deliver::send(engine, &mut hop.connection, job, &hop.relay, rested).await;
        if sent.fault.is_some() {
            *kept = None;
        }
        if !sent.was_stale {
            return of(engine, sent);
        }
        // Servers drop idle connections. A new one is not stale, so this happens once.
        message = sent.finish.into_parts().0;
    }
}

fn of(engine: &Engine, sent: Sent) -> Attempt {
    let Sent { finish, fault, answer, .. } = sent;
    if let Some(fault) = &fault {
        report(engine, finish.id(), fault);
    }
    Attempt::Ended { finish: Box::new(finish), answer, fault }
}

/// Gets ready what is needed. A message is on one line only, so there is always a ticket for it.
async fn load(engine: &Arc<Engine>, message: LockedMessage) -> Result<Job, Attempt> {
    let Some(ticket) = Ticket::draw(engine, message.id().clone()) else { return Err(Attempt::Lost) };
    let worker = Arc::clone(engine);
    let loaded = spawn_blocking(move || deliver::load(&worker, message, ticket));
    // The runtime reports a panic; the message is put back by its guard.
    let Ok(loaded) = loaded.await else { return Err(Attempt::Lost) };
    loaded.map_err(|error| {
        let answer = answer::FAILED.into();
        match error {
            NotLoaded::NotNow(message) => {
                let text = "insufficient system storage".to_owned();
                let disposition = Disposition::SessionFault { text: text.clone() };
                ended(engine, *message, disposition, answer, Some(text))
            }
            NotLoaded::Unsendable(message, reason) => {
                let failure = Failure { reason: reason.clone(), ..Failure::default() };
                ended(engine, *message, Disposition::Permanent(failure), answer, Some(reason))
            }
        }
    })
}

/// The end of an attempt that did not get as far as to the next hop's answer.
fn ended(
    engine: &Arc<Engine>,
    mut message: LockedMessage,
    disposition: Disposition,
    answer: Answer,
    fault: Option<String>,
) -> Attempt {
    let Some(ticket) = Ticket::draw(engine, message.id().clone()) else { return Attempt::Lost };
    let size = message.content().map_or(0, |(_, size)| size);
    Attempt::Ended {
        finish: Box::new(Finish::new(message, ticket, disposition, "", size, None)),
        answer,
        fault,
    }
}

fn report(engine: &Engine, id: &MessageId, fault: &str) {
    let context = engine.context().with_message(&id.to_string());
    log::emit(&context, &ForwardEvent::ClientError { reason: fault.to_owned() }.into());
}
