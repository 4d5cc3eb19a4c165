//! Forwarding.

use std::fmt;
use std::time::Duration;

use super::{Fact, Fields, Names};
use crate::log::escape::Peer;
use crate::log::kind::{self, Kind};

/// What became of one message at one next hop.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Delivery {
    /// The message's id.
    pub id: String,
    /// Its return path.
    pub from: String,
    /// The recipients concerned.
    pub to: Vec<String>,
    /// Size of the content, bytes.
    pub size: u64,
    /// Transport address of the next hop; empty if none was reached.
    pub relay: String,
    /// The deciding reply with its code, or what happened instead.
    pub reply: String,
    /// Since the message was stored.
    pub delay: Duration,
}

/// What is logged about the way out.
#[derive(Clone, Debug, PartialEq)]
pub enum ForwardEvent {
    /// A run starts.
    RunStarted {
        /// `startup`, `poll`, `admin`, `client disconnect` and so on.
        reason: String,
    },
    /// It found nothing.
    RunEmpty,
    /// Nothing is left to send.
    RunFinished,
    /// A message is taken up.
    Message {
        /// Its id.
        id: String,
        /// Account selector of its envelope, or empty.
        selector: String,
        /// Next hop of its envelope, or empty.
        forward_to: String,
        /// Resolved next hop of its envelope, or empty.
        forward_to_address: String,
    },
    /// The connection that carries it. Once for each message.
    Connected {
        /// The next hop.
        address: String,
    },
    /// The envelope of a sent message is removed.
    EnvelopeDeleted {
        /// The message's id.
        id: String,
    },
    /// The content of a sent message is removed.
    ContentDeleted {
        /// The message's id.
        id: String,
    },
    /// An envelope becomes `.bad`.
    EnvelopeFailed {
        /// The message's id.
        id: String,
    },
    /// A message without remote recipients.
    NoRecipients {
        /// Its id.
        id: String,
    },
    /// A session ended by an error.
    ClientError {
        /// Why.
        reason: String,
    },
    /// A run ended by an error, and the process goes on.
    RunError {
        /// Why.
        reason: String,
    },
    /// A run could not be started.
    RunFailure {
        /// Why.
        reason: String,
    },
    /// Sent. The record of it.
    Forwarded(Delivery),
    /// Refused for good, or too old.
    Failed(Delivery),
    /// To be tried again.
    Deferred {
        /// What happened.
        delivery: Delivery,
        /// Until the next attempt.
        next: Duration,
    },
    /// Sent, but the reply did not come.
    InDoubt {
        /// The message's id.
        id: String,
        /// The next hop.
        relay: String,
        /// What comes next.
        next: &'static str,
    },
    /// Recipients that were refused for good become a failed message of their own, while the others wait.
    SetAside {
        /// The message's id.
        id: String,
        /// Id of the failed message.
        part: String,
        /// The recipients.
        to: Vec<String>,
    },
    /// Given back to the client that waited for the outcome. The reply is the one that it got.
    HandedBack(Delivery),
    /// A next hop is left alone for a while; no message was touched.
    BackOff {
        /// The next hop.
        address: String,
        /// Why.
        reason: String,
        /// Until the next attempt.
        next: Duration,
    },
}

impl Fact for ForwardEvent {
    fn kind(&self) -> &'static Kind {
        match self {
            ForwardEvent::RunStarted { .. } => kind::RUN_STARTED,
            ForwardEvent::RunEmpty => kind::RUN_EMPTY,
            ForwardEvent::RunFinished => kind::RUN_FINISHED,
            ForwardEvent::Message { .. } => kind::MESSAGE_STARTED,
            ForwardEvent::Connected { .. } => kind::NEXT_HOP_CONNECTED,
            ForwardEvent::EnvelopeDeleted { .. } => kind::ENVELOPE_DELETED,
            ForwardEvent::ContentDeleted { .. } => kind::CONTENT_DELETED,
            ForwardEvent::EnvelopeFailed { .. } => kind::ENVELOPE_FAILED,
            ForwardEvent::NoRecipients { .. } => kind::NO_RECIPIENTS,
            ForwardEvent::ClientError { .. } => kind::CLIENT_ERROR,
            ForwardEvent::RunError { .. } => kind::RUN_ERROR,
            ForwardEvent::RunFailure { .. } => kind::RUN_FAILURE,
            ForwardEvent::Forwarded(_) => kind::FORWARDED,
            ForwardEvent::Failed(_) => kind::FAILED,
            ForwardEvent::Deferred { .. } => kind::DEFERRED,
            ForwardEvent::InDoubt { .. } => kind::IN_DOUBT,
            ForwardEvent::SetAside { .. } => kind::SET_ASIDE,
            ForwardEvent::HandedBack(_) => kind::HANDED_BACK,
            ForwardEvent::BackOff { .. } => kind::BACK_OFF,
        }
    }

    fn fields(&self) -> Fields {
        match self {
            ForwardEvent::RunStarted { reason }
            | ForwardEvent::ClientError { reason }
            | ForwardEvent::RunError { reason }
            | ForwardEvent::RunFailure { reason } => Fields::reason(reason),
            ForwardEvent::EnvelopeDeleted { id }
            | ForwardEvent::ContentDeleted { id }
            | ForwardEvent::EnvelopeFailed { id }
            | ForwardEvent::NoRecipients { id }
            | ForwardEvent::Message { id, .. } => Fields::msgid(id),
            ForwardEvent::Connected { address } => {
                Fields { next_hop: Some(address.clone()), ..Fields::default() }
            }
            ForwardEvent::Forwarded(delivery)
            | ForwardEvent::Failed(delivery)
            | ForwardEvent::HandedBack(delivery)
            | ForwardEvent::Deferred { delivery, .. } => delivery.fields(),
            ForwardEvent::InDoubt { id, relay, .. } => {
                Fields { next_hop: Some(relay.clone()), ..Fields::msgid(id) }
            }
            ForwardEvent::SetAside { id, to, .. } => {
                Fields { rcpts: Some(Fields::join(to)), ..Fields::msgid(id) }
            }
            ForwardEvent::BackOff { address, reason, .. } => {
                Fields { next_hop: Some(address.clone()), ..Fields::reason(reason) }
            }
            ForwardEvent::RunEmpty | ForwardEvent::RunFinished => Fields::default(),
        }
    }
}

