//! The count of messages that a run waits for.

use std::sync::Arc;

use crate::forward::engine::Engine;
use crate::spool::MessageId;

/// A message in a run. Who holds it deals with the message; dropping it takes the message out of the run, in whatever
/// way that comes about, so that no run waits for a message that nobody has.
#[derive(Debug)]
pub(crate) struct Ticket {
    engine: Arc<Engine>,
    id: MessageId,
}

impl Ticket {
    /// None if the message is in the run already.
    pub(crate) fn draw(engine: &Arc<Engine>, id: MessageId) -> Option<Self> {
        engine.enter(&id).then(|| Self { engine: Arc::clone(engine), id })
    }

    pub(crate) fn id(&self) -> &MessageId {
        &self.id
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.engine.done_with(&self.id);
    }
}
