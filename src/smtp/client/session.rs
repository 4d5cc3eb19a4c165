//! The session: inputs in, outputs out, and which part of the dialogue handles what.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::auth::{Attempt, Login, Renewal};
use super::limits::LONG_REPLY_LINE;
use super::transaction::{Action, Then, Transaction};
use super::{
    Capabilities, ClientConfig, Event, Fault, FaultKind, MessageResult, MissingExtension, Outcome, Outgoing,
    ParseError, Recipient, RecipientResult, Reply, ReplyParser, Stage, Step,
};

/// What the caller has to do, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Write these bytes, in one write where possible. The server must be read at the same time, or both sides may end up
    /// waiting for each other.
    Send(Vec<u8>),
    /// Call [`Session::send`] or [`Session::quit`] when there is something to do.
    Ready,
    /// The token of this entry of the account was refused: call [`Session::renewed`] with a fresh one, or without.
    NeedToken(usize),
    /// Call [`Session::content`] with the next piece of the content file, after all bytes before this have been written.
    NeedContent,
    /// The message in hand is decided.
    Done(MessageResult),
    /// The session has failed. The message in hand, if [`Fault::stage`] says that there is one, is undecided. `Close` follows.
    Fault(Fault),
    /// Make the connection secure, then call [`Session::secured`]. If there are bytes that have come already, give them to
    /// [`Session::input`] instead, which ends the session.
    StartTls,
    /// Something for the log.
    Log(Event),
    /// Close the connection. Nothing follows.
    Close,
}

/// A client session. See the module for the contract.
#[derive(Debug)]
pub struct Session {
    pub(super) config: Arc<ClientConfig>,
    pub(super) state: State,
    pub(super) parser: ReplyParser,
    pub(super) peer: Capabilities,
    pub(super) login: Option<Box<Login>>,
    outputs: VecDeque<Output>,
    deadline: Option<Instant>,
    warned: Vec<MissingExtension>,
    warned_long_line: bool,
    quit_wanted: bool,
    /// The connection is encrypted.
    pub(super) secure: bool,
}

/// Where the dialogue is.
#[derive(Debug)]
pub(super) enum State {
    Greeting,
    /// EHLO is sent; `greeted` is false when that happened without a greeting, which may still come.
    Ehlo {
        greeted: bool,
    },
    Helo,
    /// In an exchange of AUTH.
    Auth(Box<Attempt>),
    /// A fresh token has been asked for.
    Renewing(Box<Renewal>),
    /// STARTTLS is sent.
    StartTls,
    /// The next bytes belong to a TLS handshake.
    Handshake,
    Ready,
    Transaction(Box<Transaction>),
    /// RSET is sent after the result that is kept here.
    Resetting(Box<MessageResult>),
    Quitting,
    Over,
}

impl Session {
    /// A session on a connection that has just been made.
    pub fn new(config: Arc<ClientConfig>, now: Instant) -> Self {
        let deadline = config.prompt_timeout.map(|limit| now + limit);
        Self {
            config,
            state: State::Greeting,
            parser: ReplyParser::default(),
            peer: Capabilities::default(),
            login: None,
            outputs: VecDeque::new(),
            deadline,
            warned: Vec::new(),
            warned_long_line: false,
            quit_wanted: false,
            secure: false,
        }
    }

    /// The same session, which logs in before it is ready.
    #[must_use]
    pub fn with_login(self, login: Option<Login>) -> Self {
        Self { login: login.map(Box::new), ..self }
    }

    /// What the login can be bound to, once the connection is secure (RFC 9266).
    pub fn bind(&mut self, exporter: Option<Vec<u8>>) {
        if let Some(login) = &mut self.login {
            login.exporter = exporter;
        }
    }

