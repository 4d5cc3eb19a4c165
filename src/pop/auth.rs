//! Logging in: USER and PASS, APOP (RFC 1939 §7), AUTH (RFC 5034).

use std::time::{Duration, Instant};

use super::command::Command;
use super::event::CloseReason;
use super::limits::MAX_FAILURES;
use super::maildrop::Open;
use super::question::{Answer, Denial, Login, NoMailbox, Question};
use super::session::{Asked, Session, State};
use super::{reply, trace};
use crate::sasl::encoding::{base64, from_base64};
use crate::sasl::{Mechanism, Secret};

/// Cancels an exchange.
const CANCEL: &[u8] = b"*";
/// An initial response that is there and empty.
const EMPTY: &[u8] = b"=";

impl Session {
    pub(super) fn user(&mut self, command: &Command<'_>) {
        if !self.may_send_password() {
            return;
        }
        let name = command.words().next().unwrap_or_default();
        self.user = Some(name.into());
        self.reply(&reply::user(name));
    }

    pub(super) fn pass(&mut self, command: &Command<'_>) {
        if !self.may_send_password() {
            return;
        }
        let user = self.user.as_deref().unwrap_or_default().to_vec();
        if user.is_empty() {
            return self.denied(Duration::ZERO, None);
        }
        let password = Secret::new(command.rest.to_vec());
        self.ask_login(Login::Password { user, password });
    }

    pub(super) fn apop(&mut self, command: &Command<'_>) {
        if self.needs_tls() {
            return self.reply(reply::MUST_USE_STLS);
        }
        if !(self.challenged && self.offer().apop) {
            return self.reply(reply::INVALID_MECHANISM);
        }
        let mut words = command.words();
        let (Some(user), Some(digest)) = (words.next(), words.next()) else {
            return self.reply(reply::INVALID_ARGUMENT);
        };
        let (user, digest) = (user.to_vec(), digest.to_vec());
        self.ask_login(Login::Apop { user, digest });
    }

    pub(super) fn auth(&mut self, command: &Command<'_>) {
        let mut words = command.words();
        let name = words.next();
        if self.needs_tls() || (name.is_some() && self.offer().mechanisms.is_empty()) {
            return self.reply(reply::MUST_USE_STLS);
        }
        let Some(name) = name else {
            let names = self.offer().mechanisms.iter().map(|mechanism| mechanism.name().to_owned());
            let lines: Vec<String> = std::iter::once(reply::OK.to_owned()).chain(names).collect();
            return self.reply_lines(&lines);
        };
        let found = std::str::from_utf8(name).ok().and_then(Mechanism::by_name);
        let Some(mechanism) = found.filter(|mechanism| self.offer().mechanisms.contains(mechanism)) else {
            return self.reply(reply::INVALID_MECHANISM);
        };
        let initial = match words.next() {
            None => None,
            Some(_) if mechanism.is_server_first() => return self.reply(reply::INVALID_INITIAL),
            Some(EMPTY) => Some(Secret::default()),
            Some(word) => match from_base64(word) {
                Some(bytes) => Some(Secret::new(bytes)),
                None => return self.reply(reply::INVALID_BASE64),
            },
        };
        let secure = self.is_secure();
        self.ask_login(Login::Begin { mechanism, initial, secure });
    }

    /// A line inside an exchange.
    pub(super) fn response(&mut self, line: &[u8]) {
        if self.config.trace {
            self.log(trace::response());
        }
        self.state = State::Start;
        if line == CANCEL {
            return self.reply(reply::CANCELLED);
        }
        match from_base64(line) {
            Some(bytes) => self.ask_login(Login::Respond(Secret::new(bytes))),
            None => self.reply(reply::INVALID_BASE64),
        }
    }

    pub(super) fn login_answered(&mut self, answer: Answer, now: Instant) {
        match answer {
            Answer::Challenge(bytes) => {
                self.state = State::Sasl;
                self.reply(&reply::challenge(&base64(&bytes)));
            }
            Answer::LoggedIn(drop) => {
                self.state = State::Transaction;
                self.user = None;
                self.open = Some(Box::new(Open::new(drop)));
                self.reply(reply::OK);
            }
            Answer::Denied(Denial::Wrong(delay)) => self.denied(delay, Some(now)),
            Answer::Denied(Denial::Unavailable) => self.reply(reply::AUTH_UNAVAILABLE),
            Answer::NoMailbox(NoMailbox::InUse) => self.reply(reply::IN_USE),
            Answer::NoMailbox(NoMailbox::Unavailable) => self.reply(reply::UNAVAILABLE),
            Answer::NoMailbox(NoMailbox::Invalid) => self.reply(reply::INVALID_MAILBOX),
            _ => self.farewell(reply::LOCAL_ERROR, CloseReason::ContentFailed),
        }
    }

    fn denied(&mut self, delay: Duration, now: Option<Instant>) {
        self.failures = self.failures.saturating_add(1);
        if self.failures >= MAX_FAILURES {
            self.farewell(reply::TOO_MANY_FAILURES, CloseReason::TooManyFailures);
        } else {
            self.reply(reply::DENIED);
        }
        if let Some(now) = now {
            self.hold_for(delay, now);
        }
    }

    /// Whether USER and PASS are offered; refuses if not.
    fn may_send_password(&mut self) -> bool {
        let refusal = match () {
            () if self.needs_tls() => reply::MUST_USE_STLS,
            () if !self.offer().password() => reply::NO_PLAIN,
            () => return true,
        };
        self.reply(refusal);
        false
    }

    fn ask_login(&mut self, login: Login) {
        self.ask(Asked::Login, Question::Login(login));
    }
}
