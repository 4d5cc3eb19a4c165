//! What a session wants done, queued in order.

use std::collections::VecDeque;

use super::event::{CloseReason, Event};
use super::question::Question;
use super::trace;
use crate::smtp::reply::Reply;

/// One thing for the driver to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Bytes for the peer: one or more replies.
    Send(Vec<u8>),
    /// A question to answer; the session takes no input until then.
    Ask(Question),
    /// Bytes to append to the open message; the first ones begin with the `Received:` line unless anonymous.
    Content(Vec<u8>),
    /// Drop the open message, if there is one. Comes at most once for a message, and never after its commit.
    Discard,
    /// Send all that was to be sent, then make the connection secure and call [`super::Session::secured`]. If there are bytes that
    /// have been read and not taken, give them to [`super::Session::input`] instead, which ends the session.
    StartTls,
    /// A fact for the log.
    Log(Event),
    /// Close the connection after all that was to be sent. Nothing follows.
    Close(CloseReason),
}

/// Outputs not yet fetched.
#[derive(Debug, Default)]
pub(super) struct Queue {
    items: VecDeque<Output>,
    /// Outputs fetched so far, so that positions outlive fetching.
    fetched: usize,
    /// Position of a [`Output::Send`] that later replies may still join: only logs stand behind it.
    open_send: Option<usize>,
    /// Bytes in all queued sends.
    unsent: usize,
}

impl Queue {
    pub(super) fn push(&mut self, output: Output) {
        if !matches!(output, Output::Log(_)) {
            self.open_send = None;
        }
        self.items.push_back(output);
    }

    /// Queues a reply, joined to the one before it where the order of things allows (RFC 2920 §3.2).
    pub(super) fn reply(&mut self, reply: &Reply, traced: bool) {
        let joined =
            self.open_send.and_then(|at| at.checked_sub(self.fetched)).and_then(|i| self.items.get_mut(i));
        if let Some(Output::Send(bytes)) = joined {
            let before = bytes.len();
            reply.write_to(bytes);
            self.unsent += bytes.len() - before;
        } else {
            let mut bytes = Vec::new();
            reply.write_to(&mut bytes);
            self.unsent += bytes.len();
            self.open_send = Some(self.fetched.wrapping_add(self.items.len()));
            self.items.push_back(Output::Send(bytes));
        }
        if traced {
            self.items.extend(reply.wire_lines().map(|line| Output::Log(trace::sent(&line))));
        }
    }

    pub(super) fn pop(&mut self) -> Option<Output> {
        let output = self.items.pop_front()?;
        self.fetched = self.fetched.wrapping_add(1);
        if let Output::Send(bytes) = &output {
            self.unsent = self.unsent.saturating_sub(bytes.len());
        }
        // An idle session keeps no memory for a queue it does not use.
        if self.items.is_empty() {
            self.items = VecDeque::new();
        }
        Some(output)
    }

    /// Bytes of replies not yet fetched.
    pub(super) fn unsent(&self) -> usize {
        self.unsent
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::smtp::reply::{NOOP, RESET};

    #[test]
    fn replies_join_across_logs_but_not_across_deeds() {
        let mut queue = Queue::default();
        queue.reply(&NOOP, true);
        queue.reply(&RESET, false);
        queue.push(Output::Discard);
        queue.reply(&NOOP, false);
        assert_eq!(queue.unsent(), 37);
        assert_eq!(queue.pop(), Some(Output::Send(b"250 noop\r\n250 state reset\r\n".to_vec())));
        queue.reply(&NOOP, false);
        assert_eq!(queue.pop(), Some(Output::Log(Event::Tx("250 noop".to_owned()))));
        assert_eq!(queue.pop(), Some(Output::Discard));
        assert_eq!(queue.pop(), Some(Output::Send(b"250 noop\r\n250 noop\r\n".to_vec())));
        assert_eq!((queue.pop(), queue.unsent()), (None, 0));
    }
}
