//! The session: what may happen when, and how inputs find their handlers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::command::{Command, Verb};
use super::config::{Channel, Offer, Offers, PopConfig, Start, StartTls};
use super::content::Sender;
use super::ends::Ending;
use super::event::{CloseReason, Event};
use super::limits::{
    MAX_ERRORS, MAX_LINE_AFTER, MAX_LINE_BEFORE, MAX_LINE_SASL, MAX_LONG_LINES, MAX_QUEUED, MAX_UNENDED,
};
use super::maildrop::{Listing, Open};
use super::output::{Output, Queue};
use super::question::{Answer, Question};
use super::{reply, trace};
use crate::smtp::line::{self, Front, Skip, Skipped};

/// The server's side of one connection. See the module text for how to drive it.
#[derive(Debug)]
pub struct Session {
    pub(super) config: Arc<PopConfig>,
    pub(super) offers: Arc<Offers>,
    pub(super) state: State,
    /// The question that is open.
    pub(super) asked: Asked,
    channel: Channel,
    /// The greeting had a challenge for APOP.
    pub(super) challenged: bool,
    /// UTF8 was given.
    pub(super) utf8: bool,
    /// Name from USER.
    pub(super) user: Option<Box<[u8]>>,
    /// The mailbox, once logged in.
    pub(super) open: Option<Box<Open>>,
    /// A list that is being sent.
    pub(super) listing: Option<Box<Listing>>,
    /// A message that is being sent.
    pub(super) sender: Option<Box<Sender>>,
    pub(super) queue: Queue,
    /// Failed logins.
    pub(super) failures: u8,
    /// Refusals in a row.
    errors: u16,
    long_lines: u8,
    /// The rest of a line that was too long is being skipped.
    skip: Option<Skip>,
    /// Nothing is given out or taken in before this time.
    pub(super) hold: Option<Instant>,
    /// When bytes came in last, or went out, or a question was answered.
    pub(super) active: Instant,
    /// When it began.
    pub(super) began: Instant,
    /// Bytes offered and not taken at the last input: what comes beyond them is new.
    untaken: usize,
    /// The first bytes were not those of a TLS handshake.
    clear: bool,
    /// It is to end as soon as nothing is being sent or deleted.
    pub(super) ending: Option<Ending>,
}

/// States of the dialogue; the table is in the module text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Start,
    Sasl,
    Handshake,
    Transaction,
    Closed,
}

/// The open question.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Asked {
    #[default]
    Nothing,
    Login,
    /// A message, or so many lines of its body.
    Open {
        lines: Option<u32>,
    },
    More,
    Delete,
}

impl Session {
    /// A session with the greeting queued.
    pub fn new(config: Arc<PopConfig>, start: Start, now: Instant) -> Self {
        let Start { offers, challenge, channel } = start;
        let mut session = Self {
            config,
            offers: Arc::new(offers),
            state: State::Start,
            asked: Asked::Nothing,
            channel,
            challenged: false,
            utf8: false,
            user: None,
            open: None,
            listing: None,
            sender: None,
            queue: Queue::default(),
            failures: 0,
            errors: 0,
            long_lines: 0,
            skip: None,
            hold: None,
            active: now,
            began: now,
            untaken: 0,
            clear: channel != Channel::Clear,
            ending: None,
        };
        session.challenged = !session.needs_tls() && session.offer().apop;
        if session.challenged {
            session.send(&format!("{} {challenge}", reply::GREETING));
        } else {
            session.send(reply::GREETING);
        }
        session
    }

    /// Consumes bytes from the peer and returns how many were taken.
    ///
    /// `bytes` is all that has been read and not yet taken, oldest first; bytes offered before are offered again. It
    /// takes none while [`Session::is_busy`] or closed, leaves an incomplete line (never more than [`MAX_LINE_SASL`]
    /// bytes), and may leave more while [`Session::next`] has not been drained.
    pub fn input(&mut self, bytes: &[u8], now: Instant) -> usize {
        if bytes.len() > self.untaken {
            self.active = now;
        }
        let mut taken = 0;
        while !self.is_busy() && self.queue.unsent() <= MAX_QUEUED {
            let step = self.line(bytes.get(taken..).unwrap_or_default());
            if step == 0 {
                break;
            }
            taken += step;
        }
        self.untaken = bytes.len().saturating_sub(taken);
        taken
    }

