//! Small messages read ahead: a client that takes one message after the other costs one visit to the disk for many of them.

use std::collections::VecDeque;

use crate::pop::{BLOCK, Block};
use crate::role::pop::content::Reader;
use crate::spool::Mailbox;

/// Bytes that a session keeps of messages that have not been asked for yet. What does not fit is read when it is asked for.
pub(super) const READ_AHEAD: usize = BLOCK;

/// Whole messages that follow the one that was asked for last.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    /// The message that a client which goes on in order asks for next.
    next: usize,
    /// Size when it was read, and all bytes, of `next` and of those behind it.
    read: VecDeque<(u64, Block)>,
}

impl Ahead {
    /// The message, if it has been read. A client that does not go on in order is not read ahead for.
    pub(super) fn take(&mut self, index: usize) -> Option<(u64, Block)> {
        if index != self.next {
            self.read.clear();
        }
        let found = self.read.pop_front()?;
        self.next = index + 1;
        Some(found)
    }

    /// Whether the client goes on in order with this one, so that those behind it are worth reading.
    pub(super) fn expects(&self, index: usize) -> bool {
        index > 0 && index == self.next
    }

    /// What follows `index`, as [`read`] gave it.
    pub(super) fn put(&mut self, index: usize, read: VecDeque<(u64, Block)>) {
        (self.next, self.read) = (index + 1, read);
    }
}

/// Reads messages from `from` on, as long as all of each fits. It ends at one that cannot be read: what is wrong with it is
/// told when it is asked for. Blocks on the disk.
pub(super) fn read(mailbox: &Mailbox, from: usize) -> VecDeque<(u64, Block)> {
    let mut found = VecDeque::new();
    let mut left = READ_AHEAD as u64;
    for index in from..mailbox.count() {
        if mailbox.size(index) > left {
            break;
        }
        let Ok((file, size)) = mailbox.open(index) else { break };
        if size > left {
            break;
        }
        match Reader::begin(file, size) {
            Ok((_, block)) if block.last => found.push_back((size, block)),
            _ => break,
        }
        left -= size;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::{Durability, Spool, SpoolConfig};

    /// A mailbox with messages of these sizes.
    fn mailbox(sizes: &[usize]) -> (tempfile::TempDir, Mailbox) {
        let directory = tempfile::tempdir().unwrap();
        let config = SpoolConfig { durability: Durability::None, ..SpoolConfig::default() };
        let spool = Spool::open(directory.path(), config).unwrap();
        for (number, size) in sizes.iter().enumerate() {
            let name = format!("emailrelay.1.2.{}", number + 1);
            let envelope = crate::spool::Envelope {
                sender: "a@b".to_owned(),
                remote: vec!["c@d".to_owned()],
                ..Default::default()
            };
            std::fs::write(directory.path().join(format!("{name}.content")), vec![b'x'; *size]).unwrap();
            std::fs::write(directory.path().join(format!("{name}.envelope")), envelope.to_bytes()).unwrap();
        }
        let mailbox = spool.mailbox(None).unwrap();
        assert_eq!(mailbox.count(), sizes.len());
        (directory, mailbox)
    }

    fn sizes(read: &VecDeque<(u64, Block)>) -> Vec<u64> {
        read.iter().map(|(size, block)| (*size).min(block.bytes.len() as u64)).collect()
    }

    #[test]
    fn what_fits_is_read_and_no_more() {
        let (_directory, mailbox) = mailbox(&[10, 20, READ_AHEAD - 30, 40, READ_AHEAD + 1, 5]);
        assert_eq!(sizes(&read(&mailbox, 1)), [20, READ_AHEAD as u64 - 30]);
        assert_eq!(sizes(&read(&mailbox, 3)), [40], "one that is too large ends it");
        assert_eq!(sizes(&read(&mailbox, 5)), [5]);
        assert!(read(&mailbox, 6).is_empty());
    }

    #[test]
    fn one_that_is_gone_ends_it() {
        let (directory, mailbox) = mailbox(&[10, 20, 30]);
        std::fs::remove_file(directory.path().join("emailrelay.1.2.2.content")).unwrap();
        assert_eq!(sizes(&read(&mailbox, 0)), [10]);
    }

    #[test]
    fn only_who_goes_on_in_order_is_read_ahead_for() {
        let (_directory, mailbox) = mailbox(&[10, 20, 30, 40]);
        let mut ahead = Ahead::default();
        assert!(!ahead.expects(0), "the first one says nothing yet");
        ahead.put(0, VecDeque::new());
        assert!(ahead.take(1).is_none() && ahead.expects(1));
        ahead.put(1, read(&mailbox, 2));
        assert_eq!(ahead.take(2).map(|(size, _)| size), Some(30));
        assert_eq!(ahead.take(2), None, "again");
        assert!(!ahead.expects(2));
        assert_eq!(ahead.take(3), None, "what was read is forgotten");
    }
}
