//! What a session wants done, queued in order.

use std::collections::VecDeque;

use super::event::{CloseReason, Event};
use super::question::Question;

/// One thing for the driver to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    /// Bytes for the peer.
    Send(Vec<u8>),
    /// A question to answer; the session takes no input until then.
    Ask(Question),
    /// The open message is not needed any more. Not told behind its last block.
    CloseContent,
    /// Make a TLS handshake, after all that was to be sent.
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
    /// Position of an [`Output::Send`] that later replies may still join: only logs stand behind it.
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

    /// Queues bytes, joined to those before where the order of things allows.
    pub(super) fn send(&mut self, bytes: impl AsRef<[u8]> + Into<Vec<u8>>) {
        self.unsent += bytes.as_ref().len();
        let joined =
            self.open_send.and_then(|at| at.checked_sub(self.fetched)).and_then(|i| self.items.get_mut(i));
        if let Some(Output::Send(before)) = joined {
            before.extend_from_slice(bytes.as_ref());
        } else {
            self.open_send = Some(self.fetched.wrapping_add(self.items.len()));
            self.items.push_back(Output::Send(bytes.into()));
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

    /// Bytes not yet fetched.
    pub(super) fn unsent(&self) -> usize {
        self.unsent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_join_across_logs_but_not_across_deeds() {
        let mut queue = Queue::default();
        queue.send("+OK\r\n");
        queue.push(Output::Log(Event::Tx("+OK".to_owned())));
        queue.send("-ERR\r\n");
        queue.push(Output::StartTls);
        queue.send("+OK\r\n");
        assert_eq!(queue.unsent(), 16);
        assert_eq!(queue.pop(), Some(Output::Send(b"+OK\r\n-ERR\r\n".to_vec())));
        queue.send("+OK\r\n");
        assert!(matches!(queue.pop(), Some(Output::Log(_))));
        assert_eq!(queue.pop(), Some(Output::StartTls));
        assert_eq!(queue.pop(), Some(Output::Send(b"+OK\r\n+OK\r\n".to_vec())));
        assert_eq!((queue.pop(), queue.unsent()), (None, 0));
    }
}
