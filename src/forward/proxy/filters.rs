//! The client filters of a message whose client waits.

use std::sync::Arc;

use tokio::task::spawn_blocking;

use super::line::STOPPED;
use crate::filter::{Chain, Failure as Refusal, Position};
use crate::forward::answer::{self, Answer};
use crate::forward::engine::Engine;
use crate::forward::examine::{self, Judged};
use crate::forward::finish;
use crate::forward::outcome::{Disposition, Failure};
use crate::spool::{LockedMessage, Reloaded};

/// Code of a refusal by a filter that gave none.
const CODE: u16 = 452;

/// What the filters leave to do.
pub(super) enum Filtered {
    /// The message is to be sent.
    Passed(LockedMessage),
    /// It has been dealt with.
    Settled(Answer),
    /// By a bug it was put back by its guard.
    Lost,
    /// It is not to be sent.
    Refused { message: LockedMessage, disposition: Disposition, answer: Answer, reason: String },
}

/// Takes a message through the filters, if there are any. That a filter wants no further message in a run is nothing to us.
pub(super) async fn pass(engine: &Arc<Engine>, message: LockedMessage) -> Filtered {
    let Some(chain) = engine.config().filters.clone() else { return Filtered::Passed(message) };
    let mut message = match unshare(engine, &chain, message).await {
        Ok(message) => message,
        Err(filtered) => return filtered,
    };
    loop {
        let position = examine::position(&message);
        let outcome = chain.run(&examine::job(engine, position, &message)).await;
        if engine.cut.is_cancelled() {
            drop(outcome.prepared);
            return fault(message, STOPPED);
        }
        let worker = Arc::clone(engine);
        let decided =
            spawn_blocking(move || decide(&worker, position, examine::judge(&worker, message, outcome)));
        match decided.await {
            // A filter that took the routing text away has left the message for the client filters.
            Ok(Filtered::Passed(passed))
                if position == Position::Routing && passed.envelope().forward_to.is_empty() =>
            {
                message = passed;
            }
            Ok(filtered) => return filtered,
            // The runtime reports the panic; the message is put back by its guard.
            Err(_) => return Filtered::Lost,
        }
    }
}

async fn unshare(
    engine: &Arc<Engine>,
    chain: &Arc<Chain>,
    mut message: LockedMessage,
) -> Result<LockedMessage, Filtered> {
    let (worker, chain) = (Arc::clone(engine), Arc::clone(chain));
    let unshared = spawn_blocking(move || (examine::unshare(&worker, &chain, &mut message), message));
    match unshared.await {
        Ok((true, message)) => Ok(message),
        Ok((false, message)) => Err(fault(message, "cannot copy content file")),
        // As above.
        Err(_) => Err(Filtered::Lost),
    }
}

/// Blocking.
fn decide(engine: &Engine, position: Position, judged: Judged) -> Filtered {
    match judged {
        Judged::Passed(message) if !message.envelope().remote.is_empty() => Filtered::Passed(message),
        // What the filters have left alone, or left nobody to send to, stays where it is.
        Judged::Passed(message) | Judged::Abandoned(message) => stays(engine, message),
        Judged::Gone => Filtered::Settled(Answer::Accepted),
        Judged::Refused(message, failure) => refused(engine, position, message, failure),
        Judged::Unsendable(message, reason) => {
            let failure = Failure { reason: reason.clone(), ..Failure::default() };
            let disposition = Disposition::Permanent(failure);
            Filtered::Refused { message, disposition, answer: answer::FAILED.into(), reason }
        }
        Judged::Trouble(message, error) => {
            let reason = error.map_or_else(|| "failed".to_owned(), |error| error.to_string());
            fault(message, &reason)
        }
    }
}

fn stays(engine: &Engine, mut message: LockedMessage) -> Filtered {
    if !matches!(message.reload(), Ok(Reloaded::Gone)) {
        finish::unlock(engine, message);
    }
    Filtered::Settled(Answer::Accepted)
}

fn refused(engine: &Engine, position: Position, mut message: LockedMessage, failure: Refusal) -> Filtered {
    let answer = answer_of(engine, position, &failure);
    if matches!(message.reload(), Ok(Reloaded::Gone)) {
        return Filtered::Settled(answer);
    }
    let reason = failure.reason.clone();
    Filtered::Refused { message, disposition: examine::verdict(engine, position, failure), answer, reason }
}

/// What the client hears. compat: 2.6 drops the code.
fn answer_of(engine: &Engine, position: Position, failure: &Refusal) -> Answer {
    let compat26 = engine.config().policy.compat26;
    match (position, failure.code) {
        (Position::Routing, _) if !failure.about_next_hop || compat26 => answer::ROUTING_FAILED.into(),
        (_, Some(code)) if !compat26 => Answer::refused(code, &failure.response),
        _ => Answer::refused(CODE, &failure.response),
    }
}

/// The message is not to blame.
fn fault(message: LockedMessage, reason: &str) -> Filtered {
    let reason = reason.to_owned();
    let disposition = Disposition::SessionFault { text: reason.clone() };
    Filtered::Refused { message, disposition, answer: answer::FAILED.into(), reason }
}
