//! What a client is told that waits until its message has been sent on (`--immediate`): the next hop's reply, as far as one reply
//! can say it.
//!
//! | what happened | answer |
//! |---|---|
//! | 2xx to the final dot, for all recipients or for some | accepted |
//! | MAIL, DATA, or the content refused | code and text of that reply |
//! | recipients refused, all by 5xx | 550 and the first text |
//! | recipients refused, any by 4xx | 451 and the first text of a 4xx |
//! | 421 in place of such a reply | 421 and its text; for a recipient 451 |
//! | refused by ourselves before MAIL | its code, or 554, and the reason |
//! | no connection, no login, no TLS; connection lost, no reply, nonsense | `452 forwarding failed` |
//! | no reply to the final dot, with `--in-doubt fail` | 554: the client is not to send it again either |
//!
//! With [`Policy::compat26`] the texts and codes are those of E-MailRelay 2.6, which had one code for all recipients.

use crate::forward::outcome::{ALL_REJECTED, InDoubt, Policy, SOME_REJECTED};
use crate::net::client::{Answered, Broken};
use crate::smtp::client::{
    Fault, FaultKind, LocalRefusal, MessageResult, Outcome, Recipient, RecipientResult, Reply, Stage,
};

/// Code of an answer that has no better one.
const CODE: u16 = 452;

/// Code of the answer when recipients were refused for good.
const REFUSED: u16 = 550;

/// Code of the answer when recipients were refused for now.
const REFUSED_FOR_NOW: u16 = 451;

/// Code for what we refuse ourselves.
const NOT_SENDABLE: u16 = 554;

/// Longest text, so that the line stays within that of a reply (RFC 5321 section 4.5.3.1.5).
const MAX_TEXT: usize = 500;

/// The answer when nothing was decided about the message.
pub const FAILED: Plain = Plain(CODE, "forwarding failed");

/// The answer when a filter was to find the next hop, and failed.
pub const ROUTING_FAILED: Plain = Plain(CODE, "routing failed");

/// The answer, with `--in-doubt fail`, when the next hop may have the message.
const MAY_HAVE_IT: Plain = Plain(NOT_SENDABLE, "forwarding failed: the message may have been delivered");

/// The answer of 2.6 to a message that the next hop is not able to take.
const LOCAL_COMPAT: Plain = Plain(CODE, "failed");

/// An answer that is always the same.
#[derive(Clone, Copy, Debug)]
pub struct Plain(u16, &'static str);

/// What a client is told of its message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is taken.
    Accepted,
    /// It is not, and remains the client's.
    Refused {
        /// 400 to 599.
        code: u16,
        /// One line.
        text: String,
    },
}

impl Answer {
    /// A refusal. A code that is none becomes 452: what we do not understand is temporary.
    #[must_use]
    pub fn refused(code: u16, text: &str) -> Self {
        let code = if (400..600).contains(&code) { code } else { CODE };
        let mut text = text.replace(['\r', '\n'], " ");
        let cut = (0..=MAX_TEXT.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(cut);
        Self::Refused { code, text }
    }
}

impl From<Plain> for Answer {
    fn from(Plain(code, text): Plain) -> Self {
        Self::refused(code, text)
    }
}

impl From<&Reply> for Answer {
    fn from(reply: &Reply) -> Self {
        Self::refused(reply.code, reply.reason())
    }
}

/// The answer after an attempt.
pub(crate) fn of(sent: &Result<Answered, Broken>, policy: Policy) -> Answer {
    match sent {
        Ok(Answered { result, .. }) => of_message(result, policy),
        Err(Broken::Fault(fault)) => of_fault(fault, policy),
        Err(Broken::Content(_)) => FAILED.into(),
    }
}

/// The answer to what was decided about a message.
#[must_use]
pub fn of_message(result: &MessageResult, policy: Policy) -> Answer {
    let refused = |recipient: &Recipient| matches!(recipient.result, RecipientResult::Refused(_));
    let some_refused = result.recipients.iter().any(refused);
    match &result.outcome {
        // compat: a client that tries again sends to those who have it.
        Outcome::Sent(_) if policy.compat26 && some_refused => Answer::refused(CODE, SOME_REJECTED),
        // Those who were refused are ours to deal with: the others would get the message again.
        Outcome::Sent(_) => Answer::Accepted,
        Outcome::SomeRefused if policy.compat26 => Answer::refused(CODE, SOME_REJECTED),
        Outcome::AllRefused if policy.compat26 => Answer::refused(CODE, ALL_REJECTED),
        Outcome::SomeRefused | Outcome::AllRefused => of_recipients(result),
        Outcome::DataRefused(_) if policy.compat26 => FAILED.into(),
        Outcome::MailRefused(reply) | Outcome::DataRefused(reply) | Outcome::ContentRefused(reply) => {
            reply.into()
        }
        Outcome::Local(_) if policy.compat26 => LOCAL_COMPAT.into(),
        Outcome::Local(refusal) => of_local(refusal),
    }
}

/// The answer to the end of a session.
#[must_use]
pub fn of_fault(fault: &Fault, policy: Policy) -> Answer {
    match &fault.kind {
        FaultKind::UnexpectedResponse(reply) if !reply.is_positive() && !policy.compat26 => {
            match fault.stage {
                Stage::Recipients => Answer::refused(REFUSED_FOR_NOW, reply.reason()),
                Stage::Mail | Stage::Data | Stage::Content | Stage::FinalReply => reply.into(),
                Stage::Greeting | Stage::Hello | Stage::Auth | Stage::Idle => FAILED.into(),
            }
        }
        // compat: 2.6 took 421 for a refusal like any other.
        FaultKind::UnexpectedResponse(reply) if reply.is_closing() => match fault.stage {
            Stage::Mail | Stage::Content | Stage::FinalReply => reply.into(),
            Stage::Recipients => Answer::refused(CODE, SOME_REJECTED),
            Stage::Data | Stage::Greeting | Stage::Hello | Stage::Auth | Stage::Idle => FAILED.into(),
        },
        // Another attempt, whoever makes it, could be the second delivery.
        _ if fault.in_doubt() && policy.in_doubt == InDoubt::Fail && !policy.compat26 => MAY_HAVE_IT.into(),
        _ => FAILED.into(),
    }
}

fn of_local(refusal: &LocalRefusal) -> Answer {
    Answer::refused(refusal.code().unwrap_or(NOT_SENDABLE), &refusal.to_string())
}

fn of_recipients(result: &MessageResult) -> Answer {
    let refusals = || {
        result.recipients.iter().filter_map(|recipient| match &recipient.result {
            RecipientResult::Refused(reply) => Some(reply),
            RecipientResult::Accepted | RecipientResult::NotTried => None,
        })
    };
    match (refusals().find(|reply| reply.is_temporary()), refusals().next()) {
        (Some(reply), _) => Answer::refused(REFUSED_FOR_NOW, reply.reason()),
        (None, Some(reply)) => Answer::refused(REFUSED, reply.reason()),
        // Not said of any recipient: nothing is known.
        (None, None) => FAILED.into(),
    }
}

#[cfg(test)]
mod tests;
