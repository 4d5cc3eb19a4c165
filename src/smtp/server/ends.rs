//! Time, and how a session ends.

use std::time::{Duration, Instant};

use super::config::Habits;
use super::event::CloseReason;
use super::limits::{MAX_IDLE_BEFORE_HELLO, Rate};
use super::output::Output;
use super::session::{Asked, Session, State};
use crate::smtp::reply::{self, Reply};

/// Why a session is to end that has done nothing wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The server stops.
    Shutdown,
    /// Others need its place.
    Crowded,
}

impl Session {
    /// The peer has closed its side. What it sent of an unfinished message is dropped; a message whose end of data
    /// has come is completed.
    ///
    /// `error` is the system's text when the connection broke.
    pub fn peer_closed(&mut self, error: Option<&str>, _now: Instant) {
        self.hold = None;
        if self.asked == Asked::Commit {
            self.gone = true;
        } else {
            self.close(CloseReason::PeerDisconnected { error: error.map(str::to_owned) });
        }
    }

    /// Lets time pass: to be called when [`Session::deadline`] has been reached; harmless at any other time.
    pub fn timer(&mut self, now: Instant) {
        if self.hold.is_some_and(|at| now >= at) {
            self.hold = None;
        }
        if self.is_busy() {
            return;
        }
        let slow = self.content_rate_mut().is_some_and(|rate| rate.too_slow(now));
        if let Some((at, limit)) = self.idle_deadline()
            && now >= at
        {
            let reason = CloseReason::Idle { seconds: limit.as_secs() };
            match self.config.habits {
                Habits::New => self.farewell(&reply::IDLE_TIMEOUT, reason),
                Habits::Old => self.close(reason),
            }
        } else if slow {
            self.farewell(&reply::TOO_SLOW, CloseReason::TooSlow);
        }
    }

    /// Graceful stop: says 421 and closes, at once or as soon as the message in its data or commit phase is done.
    pub fn shutdown(&mut self, _now: Instant) {
        self.end(Ending::Shutdown);
    }

    /// Gives its place to another connection: as [`Session::shutdown`], with its own text.
    pub fn make_room(&mut self, _now: Instant) {
        self.end(Ending::Crowded);
    }

    /// The client has logged in, or need not.
    pub fn is_known(&self) -> bool {
        self.login.is_some() || self.peer.trust.is_some()
    }

    /// When [`Session::timer`] is to be called; none while there is nothing to wait for.
    pub fn deadline(&self) -> Option<Instant> {
        if self.hold.is_some() || self.is_busy() {
            return self.hold;
        }
        let idle = self.idle_deadline().map(|(at, _)| at);
        let rate = self.content_rate().map(Rate::deadline);
        idle.into_iter().chain(rate).min()
    }

    fn end(&mut self, ending: Ending) {
        self.ending = Some(ending);
        self.hold = None;
        self.end_when_free();
    }

    pub(super) fn end_when_free(&mut self) {
        if self.in_transaction_data() {
            return;
        }
        match self.ending {
            Some(Ending::Shutdown) => self.farewell(&reply::SHUTTING_DOWN, CloseReason::Shutdown),
            Some(Ending::Crowded) => {
                self.farewell(&reply::TOO_MANY_CONNECTIONS, CloseReason::TooManyConnections);
            }
            None => {}
        }
    }

    /// Last words.
    pub(super) fn farewell(&mut self, reply: &Reply, reason: CloseReason) {
        if self.state != State::Closed {
            self.send(reply);
            self.close(reason);
        }
    }

    pub(super) fn close(&mut self, reason: CloseReason) {
        if self.state != State::Closed {
            self.abort();
            self.queue.push(Output::Close(reason));
            self.state = State::Closed;
            self.asked = Asked::Nothing;
        }
    }

    /// Ends the transaction, if there is one, without its message.
    pub(super) fn abort(&mut self) {
        if let Some(open) = self.open.take()
            && !open.dropped
        {
            self.queue.push(Output::Discard);
        }
    }

    /// Watches content that comes, in DATA, in and between chunks, and in a chunk that is dropped.
    fn content_rate(&self) -> Option<&Rate> {
        let open = self.open.as_deref();
        let refused = self.refused.as_deref().map(|chunk| &chunk.rate);
        let data = open.and_then(|open| open.content.as_ref()).map(|content| &content.rate);
        let chunks = open.and_then(|open| open.chunks.as_ref()).map(|chunks| &chunks.rate);
        refused.or(data).or(chunks)
    }

    fn content_rate_mut(&mut self) -> Option<&mut Rate> {
        if let Some(refused) = self.refused.as_deref_mut() {
            return Some(&mut refused.rate);
        }
        let open = self.open.as_deref_mut()?;
        let data = open.content.as_mut().map(|content| &mut content.rate);
        data.or(open.chunks.as_mut().map(|chunks| &mut chunks.rate))
    }

    fn idle_deadline(&self) -> Option<(Instant, Duration)> {
        let limit = match (self.config.idle_timeout, &self.hello) {
            (limit, Some(_)) => limit?,
            (limit, None) if self.config.habits == Habits::Old => limit?,
            (Some(limit), None) => limit.min(MAX_IDLE_BEFORE_HELLO),
            (None, None) => MAX_IDLE_BEFORE_HELLO,
        };
        Some((self.active.checked_add(limit)?, limit))
    }
}