    /// Answers the open question. An answer of the wrong kind is an error of ours and ends the session; an answer to no
    /// question is ignored.
    pub fn answer(&mut self, answer: Answer, now: Instant) {
        self.active = now;
        match (std::mem::take(&mut self.asked), answer) {
            (Asked::Nothing, _) => {}
            (Asked::Login, answer) => self.login_answered(answer, now),
            (Asked::Open { lines }, Answer::Content { size, block }) => self.content(size, lines, &block),
            (Asked::Open { .. }, Answer::Gone) => self.message_refused(reply::GONE),
            (Asked::Open { .. }, Answer::Unreadable) => self.message_refused(reply::UNREADABLE),
            (Asked::More, Answer::More(block)) => self.block(&block),
            (Asked::More, Answer::Unreadable) => self.close(CloseReason::ContentFailed),
            (Asked::Delete, Answer::Deleted) => self.farewell(reply::SIGNING_OFF, CloseReason::Quit),
            (Asked::Delete, Answer::NotDeleted) => {
                self.farewell(reply::NOT_REMOVED, CloseReason::NotAllDeleted);
            }
            _ => self.farewell(reply::LOCAL_ERROR, CloseReason::ContentFailed),
        }
    }

    /// The next thing to do; none: nothing until the next input.
    #[must_use = "an output that is dropped is a reply never sent"]
    #[expect(clippy::should_implement_trait, reason = "not an iterator: there is more after none")]
    pub fn next(&mut self) -> Option<Output> {
        if self.hold.is_some() {
            return None;
        }
        if let Some(output) = self.queue.pop() {
            return Some(output);
        }
        self.continue_list();
        self.queue.pop()
    }

    /// The peer has taken bytes: a slow reader is not an idle one.
    pub fn sent(&mut self, now: Instant) {
        self.active = now;
    }

    /// The handshake of [`Output::StartTls`] is done. What was said in clear is forgotten (RFC 2595 §4).
    pub fn tls_started(&mut self, channel: Channel, now: Instant) {
        if self.state == State::Handshake {
            (self.state, self.channel, self.clear, self.active) = (State::Start, channel, true, now);
            (self.user, self.failures, self.untaken) = (None, 0, 0);
        }
    }

    /// The handshake failed.
    pub fn tls_failed(&mut self) {
        self.close(CloseReason::HandshakeFailed);
    }

    /// Bytes in clear lie behind STLS. They might be a third party's, and nothing of them is looked at.
    pub fn plaintext_after_stls(&mut self) {
        self.log(Event::PlaintextAfterStls);
        self.close(CloseReason::PlaintextAfterStls);
    }

    /// True while no input is taken: a question is open, a reply is being produced or held back, a handshake is made, or
    /// the session is closed.
    pub fn is_busy(&self) -> bool {
        self.asked != Asked::Nothing
            || self.hold.is_some()
            || self.listing.is_some()
            || matches!(self.state, State::Handshake | State::Closed)
    }

    /// Since when it has been waiting for a command; none while it is doing something.
    pub fn idle_since(&self) -> Option<Instant> {
        (!self.is_busy()).then_some(self.active)
    }

    /// True once somebody has logged in.
    pub fn is_logged_in(&self) -> bool {
        self.open.is_some()
    }

    pub(super) fn offer(&self) -> &Offer {
        match self.channel {
            Channel::Clear => &self.offers.clear,
            Channel::Secure => &self.offers.secure,
            Channel::Bound => &self.offers.bound,
        }
    }

    /// The connection is encrypted.
    pub(super) fn is_secure(&self) -> bool {
        self.channel != Channel::Clear
    }

    /// Nobody logs in before STLS.
    pub(super) fn needs_tls(&self) -> bool {
        self.config.tls == StartTls::Required && !self.is_secure()
    }

