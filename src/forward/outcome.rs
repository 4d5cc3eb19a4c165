//! What a message's result, or the fault of a session, means for the message: the one place where replies are judged.
//!
//! | what happened | disposition |
//! |---|---|
//! | 2xx to the final dot, all recipients accepted | sent |
//! | 2xx to the final dot, some recipients refused | sent to some: only the refused stay |
//! | 5xx to MAIL, DATA or the final dot; local refusal | permanent |
//! | 4xx to MAIL, DATA or the final dot; 1xx or 3xx to the final dot | temporary |
//! | recipients refused, none may be left out | permanent if any 5xx, else temporary; all recipients stay |
//! | recipients refused, all of them | temporary if any 4xx, else permanent |
//! | recipients refused by 5xx, and others wait | some may be left out: those leave the message as one that has failed, see [`Failure::refused`] |
//! | connection lost, timeout, nonsense after MAIL | temporary |
//! | the same after the final dot | temporary and in doubt: the server may have the message |
//! | 421 after MAIL | temporary: a message that makes a server close must not stand before all others for ever |
//! | any fault before MAIL | session fault: the message is not touched |
//! | the content file has changed its size under a transfer | session fault |
//!
//! A refused BDAT chunk is judged like a refused final dot, and the last chunk (`BDAT n LAST`) is the final dot.
//!
//! What cannot be judged is temporary: mail is never lost to a wrong guess. With [`Policy::compat26`] all that is temporary
//! here is final, and the message in hand is blamed for faults of the session, as E-MailRelay 2.6 does; but also then no recipient
//! that was not served leaves the envelope.

use crate::smtp::client::{
    Fault, FaultKind, MessageResult, Outcome, Recipient, RecipientResult, Reply, Stage,
};

/// Choices of the configuration that change a judgement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Judge as E-MailRelay 2.6 did, with its reason texts.
    pub compat26: bool,
    /// What to do with a message that the server may or may not have.
    pub in_doubt: InDoubt,
}

/// What to do with a message whose final dot was sent and not answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InDoubt {
    /// Send it again: it may arrive twice, never not at all.
    #[default]
    Retry,
    /// Set it aside for a person to decide: it may never arrive.
    Fail,
}

/// What is to become of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// All recipients are served: delete it.
    Sent,
    /// Some recipients are served. Those that are not stay in the envelope, and it is retried or set aside.
    SentSome {
        /// Recipients that were not served, in the order of the envelope.
        remaining: Vec<String>,
        /// True if a later attempt can serve any of them.
        retry: bool,
        /// Why they were not.
        failure: Failure,
    },
    /// Set it aside with the reason.
    Permanent(Failure),
    /// Put it back with the reason and try again later.
    Temporary(Failure),
    /// Put it back as it was; the destination is in trouble.
    SessionFault {
        /// The cause, for the log.
        text: String,
    },
}

/// Why a message was not, or not wholly, sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failure {
    /// The reason; lines of a longer reply are separated by newlines.
    pub reason: String,
    /// The reply code behind the reason, if a reply is behind it.
    pub code: Option<u16>,
    /// The server may have the message.
    pub in_doubt: bool,
    /// Each refused recipient with the server's reply.
    pub rejected: Vec<Rejection>,
}

impl Failure {
    /// Why the recipients fail that were refused for good, whatever becomes of the others: no later attempt may name them again (RFC
    /// 5321 section 4.2.1), and their failure must be told (section 6.1). None if there are none.
    #[must_use]
    pub fn refused(&self) -> Option<Self> {
        let refused = self.rejected.iter().filter(|rejection| rejection.reply.is_permanent());
        let rejected: Vec<Rejection> = refused.cloned().collect();
        let code = rejected.first()?.reply.code;
        Some(Self { reason: ALL_REJECTED.to_owned(), code: Some(code), in_doubt: false, rejected })
    }
}

/// A recipient that the server refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The address.
    pub address: String,
    /// The reply to its RCPT.
    pub reply: Reply,
}

/// Reason when some recipients were refused.
pub const SOME_REJECTED: &str = "one or more recipients rejected";

/// Reason when all recipients were refused and the accepted ones would have been served.
pub const ALL_REJECTED: &str = "all recipients rejected";

