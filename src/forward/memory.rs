//! What forwarders tell each other about destinations in trouble.
//!
//! A process that forwards once and ends would knock at a dead server each time it is started. It notes in the spool
//! directory which destinations are to be left alone, and the next one begins with that. When somebody removes the notes,
//! as administrators do who want an attempt now, a process that is there already forgets what it knows as well.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::task::spawn_blocking;

use crate::forward::backoff::DestinationBackoff;
use crate::forward::destination::Destination;
use crate::forward::engine::{Engine, lock};
use crate::log::{self, SpoolEvent};
use crate::os::clock::unix_now;
use crate::spool::Trouble;

/// Notes: destinations by name.
type Troubles = BTreeMap<String, Trouble>;

/// The notes as this process last saw them.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    troubles: Troubles,
    /// There was a file when we last looked.
    noted: bool,
}

impl Engine {
    /// What is to be believed of a destination that this process has not tried yet.
    pub(super) fn recalled(&self, destination: &Destination) -> DestinationBackoff {
        let unknown = DestinationBackoff::new(0);
        match lock(&self.memory).troubles.get(&destination.to_string()) {
            Some(trouble) => {
                unknown.restored(trouble.failures, trouble.until, unix_now(), self.config().schedule)
            }
            None => unknown,
        }
    }

    /// Forgets all back-off, for all forwarders: somebody wants an attempt now.
    pub(super) async fn forget_troubles(self: &Arc<Self>) {
        for lane in lock(&self.lanes).values() {
            lane.try_again();
        }
        if self.config().remembers {
            let engine = Arc::clone(self);
            // A panic has been reported by the runtime.
            let _ = spawn_blocking(move || {
                let _noting = lock(&engine.noting);
                *lock(&engine.memory) = Memory::default();
                engine.tell_unless_done(engine.spool.forget_troubles());
            })
            .await;
        }
    }

    /// Takes what others have noted and adds what this process has learnt.
    pub(super) async fn compare_notes(self: &Arc<Self>) {
        if self.config().remembers {
            let engine = Arc::clone(self);
            // A panic has been reported by the runtime.
            let _ = spawn_blocking(move || engine.update_notes()).await;
        }
    }

    fn update_notes(&self) {
        // The disk may take its time; of what is in memory everybody wants to know.
        let _noting = lock(&self.noting);
        let found = self.spool.troubles();
        let troubles = self.merged(&found);
        // A file that makes no sense is worth nothing either.
        if troubles != found || troubles.is_empty() {
            self.tell_unless_done(self.spool.note_troubles(&troubles));
        }
    }

    /// What others have noted and what this process has learnt.
    fn merged(&self, found: &Troubles) -> Troubles {
        let (now, max) = (unix_now(), self.config().schedule.max.as_secs());
        let mut memory = lock(&self.memory);
        let lanes = lock(&self.lanes);
        if memory.noted && found.is_empty() {
            lanes.values().for_each(|lane| lane.try_again());
        }
        let mut troubles = found.clone();
        // The count of failures is worth something for as long as the longest wait.
        troubles.retain(|_, trouble| trouble.until.saturating_add(max) > now);
        for (destination, lane) in lanes.iter() {
            match lane.news() {
                Some(Some(trouble)) => drop(troubles.insert(destination.to_string(), trouble)),
                Some(None) => drop(troubles.remove(&destination.to_string())),
                None => {}
            }
        }
        *memory = Memory { noted: !troubles.is_empty(), troubles: troubles.clone() };
        troubles
    }

    fn tell_unless_done(&self, done: Result<(), crate::spool::SpoolError>) {
        if let Err(error) = done {
            log::emit(&self.context(), &SpoolEvent::StoreFailed { reason: error.to_string() }.into());
        }
    }
}
