//! The session: what may happen when, and how inputs find their handlers.

use std::sync::Arc;
use std::time::Instant;

use super::auth::Login;
use super::chunk::RefusedChunk;
use super::config::{Habits, Peer, ServerConfig};
use super::ends::Ending;
use super::event::{CloseReason, Event};
use super::limits::{Errors, MAX_QUEUED, SLOW_DELAY};
use super::open::Open;
use super::output::{Output, Queue};
use super::question::Answer;
pub(super) use super::question::Asked;
use super::trace;
use crate::sasl::Mechanism;
use crate::smtp::command::{Command, Verb};
use crate::smtp::data::LONG_LINE;
use crate::smtp::line::{self, Front, Skip, Skipped};
use crate::smtp::reply::{self, Reply};

/// The server's side of one connection. See the module text for how to drive it.
#[derive(Debug)]
pub struct Session {
    pub(super) config: Arc<ServerConfig>,
    pub(super) peer: Peer,
    pub(super) state: State,
    /// The question that is open.
    pub(super) asked: Asked,
    /// Name from EHLO or HELO, printable.
    pub(super) hello: Option<Box<str>>,
    /// The transaction under way, from MAIL to its commit.
    pub(super) open: Option<Box<Open>>,
    /// A chunk on its way that was refused.
    pub(super) refused: Option<Box<RefusedChunk>>,
    pub(super) queue: Queue,
    /// VRFY commands so far.
    pub(super) vrfys: u8,
    /// [`Event::VeryLongLine`] has been logged.
    pub(super) long_line_told: bool,
    errors: Errors,
    /// The rest of a command line that was too long is being skipped.
    skip: Option<Skip>,
    /// Nothing is given out or taken in before this time.
    pub(super) hold: Option<Instant>,
    /// When bytes came in last, or a question was answered.
    pub(super) active: Instant,
    /// Bytes offered and not taken at the last input: what comes beyond them is new.
    untaken: usize,
    /// Lines to come that may hold credentials.
    pub(super) secret_lines: u8,
    /// The mechanism of the exchange under way, or of the login.
    pub(super) mechanism: Option<Mechanism>,
    /// Who the client has shown to be.
    pub(super) login: Option<Box<Login>>,
    /// Refused logins so far.
    pub(super) auth_failures: u8,
    /// The first bytes were not those of a TLS handshake.
    clear: bool,
    /// It is to end as soon as no message is in its data or commit phase.
    pub(super) ending: Option<Ending>,
    /// The peer closed while its message was being committed.
    pub(super) gone: bool,
}

/// States of the dialogue; the table is in the module text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Start,
    Idle,
    /// In an exchange of AUTH: the next line is a response.
    Auth,
    Mail,
    Rcpt,
    MustReset,
    Data,
    /// Between two chunks.
    Bdat,
    /// In an accepted chunk.
    BdatData,
    /// The next bytes belong to a TLS handshake.
    Handshake,
    Closed,
}

impl Session {
    /// A session with the greeting queued.
    pub fn new(config: Arc<ServerConfig>, peer: Peer, now: Instant) -> Self {
        let mut session = Self::silent(config, peer, now);
        let greeting = session.greeting();
        session.send(&greeting);
        session
    }

    /// A session that says it is not available, and closes.
    pub fn disabled(config: Arc<ServerConfig>, peer: Peer, now: Instant) -> Self {
        let mut session = Self::silent(config, peer, now);
        session.farewell(&reply::NOT_AVAILABLE, CloseReason::Disabled);
        session
    }

    fn silent(config: Arc<ServerConfig>, peer: Peer, now: Instant) -> Self {
        Self {
            config,
            peer,
            state: State::Start,
            asked: Asked::Nothing,
            hello: None,
            open: None,
            refused: None,
            queue: Queue::default(),
            vrfys: 0,
            long_line_told: false,
            errors: Errors::default(),
            skip: None,
            hold: None,
            active: now,
            untaken: 0,
            secret_lines: 0,
            mechanism: None,
            login: None,
            auth_failures: 0,
            clear: false,
            ending: None,
            gone: false,
        }
    }