    /// Takes one line, or a part of one that is too long.
    fn line(&mut self, bytes: &[u8]) -> usize {
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
        if !self.clear && !self.is_clear(bytes) {
            return if self.state == State::Closed { bytes.len() } else { 0 };
        }
        let limit = match self.state {
            State::Sasl => MAX_LINE_SASL,
            State::Transaction => MAX_LINE_AFTER,
            State::Start | State::Handshake | State::Closed => MAX_LINE_BEFORE,
        };
        match line::front(bytes, limit) {
            Front::Incomplete => 0,
            Front::Line { text, taken } => {
                if self.state == State::Sasl {
                    self.response(text);
                } else {
                    self.command(text);
                }
                taken
            }
            Front::TooLong => {
                self.skip = Some(Skip::new(bytes.get(..limit).unwrap_or(bytes), MAX_UNENDED));
                self.long_line();
                limit
            }
        }
    }

    fn long_line(&mut self) {
        if self.state == State::Sasl {
            self.state = State::Start;
        }
        self.long_lines = self.long_lines.saturating_add(1);
        self.reply(reply::LINE_TOO_LONG);
        if self.long_lines >= MAX_LONG_LINES {
            self.close(CloseReason::TooManyErrors);
        }
    }

    fn command(&mut self, line: &[u8]) {
        let command = Command::parse(line);
        let inside = self.state == State::Transaction;
        if self.config.trace {
            self.log(trace::received(line, &command, inside));
        }
        match (command.verb, inside) {
            (Some(Verb::Capa), _) => self.capa(),
            (Some(Verb::Lang), _) => self.lang(&command),
            (Some(Verb::Quit), false) => self.farewell(reply::SIGNING_OFF, CloseReason::Quit),
            (Some(Verb::User), false) => self.user(&command),
            (Some(Verb::Pass), false) => self.pass(&command),
            (Some(Verb::Apop), false) => self.apop(&command),
            (Some(Verb::Auth), false) => self.auth(&command),
            (Some(Verb::Stls), false) => self.stls(),
            (Some(Verb::Utf8), false) => self.utf8(&command),
            (Some(verb), true) => self.transaction(verb, &command),
            _ => self.reply(reply::INVALID_COMMAND),
        }
    }

    fn stls(&mut self) {
        if self.is_secure() {
            return self.reply(reply::ALREADY_TLS);
        }
        if self.config.tls == StartTls::No {
            return self.reply(reply::INVALID_COMMAND);
        }
        if self.utf8 {
            return self.reply(reply::STLS_AFTER_UTF8);
        }
        self.reply(reply::OK);
        self.state = State::Handshake;
        self.queue.push(Output::StartTls);
    }

    fn utf8(&mut self, command: &Command<'_>) {
        if command.words().next().is_some() {
            return self.reply(reply::INVALID_ARGUMENT);
        }
        self.utf8 = true;
        self.reply(reply::OK);
    }

    /// Replies in one line. Refusals count; too many in a row close the session.
    pub(super) fn reply(&mut self, line: &str) {
        self.send(line);
        if !reply::is_refusal(line) {
            self.errors = 0;
            return;
        }
        self.errors = self.errors.saturating_add(1);
        if self.errors > MAX_ERRORS {
            self.close(CloseReason::TooManyErrors);
        }
    }

    /// Replies in several lines; the last one is added.
    pub(super) fn reply_lines(&mut self, lines: &[String]) {
        self.errors = 0;
        let lines: Vec<&str> = lines.iter().map(String::as_str).chain([reply::END]).collect();
        for (at, line) in lines.iter().enumerate() {
            self.queue.send(format!("{line}\r\n"));
            if self.config.trace
                && let Some(event) = trace::sent(line.as_bytes(), at, lines.len())
            {
                self.log(event);
            }
        }
    }

    pub(super) fn send(&mut self, line: &str) {
        self.queue.send(format!("{line}\r\n"));
        if self.config.trace
            && let Some(event) = trace::sent(line.as_bytes(), 0, 1)
        {
            self.log(event);
        }
    }

    pub(super) fn ask(&mut self, asked: Asked, question: Question) {
        self.asked = asked;
        self.queue.push(Output::Ask(question));
    }

    pub(super) fn log(&mut self, event: Event) {
        self.queue.push(Output::Log(event));
    }

    /// Replies are given out so much later.
    pub(super) fn hold_for(&mut self, delay: Duration, now: Instant) {
        self.hold = Some(delay).filter(|delay| !delay.is_zero()).and_then(|delay| now.checked_add(delay));
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
