//! The count of messages that a run waits for.

use std::sync::Arc;

use tokio::runtime::Handle;

use crate::forward::engine::Engine;
use crate::forward::filtering::Passed;
use crate::spool::MessageId;

/// A message in a run. Who holds it deals with the message; dropping it takes the message out of the run, in whatever
/// way that comes about, so that no run waits for a message that nobody has.
#[derive(Debug)]
pub(crate) struct Ticket {
    engine: Arc<Engine>,
    id: MessageId,
    /// The message itself, if it has passed filters and waits for a connection.
    passed: Option<Box<Passed>>,
}

impl Ticket {
    /// None if the message is in the run already.
    pub(crate) fn draw(engine: &Arc<Engine>, id: MessageId) -> Option<Self> {
        engine.enter(&id).then(|| Self { engine: Arc::clone(engine), id, passed: None })
    }

    /// The same with a message that has passed the filters.
    pub(crate) fn with(mut self, passed: Passed) -> Self {
        self.passed = Some(Box::new(passed));
        self
    }

    /// The message, if it has passed filters. Its place among those that wait is free again when that is dropped.
    pub(crate) fn take_passed(&mut self) -> Option<Passed> {
        self.passed.take().map(|passed| *passed)
    }

    pub(crate) fn id(&self) -> &MessageId {
        &self.id
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let Some(passed) = self.passed.take() else { return self.engine.done_with(&self.id) };
        let (engine, id) = (Arc::clone(&self.engine), self.id.clone());
        let put_back = move || {
            // Unlocked before the run may end without it.
            drop(passed);
            engine.done_with(&id);
        };
        // To put a message back is work for the disk, and whoever drops a ticket is not prepared to wait for that.
        match Handle::try_current() {
            Ok(_) => drop(self.engine.workers.spawn_blocking(put_back)),
            Err(_) => put_back(),
        }
    }
}