    /// Consumes bytes from the peer and returns how many were taken.
    ///
    /// `bytes` is all that has been read and not yet taken, oldest first; bytes offered before are offered again. It
    /// takes none while [`Session::is_busy`] or closed, leaves an incomplete line (never more than
    /// [`line::MAX_AUTH_LINE`] bytes), and may leave more while [`Session::next`] has not been drained.
    pub fn input(&mut self, bytes: &[u8], now: Instant) -> usize {
        if bytes.len() > self.untaken {
            self.active = now;
        }
        let mut taken = 0;
        while !self.is_busy() && self.queue.unsent() <= self.room() {
            let rest = bytes.get(taken..).unwrap_or_default();
            let step = match self.state {
                _ if self.refused.is_some() => self.skip_chunk(rest, now),
                State::Data => self.content(rest, now),
                State::BdatData => self.chunk(rest, now),
                State::Handshake => self.plaintext(rest),
                _ => self.line(rest, now),
            };
            if step == 0 {
                break;
            }
            taken += step;
        }
        self.untaken = bytes.len().saturating_sub(taken);
        taken
    }

    /// Answers the open question. An answer of the wrong kind is answered 452 to the peer and ends its transaction;
    /// an answer to no question is ignored.
    pub fn answer(&mut self, answer: Answer, now: Instant) {
        self.active = now;
        match (std::mem::take(&mut self.asked), answer) {
            (Asked::Nothing, _) => {}
            (Asked::Screen { argument }, Answer::Admitted) => self.admitted(&argument, now),
            (Asked::Screen { .. }, Answer::Blocked { list }) => self.reply(&reply::blocked(&list), now),
            (Asked::Begin { sent }, Answer::Begun { received_date }) => self.begun(&sent, received_date, now),
            (Asked::Begin { .. }, Answer::Refused(refusal)) => {
                self.open = None;
                self.reply(&refusal.to_reply(), now);
            }
            (Asked::Verify { sent, address }, Answer::Verified(verdict)) => {
                self.recipient_verified(&sent, address, verdict, now);
            }
            (Asked::Vrfy { argument }, Answer::Verified(verdict)) => {
                self.vrfy_verified(&argument, verdict, now);
            }
            (Asked::Authenticate, Answer::Challenge(challenge)) => self.challenged(&challenge),
            (Asked::Authenticate, Answer::LoggedIn { identity }) => self.logged_in(identity, now),
            (Asked::Authenticate, Answer::LoginRefused) => self.login_refused(now),
            (Asked::Authenticate, Answer::Refused(refusal)) => self.reply(&refusal.to_reply(), now),
            (Asked::Authenticate, _) => self.reply(&reply::AUTH_UNAVAILABLE, now),
            (Asked::StartTls, Answer::TlsReady) => self.begin_tls(),
            (Asked::StartTls, _) => self.reply(&reply::TLS_NOT_AVAILABLE, now),
            (Asked::Commit, Answer::Stored) => self.committed(&reply::PROCESSED, now),
            (Asked::Commit, Answer::StoredAs(name)) => self.committed(&reply::processed_as(&name), now),
            (Asked::Commit, Answer::Refused(refusal)) => self.committed(&refusal.to_reply(), now),
            (Asked::Verify { .. } | Asked::Vrfy { .. }, Answer::Refused(refusal)) => {
                self.reply(&refusal.to_reply(), now);
            }
            (Asked::Begin { .. } | Asked::Verify { .. }, _) => {
                self.abort();
                self.state = State::Idle;
                self.reply(&reply::LOCAL_ERROR, now);
            }
            (Asked::Screen { .. } | Asked::Vrfy { .. }, _) => self.reply(&reply::LOCAL_ERROR, now),
            (Asked::Commit, _) => self.committed(&reply::LOCAL_ERROR, now),
        }
    }

