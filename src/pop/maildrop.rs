//! The open mailbox of a session: marks, and lists that are sent piece by piece.

use std::fmt::Write as _;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::limits::{BLOCK, MAX_UNIQUE_ID};
use super::marks::Marks;
use super::question::Maildrop;
use super::trace;
use super::{Event, command};
use crate::sasl::encoding::hex;

/// The mailbox of a session that is logged in.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) drop: Arc<dyn Maildrop>,
    pub(super) marks: Marks,
    /// Bytes of the messages that are marked.
    marked_bytes: u64,
}

impl Open {
    pub(super) fn new(drop: Arc<dyn Maildrop>) -> Self {
        Self { drop, marks: Marks::default(), marked_bytes: 0 }
    }

    /// Messages and bytes, those aside that are marked.
    pub(super) fn totals(&self) -> (usize, u64) {
        let count = self.drop.count().saturating_sub(self.marks.count());
        (count, self.drop.total().saturating_sub(self.marked_bytes))
    }

    /// The message of a number as clients count; none if there is no such message, or it is marked.
    pub(super) fn find(&self, word: &[u8]) -> Option<usize> {
        let index = usize::try_from(command::number(word)?).ok()?.checked_sub(1)?;
        (index < self.drop.count() && !self.marks.has(index)).then_some(index)
    }

    pub(super) fn mark(&mut self, index: usize) {
        self.marks.add(index);
        self.marked_bytes = self.marked_bytes.saturating_add(self.drop.size(index));
    }

    pub(super) fn unmark_all(&mut self) {
        self.marks = Marks::default();
        self.marked_bytes = 0;
    }

    /// A message's line in LIST or UIDL, without its end.
    pub(super) fn line(&self, list: List, index: usize) -> String {
        let number = index + 1;
        match list {
            List::Sizes => format!("{number} {}", self.drop.size(index)),
            List::Names => format!("{number} {}", unique_id(&self.drop.unique_name(index))),
        }
    }
}

/// Which list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum List {
    /// LIST.
    Sizes,
    /// UIDL.
    Names,
}

/// A list under way.
#[derive(Debug)]
pub(super) struct Listing {
    list: List,
    /// The next message to look at.
    next: usize,
    /// Lines so far, and in all, the first and the last of the reply included.
    at: usize,
    total: usize,
}

impl Listing {
    /// Behind the first line of the reply.
    pub(super) fn new(list: List, open: &Open) -> Self {
        Self { list, next: 0, at: 1, total: open.totals().0 + 2 }
    }

    /// Lines in the whole reply.
    pub(super) fn total(&self) -> usize {
        self.total
    }

    /// About [`BLOCK`] more bytes, and what the log shows of them. The reply is complete when `true` comes back.
    pub(super) fn block(&mut self, open: &Open, traced: bool) -> (Vec<u8>, Vec<Event>, bool) {
        let (mut out, mut events) = (Vec::new(), Vec::new());
        let mut put = |line: &str, at: &mut usize| {
            out.extend_from_slice(line.as_bytes());
            out.extend_from_slice(b"\r\n");
            events.extend(trace::sent(line.as_bytes(), *at, self.total).filter(|_| traced));
            *at += 1;
            out.len() < BLOCK
        };
        let mut room = true;
        while room && self.next < open.drop.count() {
            if !open.marks.has(self.next) {
                room = put(&open.line(self.list, self.next), &mut self.at);
            }
            self.next += 1;
        }
        let done = room && self.next >= open.drop.count();
        if done {
            put(super::reply::END, &mut self.at);
        }
        (out, events, done)
    }
}

/// The name as it is where RFC 1939 §7 allows it, else a digest of it: in any case the same for ever.
fn unique_id(name: &str) -> String {
    let allowed = name.bytes().all(|byte| byte.is_ascii_graphic());
    if allowed && (1..=MAX_UNIQUE_ID).contains(&name.len()) {
        return name.to_owned();
    }
    let mut id = String::from("h");
    let digest = hex(&Sha256::digest(name.as_bytes()));
    let _ = write!(id, "{digest:.40}");
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_names_have_a_digest_for_an_id() {
        assert_eq!(unique_id("emailrelay.1.2.3.content"), "emailrelay.1.2.3.content");
        for odd in ["a b.content", "\u{fc}.content", &"x".repeat(71), ""] {
            let id = unique_id(odd);
            assert_eq!((id.len(), &id[..1]), (41, "h"), "{odd}");
        }
        assert_eq!(unique_id("a b"), "hc8687a08aa5d6ed2044328fa6a697ab8e96dc342");
    }
}