    /// Takes bytes from the server, all of them.
    pub fn input(&mut self, bytes: &[u8], now: Instant) {
        let mut rest = bytes;
        while !matches!(self.state, State::Over) {
            if self.awaits_handshake() && !rest.is_empty() {
                return self.plaintext();
            }
            match self.parser.feed(&mut rest) {
                Ok(Step::NeedMore) => return,
                Ok(Step::Line) => self.trace_line(),
                Ok(Step::Reply(reply)) => {
                    self.trace_line();
                    self.on_reply(reply, now);
                }
                Err(_) if matches!(self.state, State::Quitting) => self.close(),
                Err(ParseError::Invalid) => {
                    self.trace_line();
                    self.fail(FaultKind::InvalidResponse);
                }
                Err(ParseError::Overflow) => self.fail(FaultKind::Overflow),
            }
        }
    }

    /// The connection has ended, by the server or by an error of reading or writing.
    pub fn closed(&mut self, error: Option<&str>, _now: Instant) {
        match self.state {
            State::Over => {}
            State::Quitting => self.close(),
            _ => self.fail(FaultKind::Disconnected(error.map(str::to_owned))),
        }
    }

    /// Time has passed: to be called when [`Session::deadline`] is reached.
    pub fn timer(&mut self, now: Instant) {
        if self.deadline.is_none_or(|deadline| now < deadline) {
            return;
        }
        let seconds = |limit: Option<Duration>| limit.unwrap_or_default().as_secs();
        match self.stage() {
            _ if matches!(self.state, State::Quitting) => self.close(),
            Stage::Greeting => self.on_greeting_timeout(now),
            Stage::Content if !self.awaits_chunk_reply() => {
                self.fail(FaultKind::FlowControlTimeout(seconds(self.config.response_timeout)));
            }
            Stage::FinalReply => self.fail(FaultKind::ResponseTimeout(seconds(self.config.final_timeout))),
            _ => self.fail(FaultKind::ResponseTimeout(seconds(self.config.response_timeout))),
        }
    }

    /// Starts a message. Only after [`Output::Ready`]; at any other time, such as when the session has failed unnoticed, it
    /// does nothing and the message stays the caller's.
    pub fn send(&mut self, message: Outgoing, now: Instant) {
        if !self.is_ready() {
            return;
        }
        // The start of a reply to nothing would shift the replies to come.
        if !self.parser.is_between_replies() {
            return self.fail(FaultKind::InvalidResponse);
        }
        match message.check(&self.config, &self.peer) {
            Ok(missing) => {
                self.warn_once(missing);
                let mut transaction = Transaction::new(&self.config, &self.peer, message);
                let group = transaction.next_group();
                self.state = State::Transaction(Box::new(transaction));
                self.send_commands(group, now);
            }
            Err(refusal) => {
                self.log(Event::Refused { reason: refusal.to_string() });
                let recipients = message.recipients.into_iter();
                let recipients =
                    recipients.map(|address| Recipient { address, result: RecipientResult::NotTried });
                let (recipients, outcome) = (recipients.collect(), Outcome::Local(refusal));
                self.finish(MessageResult { recipients, outcome, reset_code: None }, now);
            }
        }
    }

    /// Gives the next piece of the content file, of any size; `last` says that it ends here. Only after
    /// [`Output::NeedContent`]; nothing happens if the session has failed since. Memory is that of one piece plus
    /// [`super::limits::CONTENT_BUFFER`].
    pub fn content(&mut self, chunk: &[u8], last: bool, now: Instant) {
        if let State::Transaction(transaction) = &mut self.state {
            let action = transaction.content(chunk, last);
            self.act(action, now);
        }
    }

    /// Content was taken by the connection, though not yet all of a write: the limit for a server that does not read starts again.
    pub fn progress(&mut self, now: Instant) {
        if self.stage() == Stage::Content {
            self.expect_reply(now);
        }
    }