impl fmt::Display for ForwardEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ForwardEvent::RunStarted { reason } => write!(f, "forwarding: [{reason}]"),
            ForwardEvent::RunEmpty => f.write_str("forwarding: no messages to send"),
            ForwardEvent::RunFinished => f.write_str("forwarding: no more messages to send"),
            ForwardEvent::Message { id, selector, forward_to, forward_to_address } => {
                write!(f, "forwarding [{id}]")?;
                for (name, value) in [
                    ("selector", selector),
                    ("forward-to", forward_to),
                    ("forward-to-address", forward_to_address),
                ] {
                    if !value.is_empty() {
                        write!(f, " {name}=[{}]", Peer(value))?;
                    }
                }
                Ok(())
            }
            ForwardEvent::Connected { address } => write!(f, "smtp connection to {address}"),
            ForwardEvent::EnvelopeDeleted { id } => write!(f, "deleting envelope [{id}.envelope.busy]"),
            ForwardEvent::ContentDeleted { id } => write!(f, "deleting content [{id}.content]"),
            ForwardEvent::EnvelopeFailed { id } => {
                write!(f, "failing envelope [{id}.envelope.busy] -> [{id}.envelope.bad]")
            }
            ForwardEvent::NoRecipients { id } => {
                write!(f, "forwarding [{id}]: failing message with no remote recipients")
            }
            ForwardEvent::ClientError { reason } => write!(f, "smtp client error: {}", Peer(reason)),
            ForwardEvent::RunError { reason } => write!(f, "forwarding: {}", Peer(reason)),
            ForwardEvent::RunFailure { reason } => write!(f, "forwarding failure: {}", Peer(reason)),
            ForwardEvent::Forwarded(delivery) => {
                write!(f, "message forwarded {delivery}{}", Delay(delivery.delay))
            }
            ForwardEvent::Failed(delivery) => write!(f, "message failed {delivery}"),
            ForwardEvent::Deferred { delivery, next } => {
                write!(
                    f,
                    "message deferred {delivery}{}: next attempt in {}s",
                    Delay(delivery.delay),
                    next.as_secs()
                )
            }
            ForwardEvent::InDoubt { id, relay, next } => {
                write!(f, "message in doubt [{id}]: no reply to its content from {relay}: {next}")
            }
            ForwardEvent::SetAside { id, part, to } => {
                write!(f, "recipients refused [{id}]: to={} set aside as [{part}]", Names(to))
            }
            ForwardEvent::HandedBack(delivery) => write!(f, "message handed back {delivery}"),
            ForwardEvent::BackOff { address, reason, next } => {
                write!(
                    f,
                    "next hop [{address}] unavailable: {}: next attempt in {}s",
                    Peer(reason),
                    next.as_secs()
                )
            }
        }
    }
}

impl Delivery {
    fn fields(&self) -> Fields {
        Fields {
            from: Some(self.from.clone()),
            rcpts: Some(Fields::join(&self.to)),
            size: Some(self.size),
            next_hop: (!self.relay.is_empty()).then(|| self.relay.clone()),
            reply_code: reply_code(&self.reply),
            reason: Some(self.reply.clone()),
            ..Fields::msgid(&self.id)
        }
    }
}

impl fmt::Display for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let relay = if self.relay.is_empty() { "none" } else { &self.relay };
        write!(f, "[{}]: to={} relay={relay} reply=[{}]", self.id, Names(&self.to), Peer(&self.reply))
    }
}

/// ` delay=N.Ns`
struct Delay(Duration);

impl fmt::Display for Delay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, " delay={:.1}s", self.0.as_secs_f64())
    }
}

/// The code that a reply text starts with, RFC 5321 section 4.2.
fn reply_code(reply: &str) -> Option<u16> {
    let (code, rest) = reply.split_at_checked(3)?;
    let separate = rest.is_empty() || rest.starts_with([' ', '-']);
    let digits = code.bytes().all(|byte| byte.is_ascii_digit());
    code.parse().ok().filter(|_| separate && digits)
}