/// Judges the result of a message.
pub fn of_message(result: MessageResult, policy: Policy) -> Disposition {
    let remaining = unserved(&result.recipients);
    let refusals = Refusals::of(result.recipients);
    match result.outcome {
        Outcome::Sent(_) if remaining.is_empty() => Disposition::Sent,
        Outcome::Sent(_) => {
            let retry = refusals.any_temporary() && !policy.compat26;
            let code = if policy.compat26 { None } else { refusals.code(retry) };
            let failure = refusals.failure(SOME_REJECTED, code);
            Disposition::SentSome { remaining, retry, failure }
        }
        Outcome::SomeRefused => {
            let retry = !refusals.any_permanent();
            refusals.disposition(SOME_REJECTED, retry, result.reset_code, policy)
        }
        Outcome::AllRefused => {
            let retry = refusals.any_temporary();
            refusals.disposition(ALL_REJECTED, retry, result.reset_code, policy)
        }
        // 2.6 took this for a broken session and ended the run. The reason is kept, the end of the run is not.
        Outcome::DataRefused(reply) if policy.compat26 => {
            let text = FaultKind::UnexpectedResponse(reply).compat26_text();
            Disposition::Permanent(refusals.failure(&text, None))
        }
        Outcome::MailRefused(reply) | Outcome::DataRefused(reply) | Outcome::ContentRefused(reply) => {
            let failure = refusals.failure(reply.reason(), Some(reply.code));
            final_or_not(failure, reply.is_permanent() || policy.compat26)
        }
        Outcome::Local(refusal) => {
            Disposition::Permanent(refusals.failure(&refusal.to_string(), refusal.code()))
        }
    }
}

/// Judges a fault for the message in hand: the one being sent, or, before MAIL, the one the session was opened for.
pub fn of_fault(fault: &Fault, policy: Policy) -> Disposition {
    let text = fault.to_string();
    if fault.stage == Stage::Idle || matches!(fault.kind, FaultKind::ContentSize(_)) {
        return Disposition::SessionFault { text };
    }
    if policy.compat26 {
        return Disposition::Permanent(compat26_failure(fault));
    }
    if fault.stage < Stage::Mail {
        return Disposition::SessionFault { text };
    }
    let code = match &fault.kind {
        FaultKind::UnexpectedResponse(reply) => Some(reply.code),
        _ => None,
    };
    let failure = Failure { reason: text, code, in_doubt: fault.in_doubt(), rejected: Vec::new() };
    let set_aside = fault.in_doubt() && policy.in_doubt == InDoubt::Fail;
    final_or_not(failure, set_aside)
}

/// 2.6 had no notion of 421: it was a refusal of whatever was asked for.
fn compat26_failure(fault: &Fault) -> Failure {
    let (reason, code) = match (&fault.kind, fault.stage) {
        (FaultKind::UnexpectedResponse(reply), Stage::Mail) if reply.is_closing() => {
            (reply.reason().to_owned(), Some(reply.code))
        }
        (FaultKind::UnexpectedResponse(reply), Stage::Recipients) if reply.is_closing() => {
            (SOME_REJECTED.to_owned(), None)
        }
        (kind, _) => (kind.compat26_text(), None),
    };
    Failure { reason, code, in_doubt: fault.in_doubt(), rejected: Vec::new() }
}

fn final_or_not(failure: Failure, is_final: bool) -> Disposition {
    if is_final { Disposition::Permanent(failure) } else { Disposition::Temporary(failure) }
}

fn unserved(recipients: &[Recipient]) -> Vec<String> {
    let refused = recipients.iter().filter(|recipient| recipient.result != RecipientResult::Accepted);
    refused.map(|recipient| recipient.address.clone()).collect()
}

/// The refused recipients of a message.
struct Refusals(Vec<Rejection>);

impl Refusals {
    fn of(recipients: Vec<Recipient>) -> Self {
        let refused = recipients.into_iter().filter_map(|recipient| match recipient.result {
            RecipientResult::Refused(reply) => Some(Rejection { address: recipient.address, reply }),
            RecipientResult::Accepted | RecipientResult::NotTried => None,
        });
        Self(refused.collect())
    }

    fn any_permanent(&self) -> bool {
        self.0.iter().any(|rejection| rejection.reply.is_permanent())
    }

    fn any_temporary(&self) -> bool {
        self.0.iter().any(|rejection| rejection.reply.is_temporary())
    }

    /// The code that decided: the first 4xx for a retry, else the first 5xx, which is the worst.
    fn code(&self, retry: bool) -> Option<u16> {
        let decided = |rejection: &&Rejection| rejection.reply.is_temporary() == retry;
        let rejection = self.0.iter().find(decided).or(self.0.first())?;
        Some(rejection.reply.code)
    }

    fn failure(self, reason: &str, code: Option<u16>) -> Failure {
        Failure { reason: reason.to_owned(), code, in_doubt: false, rejected: self.0 }
    }

    /// Nobody was served. 2.6 gave the code of the reply to RSET, normally 250, for that of the refusal.
    fn disposition(self, reason: &str, retry: bool, reset_code: Option<u16>, policy: Policy) -> Disposition {
        let code = if policy.compat26 { reset_code } else { self.code(retry) };
        final_or_not(self.failure(reason, code), !retry || policy.compat26)
    }
}

#[cfg(test)]
mod tests;
