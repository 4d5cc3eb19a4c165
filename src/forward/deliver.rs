//! One message: taken from the spool, sent, and finished as the next hop's answer says.

use std::sync::Arc;

use tokio::task::spawn_blocking;

use crate::forward::answer::{self, Answer};
use crate::forward::content::Content;
use crate::forward::engine::{Engine, lock};
use crate::forward::events;
use crate::forward::filtering::Passed;
use crate::forward::finish::{self, Finish};
use crate::forward::lane::Lane;
use crate::forward::outcome::{self, Disposition, Failure};
use crate::forward::take;
use crate::forward::ticket::Ticket;
use crate::log::{self, ForwardEvent, SpoolEvent};
use crate::net::client::{Answered, Broken, Connection};
use crate::net::connect;
use crate::net::stream::Stream;
use crate::smtp::client::{self, MessageResult, Outcome, Outgoing, Stage};
use crate::spool::{ContentError, LockedMessage, MessageId, Unsendable};

/// What a transfer ends with when the program cannot wait for it any longer.
const STOPPED: &str = "shutting down";

/// Why a message is not sent that has been handed on too often (RFC 5321 section 6.3).
const TOO_MANY_HOPS: &str = "too many hops: more than 100 Received lines";

/// A message in hand.
#[derive(Debug)]
pub(crate) struct Job {
    message: LockedMessage,
    ticket: Ticket,
    outgoing: Outgoing,
    content: Content,
}

/// What became of an attempt.
pub(crate) struct Sent {
    pub(crate) finish: Finish,
    /// The server was well until then: it has decided about the message, or the end is none of its doing.
    pub(crate) server_well: bool,
    /// The session did not survive it; its words.
    pub(crate) fault: Option<String>,
    /// The connection had lain idle and turned out to be dead, which is worth no line in the log.
    pub(crate) was_stale: bool,
    /// What a client would be told that waits for the outcome.
    pub(crate) answer: Answer,
}

impl Sent {
    /// The session broke with this message in hand, and the message has to answer for it.
    pub(crate) fn blames_message(&self) -> bool {
        !self.server_well && !self.finish.is_untouched()
    }
}

/// Finishes one message and takes the next, in one visit to the disk. `None`: there is nothing to send on `lane`, because
/// `next` is none, gone, goes elsewhere by now, or is not fit to be sent.
pub(crate) async fn advance(
    engine: &Arc<Engine>,
    lane: &Arc<Lane>,
    done: Option<Finish>,
    next: Option<Ticket>,
) -> Option<Job> {
    if done.is_none() && next.is_none() {
        return None;
    }
    let (worker, lane) = (Arc::clone(engine), Arc::clone(lane));
    let ids = [done.as_ref().map(Finish::id), next.as_ref().map(Ticket::id)].map(Option::<&_>::cloned);
    let advanced = spawn_blocking(move || {
        if let Some(done) = done {
            drop(finish::apply(&worker, done));
        }
        next.and_then(|ticket| take(&worker, &lane, ticket))
    });
    advanced.await.unwrap_or_else(|_| {
        // The runtime reports the panic; the message is unlocked by its guard.
        ids.iter().flatten().for_each(|id| engine.try_later(id));
        None
    })
}

/// Finishes a message whose session has failed. Returns its ticket if nothing at all was done to it.
pub(crate) async fn after_fault(engine: &Arc<Engine>, finish: Finish) -> Option<Ticket> {
    let untouched = finish.is_untouched();
    let worker = Arc::clone(engine);
    // The runtime reports a panic; the message is unlocked by its guard.
    let ticket = spawn_blocking(move || finish::apply(&worker, finish)).await.ok();
    ticket.filter(|_| untouched)
}

/// Locks a message and reads what is needed to send it. Blocking.
fn take(engine: &Arc<Engine>, lane: &Lane, mut ticket: Ticket) -> Option<Job> {
    let message = match ticket.take_passed() {
        Some(Passed { message, place }) => {
            // Another may come in its place.
            drop(place);
            take::fit(engine, message)?
        }
        None => take::take(engine, &ticket)?,
    };
    // The envelope need not name the same destination as when it was listed.
    match engine.destination(message.envelope()) {
        Ok(destination) if destination == *lane.destination() => {}
        Ok(destination) => {
            drop(message);
            engine.queue(ticket, destination);
            return None;
        }
        Err(reason) => {
            finish::fail(engine, message, &take::note(reason));
            return None;
        }
    }
    match load(engine, message, ticket) {
        Ok(job) => Some(job),
        Err(NotLoaded::NotNow(message)) => {
            engine.try_later(message.id());
            None
        }
        Err(NotLoaded::Unsendable(message, reason)) => {
            finish::fail(engine, *message, &take::note(reason));
            None
        }
    }
}

/// Why a message cannot be sent, although it is ours and goes where it should.
#[derive(Debug)]
pub(crate) enum NotLoaded {
    /// There is trouble of our own, which has been logged: no room to note who was served, so that some would get the message again, or
    /// content that cannot be read now.
    NotNow(Box<LockedMessage>),
    /// There is something wrong with it: the reason.
    Unsendable(Box<LockedMessage>, String),
}

