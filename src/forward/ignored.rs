//! Envelopes that cannot be used, each reported once for every state that it is seen in.

use std::collections::{HashMap, HashSet};

use crate::spool::{MessageId, Stamp, Waiting};

/// What has been reported.
#[derive(Debug, Default)]
pub(crate) struct Ignored(HashMap<MessageId, (Option<Stamp>, String)>);

impl Ignored {
    /// Notes a complaint; false if it has been made about the same state of the file. `stamp` is none where the file
    /// could not even be opened.
    pub(crate) fn is_news(&mut self, id: &MessageId, stamp: Option<Stamp>, reason: &str) -> bool {
        let complaint = (stamp, reason.to_owned());
        let before = self.0.insert(id.clone(), complaint.clone());
        before != Some(complaint)
    }

    /// Forgets those that are gone, so that the memory is that of the directory.
    pub(crate) fn keep_listed(&mut self, waiting: &[Waiting]) {
        if !self.0.is_empty() {
            let listed: HashSet<&MessageId> = waiting.iter().map(|message| &message.id).collect();
            self.0.retain(|id, _| listed.contains(id));
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_damaged_envelope_is_news_once_and_again_when_it_has_changed() {
        let mut ignored = Ignored::default();
        let id = MessageId::new(1, 2, 3);
        let stamp = |nanos| Some(Stamp { inode: 1, changed: Duration::from_nanos(nanos), size: 7 });
        assert!(ignored.is_news(&id, stamp(1), "no end line"));
        assert!(!ignored.is_news(&id, stamp(1), "no end line"));
        assert!(ignored.is_news(&id, stamp(2), "no end line"));
        assert!(ignored.is_news(&id, None, "permission denied"));
        ignored.keep_listed(&[Waiting { id: id.clone(), since: 2 }]);
        assert_eq!(ignored.len(), 1);
        ignored.keep_listed(&[]);
        assert_eq!(ignored.len(), 0);
        assert!(ignored.is_news(&id, None, "permission denied"));
    }
}
