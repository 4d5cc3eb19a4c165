//! One administration connection: what it has said, what it is waiting for, what it is to be told.
//!
//! The driver feeds it with [`input`](Session::input), carries out what [`next`](Session::next) gives, and answers its
//! questions. While a question is open, or a long list is being given out, the session takes no input and no events.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::command::{self, Command, Mistake, Right, Topic};
use super::event::{Notice, Scope};
use super::question::{Answer, FlushEnd, Request};
use super::{MAX_ERRORS, MAX_LINE, PIECE, text};

/// What is the same for all connections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdminConfig {
    /// The version number, for `info version`.
    pub version: String,
    /// The process id, for `pid`.
    pub pid: u32,
    /// There is a `terminate` command.
    pub terminate: bool,
    /// `help` is the one line of E-MailRelay 2.6.
    pub short_help: bool,
}

/// What a session wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// These bytes to the client.
    Send(Vec<u8>),
    /// An answer, by [`Session::answer`].
    Ask(Request),
    /// A run that sends everything; its end is told by [`Session::flushed`].
    Flush,
    /// The end of the program.
    Terminate,
    /// The end of the connection, once all is sent.
    Close(CloseReason),
}

/// Why a connection ends. The texts are those of the log line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloseReason {
    /// The client wanted it, or the end of the program.
    #[error("")]
    Asked,
    /// The client has gone.
    #[error("peer disconnected")]
    PeerDisconnected,
    /// The connection broke.
    #[error("{0}")]
    Broken(String),
    /// Too many commands that are unknown or not allowed.
    #[error("too many errors")]
    TooManyErrors,
    /// A line over [`MAX_LINE`].
    #[error("line too long")]
    LineTooLong,
    /// It is a web browser.
    #[error("http request")]
    Http,
    /// Nothing was said for too long.
    #[error("idle timeout")]
    Idle,
    /// The program stops.
    #[error("shutting down")]
    Shutdown,
    /// Another connection needs its place.
    #[error("too many connections")]
    MadeRoom,
}

/// The reply that an answer completes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    /// `OK`.
    Plain,
    /// Nothing but the prompt.
    Silent,
    /// Lines, or a word for none.
    Listed,
}

/// A list that is being given out.
#[derive(Debug)]
struct Listing {
    /// Lines, each with a NUL behind it.
    text: Arc<str>,
    /// Bytes that were given out.
    given: usize,
}

/// One connection.
#[derive(Debug)]
pub struct Session {
    config: Arc<AdminConfig>,
    right: Right,
    idle_timeout: Option<Duration>,
    /// When the last line was answered; what the idle timeout counts from.
    quiet_since: Instant,
    line: Vec<u8>,
    /// Known from the first line on: CRLF, or LF alone.
    crlf: Option<bool>,
    errors: u32,
    wish: Option<Scope>,
    open: Option<Open>,
    /// The verbosity of the flush that is running.
    flushing: Option<bool>,
    /// The client will say nothing more.
    said_all: bool,
    listing: Option<Listing>,
    outputs: VecDeque<Output>,
    closed: bool,
}

impl Session {
    /// A connection that has said nothing yet. Without `idle_timeout` it may stay so for ever.
    #[must_use]
    pub fn new(config: Arc<AdminConfig>, right: Right, idle_timeout: Option<Duration>, now: Instant) -> Self {
        Self {
            config,
            right,
            idle_timeout,
            quiet_since: now,
            line: Vec::new(),
            crlf: None,
            errors: 0,
            wish: None,
            open: None,
            flushing: None,
            said_all: false,
            listing: None,
            outputs: VecDeque::new(),
            closed: false,
        }
    }

    /// The next thing to do.
    #[expect(clippy::should_implement_trait, reason = "more may come after the last one")]
    pub fn next(&mut self) -> Option<Output> {
        if self.outputs.is_empty() {
            self.give_out();
        }
        self.outputs.pop_front()
    }

    /// Takes bytes from the client, up to the end of a line, and tells how many.
    pub fn input(&mut self, bytes: &[u8], now: Instant) -> usize {
        if self.is_busy() || self.said_all || self.closed {
            return 0;
        }
        let mut taken = 0;
        for &byte in bytes {
            taken += 1;
            self.line.push(byte);
            if byte == b'\n' && self.is_line_end() {
                let line = std::mem::take(&mut self.line);
                self.quiet_since = now;
                self.obey(&line);
                break;
            }
            if self.line.len() >= MAX_LINE {
                self.send(text::TOO_LONG.to_owned() + self.line_end());
                self.close(CloseReason::LineTooLong);
                break;
            }
        }
        taken
    }

