//! Recipients that a next hop has refused for good, while others of the same message wait.

use crate::forward::engine::{Engine, lock};
use crate::forward::finish::{delivery, fail_note, reply_text};
use crate::forward::outcome::Failure;
use crate::log::{self, Delivery, ForwardEvent, SpoolEvent};
use crate::spool::LockedMessage;

/// Sets them aside as a failed message of their own, and gives back what is left of the failure. Blocking.
///
/// Not where a message is for all of its recipients or for none. If it cannot be done they wait with the others, and are refused again.
pub(super) fn set_aside(
    engine: &Engine,
    message: &mut LockedMessage,
    size: u64,
    mut failure: Failure,
    relay: &str,
) -> Failure {
    let refused = failure.refused().filter(|_| engine.config().client.forward_to_some);
    let Some(refused) = refused else { return failure };
    let addresses: Vec<String> = refused.rejected.iter().map(|rejection| rejection.address.clone()).collect();
    let context = engine.context().with_message(&message.id().to_string());
    match message.set_aside(&addresses, &fail_note(&refused, relay)) {
        Ok(None) => {}
        Ok(Some(part)) => {
            let part = part.to_string();
            let record = Delivery {
                id: part.clone(),
                to: addresses.clone(),
                ..delivery(message, size, relay, reply_text(&refused))
            };
            let id = message.id().to_string();
            log::emit(&context, &ForwardEvent::SetAside { id, part: part.clone(), to: addresses }.into());
            log::emit(&engine.context().with_message(&part), &ForwardEvent::Failed(record).into());
            lock(&engine.tally).failed();
            failure.rejected.retain(|rejection| !rejection.reply.is_permanent());
        }
        Err(error) => log::emit(&context, &SpoolEvent::StoreFailed { reason: error.to_string() }.into()),
    }
    failure
}