    /// The next thing to do; none: nothing until the next input.
    #[must_use = "an output that is dropped is a reply never sent or a message never stored"]
    #[expect(clippy::should_implement_trait, reason = "not an iterator: there is more after none")]
    pub fn next(&mut self) -> Option<Output> {
        if self.hold.is_some() { None } else { self.queue.pop() }
    }

    /// True while no input is taken: a question is open, a reply is held back, or the session is closed.
    pub fn is_busy(&self) -> bool {
        self.asked != Asked::Nothing || self.hold.is_some() || self.state == State::Closed
    }

    /// True from the reply to DATA, or the first BDAT, until the final reply of that message is queued: a graceful stop
    /// waits for it.
    pub fn in_transaction_data(&self) -> bool {
        self.in_content() || self.asked == Asked::Commit
    }

    /// True while it waits for the verdict on an address, or on the client itself. The peer may go away meanwhile: then it
    /// closes, and nobody needs the answer any more.
    pub fn asks_of_address(&self) -> bool {
        matches!(self.asked, Asked::Verify { .. } | Asked::Vrfy { .. } | Asked::Screen { .. })
    }

    /// Since when it has been waiting for a command; none while it is doing something or content comes.
    pub fn idle_since(&self) -> Option<Instant> {
        (!self.is_busy() && !self.in_content() && self.refused.is_none()).then_some(self.active)
    }

    fn in_content(&self) -> bool {
        matches!(self.state, State::Data | State::Bdat | State::BdatData)
    }

    /// Bytes of replies that may lie in the queue when a command is taken. Where replies wait, each waits for itself:
    /// the next command must not hold back the reply before it.
    fn room(&self) -> usize {
        if self.slow() { 0 } else { MAX_QUEUED }
    }

    fn slow(&self) -> bool {
        self.errors.slow() && self.config.habits == Habits::New
    }

    /// Takes one command line, or a part of one that is too long.
    fn line(&mut self, bytes: &[u8], now: Instant) -> usize {
        if let Some(skip) = &mut self.skip {
            match skip.feed(bytes) {
                Skipped::All => {}
                Skipped::Ended(taken) => {
                    self.skip = None;
                    return taken;
                }
                Skipped::Endless => self.close(CloseReason::Overflow),
            }
            return bytes.len();
        }
        if !self.clear && !self.is_secure() && !self.is_clear(bytes) {
            return if self.state == State::Closed { bytes.len() } else { 0 };
        }
        let limit = if self.state == State::Auth { line::MAX_AUTH_LINE } else { line::MAX_LINE };
        match line::front(bytes, limit) {
            Front::Incomplete => 0,
            Front::Line { text, taken } => {
                match self.state {
                    State::Auth => self.auth_response(text, now),
                    _ => self.command(text, now),
                }
                taken
            }
            Front::TooLong => {
                self.skip = Some(Skip::new(bytes.get(..limit).unwrap_or(bytes), line::MAX_UNENDED));
                self.note_line(limit);
                if self.state == State::Auth {
                    self.state = State::Idle;
                    self.protocol_error(&reply::LINE_TOO_LONG, now);
                    return limit;
                }
                if self.config.extensions.chunking && Command::parse(bytes).verb == Some(Verb::Bdat) {
                    self.bad_chunk();
                    return line::MAX_LINE;
                }
                self.protocol_error(&reply::LINE_TOO_LONG, now);
                line::MAX_LINE
            }
        }
    }

