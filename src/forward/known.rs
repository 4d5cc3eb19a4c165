//! What is remembered of messages that wait: a backlog is not read again for every new message.
//!
//! It counts only as long as the envelope is the same file, unchanged since. So nothing that an administrator, an editor or another
//! process does to an envelope goes unnoticed, and what is forgotten costs a look.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::forward::destination::Destination;
use crate::spool::{MessageId, Stamp, Waiting};

/// Messages that are remembered, at about a hundred bytes each. Of a longer backlog the rest is read each time.
const MAX_KNOWN: usize = 100_000;

/// Why a message waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// It is not due before this time in unix seconds.
    Until(u64),
    /// Its destination is left alone.
    For(Arc<Destination>),
}

/// The messages that were found to wait, with the state of the envelope that said so.
#[derive(Debug, Default)]
pub(crate) struct Known {
    messages: HashMap<MessageId, (Stamp, Wait)>,
    /// The destinations that they wait for, each once.
    destinations: HashSet<Arc<Destination>>,
}

impl Known {
    /// What is known of these messages.
    pub(crate) fn of(&self, ids: &[MessageId]) -> Vec<(MessageId, Stamp, Wait)> {
        let known = |id: &MessageId| {
            let (stamp, wait) = self.messages.get(id)?;
            Some((id.clone(), *stamp, wait.clone()))
        };
        ids.iter().filter_map(known).collect()
    }

    pub(crate) fn note(&mut self, id: MessageId, stamp: Stamp, wait: Wait) {
        if self.messages.len() >= MAX_KNOWN && !self.messages.contains_key(&id) {
            return;
        }
        let wait = match wait {
            Wait::For(destination) => match self.destinations.get(&destination) {
                Some(same) => Wait::For(Arc::clone(same)),
                None => {
                    self.destinations.insert(Arc::clone(&destination));
                    Wait::For(destination)
                }
            },
            until @ Wait::Until(_) => until,
        };
        self.messages.insert(id, (stamp, wait));
    }

    /// Forgets those that are gone, so that the memory is that of the directory.
    pub(crate) fn keep_listed(&mut self, waiting: &[Waiting]) {
        if self.messages.len() > waiting.len() {
            let listed: HashSet<&MessageId> = waiting.iter().map(|message| &message.id).collect();
            self.messages.retain(|id, _| listed.contains(id));
            self.messages.shrink_to(waiting.len());
            self.destinations.retain(|destination| Arc::strong_count(destination) > 1);
        }
    }

    /// Forgets everything: all envelopes are to be read, whatever is known of them.
    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::address::Remote;

    fn id(seq: u64) -> MessageId {
        MessageId::new(1, 2, seq)
    }

    fn stamp(inode: u64) -> Stamp {
        Stamp { inode, changed: Duration::from_secs(9), size: 7 }
    }

    fn wait_for_destination() -> Wait {
        let address = Remote::Ip(([192, 0, 2, 1], 25).into());
        Wait::For(Arc::new(Destination { address, selector: String::new() }))
    }

    #[test]
    fn those_that_are_gone_are_forgotten_with_their_destinations() {
        let mut known = Known::default();
        for seq in 1..=3 {
            known.note(id(seq), stamp(seq), wait_for_destination());
        }
        known.note(id(3), stamp(4), Wait::Until(30));
        assert_eq!(known.destinations.len(), 1);
        assert_eq!(known.of(&[id(9), id(3)]), [(id(3), stamp(4), Wait::Until(30))]);
        known.keep_listed(&[Waiting { id: id(3), since: 2 }]);
        assert_eq!((known.messages.len(), known.destinations.len()), (1, 0));
        known.forget();
        assert!(known.of(&[id(3)]).is_empty());
    }

    #[test]
    fn memory_has_an_end() {
        let mut known = Known::default();
        for seq in 0..=MAX_KNOWN as u64 {
            known.note(id(seq), stamp(seq), Wait::Until(30));
        }
        assert_eq!(known.messages.len(), MAX_KNOWN);
        known.note(id(0), stamp(77), Wait::Until(40));
        assert_eq!(known.of(&[id(0), id(MAX_KNOWN as u64)]), [(id(0), stamp(77), Wait::Until(40))]);
    }
}
