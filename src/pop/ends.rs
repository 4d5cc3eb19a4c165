//! Time, and how a session ends.

use std::time::{Duration, Instant};

use super::config::Habits;
use super::event::CloseReason;
use super::limits::{MAX_IDLE_BEFORE_LOGIN, MAX_LOGIN_TIME};
use super::output::Output;
use super::reply;
use super::session::{Asked, Session, State};

/// Why a session is to end that has done nothing wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The server stops.
    Shutdown,
    /// Others need its place.
    Crowded,
}

impl Session {
    /// The peer has closed its side. Nothing is deleted, unless it has said QUIT: then its messages are deleted although
    /// it may not see the reply.
    ///
    /// `error` is the system's text when the connection broke.
    pub fn peer_closed(&mut self, error: Option<&str>) {
        self.hold = None;
        if self.asked != Asked::Delete {
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
        if let Some((at, reason)) = self.patience()
            && now >= at
        {
            match self.config.habits {
                Habits::New => self.farewell(reply::IDLE_TIMEOUT, reason),
                Habits::Old => self.close(reason),
            }
        }
    }

    /// When [`Session::timer`] is to be called; none while there is nothing to wait for.
    pub fn deadline(&self) -> Option<Instant> {
        if self.hold.is_some() || self.is_busy() {
            return self.hold;
        }
        self.patience().map(|(at, _)| at)
    }

    /// Graceful stop: says so and closes, at once or as soon as the reply that is being sent is complete, or the
    /// messages that are being deleted are gone.
    pub fn shutdown(&mut self) {
        self.end(Ending::Shutdown);
    }

    /// Gives its place to another connection: as [`Session::shutdown`], with its own text.
    pub fn make_room(&mut self) {
        self.end(Ending::Crowded);
    }

    fn end(&mut self, ending: Ending) {
        self.ending = Some(ending);
        self.hold = None;
        self.end_when_free();
    }

    pub(super) fn end_when_free(&mut self) {
        let at_work = matches!(self.asked, Asked::Open { .. } | Asked::More | Asked::Delete);
        if at_work || self.listing.is_some() {
            return;
        }
        match self.ending {
            Some(Ending::Shutdown) => self.farewell(reply::SHUTTING_DOWN, CloseReason::Shutdown),
            Some(Ending::Crowded) => {
                self.farewell(reply::TOO_MANY_CONNECTIONS, CloseReason::TooManyConnections);
            }
            None => {}
        }
    }

    /// Last words; none in the middle of a handshake.
    pub(super) fn farewell(&mut self, line: &str, reason: CloseReason) {
        if self.state != State::Closed {
            if self.state != State::Handshake {
                self.send(line);
            }
            self.close(reason);
        }
    }

    pub(super) fn close(&mut self, reason: CloseReason) {
        if self.state != State::Closed {
            self.state = State::Closed;
            (self.asked, self.listing, self.sender) = (Asked::Nothing, None, None);
            self.queue.push(Output::Close(reason));
        }
    }

    /// Until when to wait for the next line, and what it means when none comes.
    fn patience(&self) -> Option<(Instant, CloseReason)> {
        let limit = self.config.idle_timeout;
        let idle = |limit: Duration| {
            Some((self.active.checked_add(limit)?, CloseReason::Idle { seconds: limit.as_secs() }))
        };
        if self.open.is_some() || self.config.habits == Habits::Old {
            return idle(limit?);
        }
        let login = self
            .began
            .checked_add(MAX_LOGIN_TIME)
            .map(|at| (at, CloseReason::LoginTimeout { seconds: MAX_LOGIN_TIME.as_secs() }));
        let idle = idle(limit.map_or(MAX_IDLE_BEFORE_LOGIN, |limit| limit.min(MAX_IDLE_BEFORE_LOGIN)));
        idle.into_iter().chain(login).min_by_key(|(at, _)| *at)
    }
}
