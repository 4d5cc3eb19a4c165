//! MAIL and RSET: how a transaction starts, and how the client gives it up.

use std::time::Instant;

use super::event::Event;
use super::open::Open;
use super::output::Output;
use super::question::{Question, Transaction};
use super::session::{Asked, Session, State};
use crate::smtp::params::MailParameters;
use crate::smtp::path::{self, Mailbox, PathError, Rules};
use crate::smtp::reply::{self, Reply};

impl Session {
    pub(super) fn mail(&mut self, argument: &[u8], now: Instant) {
        if self.state != State::Idle {
            return self.out_of_sequence(now);
        }
        if self.peer.screened && !self.is_known() {
            self.queue.push(Output::Ask(Question::Screen));
            self.asked = Asked::Screen { argument: argument.into() };
            return;
        }
        self.mail_of_served(argument, now);
    }

    /// The client at MAIL is served.
    pub(super) fn admitted(&mut self, argument: &[u8], now: Instant) {
        self.peer.screened = false;
        self.mail_of_served(argument, now);
    }

    fn mail_of_served(&mut self, argument: &[u8], now: Instant) {
        if let Some(refusal) = self.unauthorised().or_else(|| self.unencrypted()) {
            return self.reply(&refusal, now);
        }
        match self.read_mail(argument) {
            Ok((sender, parameters)) => self.ask_to_begin(&sender, parameters),
            Err(refusal) => self.reply(&refusal, now),
        }
    }

    /// The driver has made room for the message.
    pub(super) fn begun(&mut self, sent: &str, received_date: String, now: Instant) {
        if let Some(open) = &mut self.open {
            open.received_date = received_date;
        }
        if sent.is_empty() {
            self.log(Event::EmptyReturnPath);
        }
        self.state = State::Mail;
        self.reply(&reply::sender_ok(sent), now);
    }

    pub(super) fn rset(&mut self, now: Instant) {
        self.abort();
        if self.state != State::Start {
            self.state = State::Idle;
        }
        // Between chunks the end of the session may have waited for the message.
        self.finish(&reply::RESET, now);
    }

    /// Checks in the order syntax, size, UTF-8.
    fn read_mail(&mut self, argument: &[u8]) -> Result<(Mailbox, MailParameters), Reply> {
        let refusal = reply::sender_not_allowed;
        let (sender, text) = path::reverse_path(argument, self.rules()).map_err(|error| {
            self.note_brackets(error);
            refusal(error)
        })?;
        let strict = self.config.strict_address;
        let read = if strict { MailParameters::parse_strictly } else { MailParameters::parse };
        let parameters = read(text).map_err(refusal)?;
        if parameters.size.zip(self.config.max_size).is_some_and(|(size, limit)| size > limit) {
            return Err(reply::TOO_BIG);
        }
        if self.lacks_utf8(&sender, parameters.smtputf8) {
            return Err(refusal(PathError::SenderNeedsUtf8));
        }
        Ok((sender, parameters))
    }

    fn ask_to_begin(&mut self, sender: &Mailbox, parameters: MailParameters) {
        let transaction = Transaction {
            sender: sender.address().to_owned(),
            body: parameters.body,
            mail_auth: parameters.auth,
            utf8_mailboxes: sender.has_utf8_local(),
            authentication: self.who().map(|login| login.identity).unwrap_or_default(),
            hello: self.hello.as_deref().unwrap_or_default().to_owned(),
            ..Transaction::default()
        };
        self.queue.push(Output::Ask(Question::Begin {
            sender: transaction.sender.clone(),
            declared_size: parameters.size,
        }));
        self.open = Some(Box::new(Open { transaction, smtputf8: parameters.smtputf8, ..Open::default() }));
        self.asked = Asked::Begin { sent: sender.as_sent().to_owned() };
    }

    pub(super) fn rules(&self) -> Rules {
        let config = &self.config;
        Rules { brackets: config.strict_parsing, alabels: config.alabels, strict: config.strict_address }
    }

    /// A non-ASCII local part without SMTPUTF8, where that matters (RFC 6531 §3.4).
    pub(super) fn lacks_utf8(&self, mailbox: &Mailbox, smtputf8: bool) -> bool {
        self.config.extensions.smtputf8_strict && mailbox.has_utf8_local() && !smtputf8
    }

    pub(super) fn note_brackets(&mut self, error: PathError) {
        if error == PathError::NoBrackets {
            self.log(Event::MissingBrackets);
        }
    }
}