    fn command(&mut self, line: &[u8], now: Instant) {
        let command = Command::parse(line);
        self.note_line(line.len());
        if self.config.trace {
            self.log(trace::received(line, &command, self.secret_lines > 0));
        }
        self.secret_lines = self.secret_lines.saturating_sub(1);
        let argument = command.argument;
        let bare = line.iter().any(|b| matches!(b, b'\0' | b'\r' | b'\n'));
        match command.verb {
            Some(Verb::Mail) => self.mail(argument, now),
            Some(Verb::Rcpt) => self.rcpt(argument, now),
            Some(Verb::Bdat) if self.config.extensions.chunking => self.bdat(argument, now),
            _ if bare => self.protocol_error(&reply::UNRECOGNIZED, now),
            Some(Verb::Ehlo) => self.ehlo(argument, now),
            Some(Verb::Helo) => self.helo(argument, now),
            Some(Verb::Data) => self.data(now),
            Some(Verb::Rset) => self.rset(now),
            Some(Verb::Vrfy) => self.vrfy(argument, now),
            Some(Verb::Noop) => self.reply(&reply::NOOP, now),
            Some(Verb::Help | Verb::Expn) => self.reply(&reply::NOT_IMPLEMENTED, now),
            Some(Verb::Quit) => {
                self.reply(&reply::GOODBYE, now);
                self.close(CloseReason::Quit);
            }
            Some(Verb::Auth) => self.auth(argument, now),
            Some(Verb::StartTls) => self.starttls(now),
            // Not offered: as unknown as any other word.
            Some(Verb::Bdat) | None => self.protocol_error(&reply::UNRECOGNIZED, now),
        }
    }

    /// The message is stored or refused.
    fn committed(&mut self, reply: &Reply, now: Instant) {
        if self.gone {
            // A peer that closed only its sending side may still read the reply.
            self.log(Event::ClientGone);
            self.send(reply);
            self.close(CloseReason::PeerDisconnected { error: None });
        } else {
            self.finish(reply, now);
        }
    }

    /// Final reply of a message; the end of the session may have waited for it.
    pub(super) fn finish(&mut self, reply: &Reply, now: Instant) {
        self.reply(reply, now);
        if self.ending.is_some() {
            self.hold = None;
            self.end_when_free();
        }
    }

    /// Replies to a command. Refusals count; after too many, replies wait, and then the session closes.
    pub(super) fn reply(&mut self, reply: &Reply, now: Instant) {
        let slow = self.slow();
        if reply.is_permanent() && self.config.habits == Habits::New {
            self.errors.count_refusal();
        }
        self.reply_counted(reply, slow, now);
    }

    /// Replies to something that no client should do.
    pub(super) fn protocol_error(&mut self, reply: &Reply, now: Instant) {
        let slow = self.slow();
        self.errors.count_error();
        self.reply_counted(reply, slow, now);
    }

    pub(super) fn out_of_sequence(&mut self, now: Instant) {
        self.protocol_error(&reply::OUT_OF_SEQUENCE, now);
    }

    fn reply_counted(&mut self, reply: &Reply, slow: bool, now: Instant) {
        self.send(reply);
        if slow {
            self.hold = Some(now + SLOW_DELAY);
        }
        if self.errors.too_many() {
            self.close(CloseReason::TooManyErrors);
        }
    }

    pub(super) fn send(&mut self, reply: &Reply) {
        let reply = reply.for_client(self.config.extensions.enhanced_status_codes);
        self.queue.reply(&reply, self.config.trace);
    }

    pub(super) fn log(&mut self, event: Event) {
        self.queue.push(Output::Log(event));
    }

    /// Warns of the first long line of the connection.
    pub(super) fn note_line(&mut self, length: usize) {
        if length > LONG_LINE && !self.long_line_told {
            self.long_line_told = true;
            self.log(Event::VeryLongLine { length });
        }
    }

    /// The first bytes are not those of a TLS handshake (RFC 8446 §5.1: type 22, version 3.x); false also while it
    /// cannot be told yet.
    fn is_clear(&mut self, bytes: &[u8]) -> bool {
        match bytes {
            [] | [0x16] | [0x16, 0x03] => return false,
            [0x16, 0x03, 1..=3, ..] => {
                self.log(Event::TlsHello);
                self.close(CloseReason::TlsHello);
            }
            _ => self.clear = true,
        }
        self.clear
    }
}