    /// Ends the session politely: QUIT when the message in hand is done, or a plain close if the dialogue has not begun.
    pub fn quit(&mut self, now: Instant) {
        match self.state {
            State::Greeting
            | State::Ehlo { .. }
            | State::Helo
            | State::StartTls
            | State::Handshake
            | State::Auth(_)
            | State::Renewing(_) => {
                self.close();
            }
            State::Ready => self.say_quit(now),
            State::Transaction(_) | State::Resetting(_) => self.quit_wanted = true,
            State::Quitting | State::Over => {}
        }
    }

    /// The next thing to do, until there is none.
    #[must_use = "an output that is not obeyed leaves both sides waiting for each other"]
    #[expect(
        clippy::should_implement_trait,
        reason = "more outputs come after None, when there was more input"
    )]
    pub fn next(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Session::timer`] must be called, if nothing else happens before.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// What the server can do. Complete with the first [`Output::Ready`].
    pub fn peer(&self) -> &Capabilities {
        &self.peer
    }

    /// True if a message can be started.
    pub fn is_ready(&self) -> bool {
        matches!(self.state, State::Ready)
    }

    /// True if the session has ended: nothing more is to be written.
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    fn on_reply(&mut self, reply: Reply, now: Instant) {
        match &mut self.state {
            State::Greeting => self.on_greeting(reply, now),
            State::Ehlo { greeted } => {
                let greeted = *greeted;
                self.on_ehlo(reply, greeted, now);
            }
            State::Helo => self.on_helo(reply, now),
            State::Auth(_) => self.on_auth(reply, now),
            State::StartTls => self.on_starttls(reply),
            State::Ready | State::Renewing(_) => self.fail(FaultKind::UnexpectedResponse(reply)),
            State::Transaction(transaction) => {
                let action = transaction.reply(reply);
                self.act(action, now);
            }
            State::Resetting(result) => {
                result.reset_code = Some(reply.code);
                if reply.is_closing() {
                    self.fail(FaultKind::UnexpectedResponse(reply));
                } else if let State::Resetting(result) = std::mem::replace(&mut self.state, State::Ready) {
                    self.finish(*result, now);
                }
            }
            State::Quitting => self.close(),
            // Nothing is parsed in a handshake.
            State::Handshake | State::Over => {}
        }
    }

    /// Does what the transaction asks for.
    fn act(&mut self, action: Action, now: Instant) {
        match action {
            Action::Wait => self.expect_reply(now),
            Action::Send(group) => self.send_commands(group, now),
            Action::SendContent { bytes, trace, more } => self.send_content(bytes, trace, more, now),
            Action::NeedContent => {
                self.expect_reply(now);
                self.outputs.push_back(Output::NeedContent);
            }
            Action::Finish(outcome, then) => self.finish_transaction(outcome, then, now),
            Action::Fault(kind) => self.fail(kind),
        }
    }

    fn finish_transaction(&mut self, outcome: Outcome, then: Then, now: Instant) {
        let State::Transaction(transaction) = &mut self.state else { return };
        let result = transaction.result(outcome);
        match then {
            Then::Ready => self.finish(result, now),
            Then::Reset => {
                self.state = State::Resetting(Box::new(result));
                self.send_commands(b"RSET\r\n".to_vec(), now);
            }
            Then::Fault(kind) => {
                self.done(result);
                self.state = State::Ready;
                self.fail(kind);
            }
        }
    }

    fn finish(&mut self, result: MessageResult, now: Instant) {
        self.done(result);
        self.become_ready(now);
    }

    fn done(&mut self, result: MessageResult) {
        let refused = |recipient: &Recipient| recipient.result != RecipientResult::Accepted;
        if matches!(result.outcome, Outcome::Sent(_)) && result.recipients.iter().any(refused) {
            self.log(Event::RecipientsRejected);
        }
        self.outputs.push_back(Output::Done(result));
    }

    pub(super) fn become_ready(&mut self, now: Instant) {
        self.state = State::Ready;
        self.deadline = None;
        if self.quit_wanted { self.say_quit(now) } else { self.outputs.push_back(Output::Ready) }
    }

    fn say_quit(&mut self, now: Instant) {
        self.state = State::Quitting;
        self.send_commands(b"QUIT\r\n".to_vec(), now);
        self.deadline = Some(now + self.config.quit_timeout);
    }

    /// Ends the session with a fault. A result that is already known is reported first.
    pub(super) fn fail(&mut self, kind: FaultKind) {
        match std::mem::replace(&mut self.state, State::Ready) {
            State::Resetting(result) => self.done(*result),
            State::Transaction(mut transaction) => {
                if let Some(outcome) = transaction.refusal() {
                    let result = transaction.result(outcome);
                    self.done(result);
                } else {
                    self.state = State::Transaction(transaction);
                }
            }
            other => self.state = other,
        }
        if let FaultKind::UnexpectedResponse(reply) = &kind {
            self.log(Event::UnexpectedResponse { reply: reply.to_string() });
        }
        self.outputs.push_back(Output::Fault(Fault { kind, stage: self.stage() }));
        self.close();
    }

    fn close(&mut self) {
        self.state = State::Over;
        self.deadline = None;
        self.outputs.push_back(Output::Close);
    }

    fn stage(&self) -> Stage {
        match &self.state {
            State::Greeting => Stage::Greeting,
            State::Ehlo { .. } | State::Helo | State::StartTls | State::Handshake => Stage::Hello,
            State::Auth(_) | State::Renewing(_) => Stage::Auth,
            State::Ready | State::Resetting(_) | State::Quitting | State::Over => Stage::Idle,
            State::Transaction(transaction) => transaction.stage(),
        }
    }

    fn awaits_chunk_reply(&self) -> bool {
        matches!(&self.state, State::Transaction(transaction) if transaction.awaits_chunk_reply())
    }

    /// Sends a group of command lines and waits for the replies.
    pub(super) fn send_commands(&mut self, group: Vec<u8>, now: Instant) {
        if self.config.trace {
            for line in String::from_utf8_lossy(&group).split_terminator("\r\n") {
                self.log(Event::Sent(line.to_owned()));
            }
        }
        self.outputs.push_back(Output::Send(group));
        self.expect_reply(now);
    }

    /// Sends a line that is not to be seen, and waits for the reply.
    pub(super) fn send_secret(&mut self, line: &str, now: Instant) {
        self.outputs.push_back(Output::Send([line.as_bytes(), b"\r\n"].concat()));
        self.expect_reply(now);
    }

    fn send_content(&mut self, bytes: Vec<u8>, trace: Vec<Event>, more: bool, now: Instant) {
        if self.config.trace {
            trace.into_iter().for_each(|event| self.log(event));
        }
        self.outputs.push_back(Output::Send(bytes));
        self.expect_reply(now);
        if more {
            self.outputs.push_back(Output::NeedContent);
        }
    }

    /// Starts the wait for the next reply, or for the server to read content.
    pub(super) fn expect_reply(&mut self, now: Instant) {
        let limit = match self.stage() {
            Stage::FinalReply => self.config.final_timeout,
            _ => self.config.response_timeout,
        };
        self.deadline = limit.map(|limit| now + limit);
    }

    pub(super) fn push(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    pub(super) fn stop_waiting(&mut self) {
        self.deadline = None;
    }

    pub(super) fn log(&mut self, event: Event) {
        self.outputs.push_back(Output::Log(event));
    }

    fn warn_once(&mut self, missing: Vec<MissingExtension>) {
        for extension in missing {
            if !self.warned.contains(&extension) {
                self.warned.push(extension);
                self.log(Event::Missing(extension));
            }
        }
    }

    fn trace_line(&mut self) {
        let length = self.parser.line().len();
        if length > LONG_REPLY_LINE && !self.warned_long_line {
            self.warned_long_line = true;
            self.log(Event::VeryLongLine { length, limit: LONG_REPLY_LINE });
        }
        if self.config.trace {
            let line = String::from_utf8_lossy(self.parser.line()).into_owned();
            self.log(Event::Received(line));
        }
    }
}