/// Gets ready what is needed to send a message. Blocking.
pub(crate) fn load(engine: &Engine, mut message: LockedMessage, ticket: Ticket) -> Result<Job, NotLoaded> {
    let context = engine.context().with_message(&message.id().to_string());
    if engine.config().client.forward_to_some
        && message.envelope().remote.len() > 1
        && let Err(error) = message.reserve_edit()
    {
        log::emit(&context, &SpoolEvent::StoreFailed { reason: error.to_string() }.into());
        return Err(NotLoaded::NotNow(Box::new(message)));
    }
    let content = message.content().and_then(|(file, size)| Ok((Content::open(file, size)?, size)));
    match content {
        Ok((content, _)) if content.is_in_circles() => {
            Err(NotLoaded::Unsendable(Box::new(message), TOO_MANY_HOPS.to_owned()))
        }
        Ok((content, size)) => {
            log::emit(&context, &taken_event(&message));
            lock(&engine.tally).taken();
            let outgoing = outgoing(&message, size);
            Ok(Job { message, ticket, outgoing, content })
        }
        Err(ContentError::Gone) => {
            Err(NotLoaded::Unsendable(Box::new(message), Unsendable::Content.to_string()))
        }
        Err(error @ ContentError::Io(_)) => {
            let reason = format!("{}: {error}", Unsendable::Content);
            log::emit(&context, &SpoolEvent::StoreFailed { reason }.into());
            Err(NotLoaded::NotNow(Box::new(message)))
        }
    }
}

fn taken_event(message: &LockedMessage) -> log::Event {
    let envelope = message.envelope();
    ForwardEvent::Message {
        id: message.id().to_string(),
        selector: envelope.client_account_selector.clone(),
        forward_to: envelope.forward_to.clone(),
        forward_to_address: envelope.forward_to_address.clone(),
    }
    .into()
}

fn outgoing(message: &LockedMessage, size: u64) -> Outgoing {
    let envelope = message.envelope();
    Outgoing {
        sender: envelope.sender.clone(),
        recipients: envelope.remote.clone(),
        body: envelope.body,
        utf8_mailboxes: envelope.utf8_mailboxes,
        size,
        mail_auth_out: envelope.mail_auth_out.clone(),
    }
}

/// Sends a message. `rested` tells that the connection had been idle for a while.
pub(crate) async fn send(
    engine: &Arc<Engine>,
    connection: &mut Connection<Stream>,
    job: Job,
    relay: &str,
    rested: bool,
) -> Sent {
    let Job { message, ticket, outgoing, mut content } = job;
    let size = outgoing.size;
    let config = engine.config();
    let mut trace = trace(engine, Some(message.id()));
    let context = config.context.with_message(&message.id().to_string());
    log::emit(&context, &ForwardEvent::Connected { address: relay.to_owned() }.into());
    let sent = tokio::select! {
        biased;
        sent = connection.send(outgoing, &mut content, &mut trace) => Some(sent),
        () = engine.cut.cancelled() => None,
    };
    let answer = match &sent {
        Some(sent) => answer::of(sent, config.policy),
        None => answer::FAILED.into(),
    };
    let server_well = matches!(sent, Some(Ok(_) | Err(Broken::Content(_))));
    let reply = match &sent {
        Some(Ok(Answered { result: MessageResult { outcome: Outcome::Sent(reply), .. }, .. })) => {
            Some(reply.to_string())
        }
        _ => None,
    };
    let was_stale = rested && matches!(&sent, Some(Err(Broken::Fault(fault))) if fault.stage <= Stage::Mail);
    let (disposition, fault) = match sent {
        Some(Ok(Answered { result, fault })) => {
            (outcome::of_message(result, config.policy), fault.map(|fault| fault.to_string()))
        }
        // Servers drop idle connections, which shows at the next command: the message has nothing to do with it.
        Some(Err(Broken::Fault(fault))) if was_stale => untouched(fault.to_string()),
        Some(Err(Broken::Fault(fault))) => {
            (outcome::of_fault(&fault, config.policy), Some(fault.to_string()))
        }
        // Half a message was sent, so the connection is lost. It is the message that waits, not the destination.
        Some(Err(Broken::Content(error))) => {
            let reason = format!("cannot read content file: {}", crate::os::reason(&error));
            let failure = Failure { reason: reason.clone(), ..Failure::default() };
            (Disposition::Temporary(failure), Some(reason))
        }
        None => match connection.abandon(STOPPED) {
            Some(fault) if fault.in_doubt() => {
                (outcome::of_fault(&fault, config.policy), Some(STOPPED.to_owned()))
            }
            _ => untouched(STOPPED.to_owned()),
        },
    };
    let finish = Finish::new(message, ticket, disposition, relay, size, reply);
    Sent { server_well, finish, fault, was_stale, answer }
}

/// The session is over for a reason of our own; the message goes back as it was.
fn untouched(text: String) -> (Disposition, Option<String>) {
    (Disposition::SessionFault { text: text.clone() }, Some(text))
}

/// Where it is noted that an address was tried in vain while there were others.
pub(crate) fn attempts(engine: &Engine) -> impl FnMut(&connect::Error) + Send + use<> {
    let context = engine.context();
    move |error| log::emit(&context, &events::attempt_failed(error))
}

/// Where the lines of a session with a next hop go.
pub(crate) fn trace(engine: &Engine, id: Option<&MessageId>) -> impl FnMut(client::Event) + Send + use<> {
    let context = match id {
        Some(id) => engine.context().with_message(&id.to_string()),
        None => engine.context(),
    };
    move |event| log::emit(&context, &events::of(&event))
}