    /// Answers the open question.
    pub fn answer(&mut self, answer: Answer) {
        let Some(open) = self.open.take().filter(|_| !self.closed) else { return };
        match (answer, open) {
            (Answer::Failed(reason), _) => self.reply(&format!("error: {reason}")),
            (Answer::Done, Open::Plain) => self.reply(text::OK),
            (_, Open::Silent) => self.prompt(),
            (Answer::Lines(lines), _) => {
                let text: String = lines.iter().flat_map(|line| [line.as_str(), "\0"]).collect();
                self.list(text.into());
            }
            (Answer::Block(text), _) => self.list(text),
            (Answer::Done, _) => self.reply(text::NONE),
        }
    }

    /// The flush is over.
    pub fn flushed(&mut self, end: &FlushEnd) {
        let Some(verbose) = self.flushing.take().filter(|_| !self.closed) else { return };
        if verbose {
            let counts = format!("sent {} failed {} left {}", end.sent, end.failed, end.left);
            self.send(counts + self.line_end());
        }
        match &end.error {
            Some(error) => self.reply(&format!("error: {error}")),
            None => self.reply(text::OK),
        }
        if self.said_all {
            self.close(CloseReason::PeerDisconnected);
        }
    }

    /// Something has happened that the client may want to hear of.
    pub fn notice(&mut self, notice: &Notice) {
        if self.wish.is_some_and(|wish| notice.is_for(wish)) {
            self.event(&notice.text());
        }
    }

    /// So many events could not be kept for the client.
    pub fn lost(&mut self, count: u64) {
        if self.wish.is_some() {
            self.event(&format!("notify: lost: {count}"));
        }
    }

    /// The time limit, see [`deadline`](Self::deadline).
    pub fn timer(&mut self, now: Instant) {
        if self.deadline().is_some_and(|deadline| deadline <= now) {
            self.close(CloseReason::Idle);
        }
    }

    /// When [`timer`](Self::timer) is to be called.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.idle_since().and_then(|since| since.checked_add(self.idle_timeout?))
    }

    /// Since when the client could have said something; none while it waits for us.
    #[must_use]
    pub fn idle_since(&self) -> Option<Instant> {
        let waits = self.wish.is_some() || self.flushing.is_some() || self.is_busy() || self.closed;
        (!waits).then_some(self.quiet_since)
    }

    /// Nothing more comes from the client; `error` if it is gone for good. One that only has nothing more to say still waits
    /// for the end of its `flush`.
    pub fn peer_closed(&mut self, error: Option<&str>) {
        match error {
            Some(text) => self.close(CloseReason::Broken(text.to_owned())),
            None if self.flushing.is_some() && !self.said_all => self.said_all = true,
            None => self.close(CloseReason::PeerDisconnected),
        }
    }

    /// The client has nothing more to say: there is nothing to be read.
    #[must_use]
    pub fn said_all(&self) -> bool {
        self.said_all
    }

    /// The connection ends for this reason. As 2.6, without a word.
    pub fn end(&mut self, reason: CloseReason) {
        self.close(reason);
    }

    /// A question is open or a list is being given out: no input and no events are taken.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.open.is_some() || self.listing.is_some()
    }

    /// The client has asked for events.
    #[must_use]
    pub fn wants_events(&self) -> bool {
        self.wish.is_some()
    }

    /// The first line decides what ends a line.
    fn is_line_end(&mut self) -> bool {
        let before = self.line.len().checked_sub(2).and_then(|at| self.line.get(at));
        let with_cr = before == Some(&b'\r');
        !*self.crlf.get_or_insert(with_cr) || with_cr
    }

    fn line_end(&self) -> &'static str {
        if self.crlf == Some(true) { "\r\n" } else { "\n" }
    }

    fn obey(&mut self, line: &[u8]) {
        let line = without_telnet(line);
        let Ok(line) = str::from_utf8(&line) else { return self.mistake(text::UNRECOGNISED) };
        if command::is_http(line) {
            return self.close(CloseReason::Http);
        }
        match command::parse(line, self.config.terminate) {
            None => self.prompt(),
            Some(Err(Mistake::Unknown)) => self.mistake(text::UNRECOGNISED),
            Some(Err(Mistake::Usage(usage))) => self.reply(&usage),
            Some(Ok(command)) if command.needs() > self.right => self.mistake(text::DENIED),
            Some(Ok(command)) => self.perform(command),
        }
    }

    fn perform(&mut self, command: Command) {
        match command {
            Command::Help => {
                self.lines(&text::help(self.right, self.config.terminate, self.config.short_help));
            }
            Command::Pid => self.reply(&self.config.pid.to_string()),
            Command::Info(topic) => self.info(topic),
            Command::Notify(wish) => self.wish = wish,
            Command::Quit => self.close(CloseReason::Asked),
            Command::Terminate => {
                self.outputs.push_back(Output::Terminate);
                self.close(CloseReason::Asked);
            }
            Command::Flush { .. } if self.flushing.is_some() => self.reply(text::STILL_WORKING),
            Command::Flush { verbose } => {
                self.flushing = Some(verbose);
                self.outputs.push_back(Output::Flush);
            }
            Command::List(state) => self.ask(Request::List(state), Open::Listed),
            Command::Status => self.ask(Request::Status, Open::Listed),
            Command::UnfailAll => self.ask(Request::UnfailAll, Open::Silent),
            Command::Forward => self.ask(Request::Forward, Open::Plain),
            Command::Smtp { enable } => self.ask(Request::Smtp { enable }, Open::Plain),
            Command::Dnsbl(seconds) => self.ask(Request::Dnsbl(seconds), Open::Plain),
            Command::Show(id) | Command::Explain(id) | Command::Act(_, id) | Command::Fail { id, .. }
                if !is_id(&id) =>
            {
                self.reply(text::INVALID_ID);
            }
            Command::Show(id) => {
                let header = self.right >= Right::Operator;
                self.ask(Request::Show { id, header }, Open::Listed);
            }
            Command::Explain(id) => self.ask(Request::Explain(id), Open::Listed),
            Command::Act(action, id) => self.ask(Request::Act(action, id), Open::Plain),
            Command::Fail { id, reason } => self.ask(Request::Fail { id, reason }, Open::Plain),
            Command::Purge { older } => self.ask(Request::Purge { older }, Open::Listed),
        }
    }

    fn info(&mut self, topic: Topic) {
        match topic {
            Topic::Version => self.reply(&self.config.version.clone()),
            Topic::Copyright => self.reply(text::COPYRIGHT),
            Topic::Warranty => self.lines(&text::WARRANTY.map(str::to_owned)),
            Topic::Credit => self.lines(&text::CREDIT.map(str::to_owned)),
        }
    }

    fn mistake(&mut self, reply: &str) {
        self.reply(reply);
        self.errors += 1;
        if self.errors >= MAX_ERRORS {
            self.close(CloseReason::TooManyErrors);
        }
    }

    fn ask(&mut self, request: Request, open: Open) {
        self.open = Some(open);
        self.outputs.push_back(Output::Ask(request));
    }

    fn lines(&mut self, lines: &[String]) {
        self.reply(&lines.join(self.line_end()));
    }

    fn list(&mut self, text: Arc<str>) {
        if text.is_empty() {
            return self.reply(text::NONE);
        }
        self.listing = Some(Listing { text, given: 0 });
    }

    /// A list is given out in pieces, so that it costs little more while the client reads it.
    fn give_out(&mut self) {
        let end = self.line_end();
        let Some(listing) = &mut self.listing else { return };
        let mut piece = String::new();
        let text = Arc::clone(&listing.text);
        for line in text.get(listing.given..).unwrap_or_default().split_terminator('\0') {
            piece.push_str(line);
            piece.push_str(end);
            listing.given += line.len() + 1;
            if piece.len() >= PIECE {
                break;
            }
        }
        if listing.given >= listing.text.len() {
            self.listing = None;
            piece.push_str(text::PROMPT);
        }
        self.send(piece);
    }

    fn event(&mut self, words: &str) {
        self.send(format!("{}EVENT: {words}  ", self.line_end()));
    }

    fn reply(&mut self, words: &str) {
        self.send(format!("{words}{}{}", self.line_end(), text::PROMPT));
    }

    fn prompt(&mut self) {
        self.send(text::PROMPT.to_owned());
    }

    fn send(&mut self, words: String) {
        if !self.closed {
            self.outputs.push_back(Output::Send(words.into_bytes()));
        }
    }

    fn close(&mut self, reason: CloseReason) {
        if !std::mem::replace(&mut self.closed, true) {
            self.listing = None;
            self.open = None;
            self.outputs.push_back(Output::Close(reason));
        }
    }
}

/// What can be a message id: never a path, and no hidden file.
fn is_id(word: &str) -> bool {
    !word.starts_with('.') && !word.contains(['/', '\0'])
}

/// Takes out what a telnet client negotiates (RFC 854): 0xFF, a command, and for four of them an option.
fn without_telnet(line: &[u8]) -> Vec<u8> {
    const ESCAPE: u8 = 0xff;
    let mut out = Vec::with_capacity(line.len());
    let mut rest = line.iter().copied();
    while let Some(byte) = rest.next() {
        if byte != ESCAPE {
            out.push(byte);
        } else if let Some(0xfb..=0xfe) = rest.next() {
            rest.next();
        }
    }
    out
}
