//! A driver for tests: accounts, a mailbox in memory, and knobs for everything that can go wrong.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::*;
use crate::sasl::{Hash, Mechanism};

/// The challenge of every session.
const CHALLENGE: &str = "<1.2@test.example.com>";

/// What happened besides replies.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Deleted(Vec<usize>),
    StartTls,
    CloseContent,
    Closed(String),
}

/// A mailbox in memory.
#[derive(Clone, Debug, Default)]
pub(super) struct Letters(pub(super) Vec<(String, Vec<u8>)>);

impl Maildrop for Letters {
    fn count(&self) -> usize {
        self.0.len()
    }
    fn total(&self) -> u64 {
        self.0.iter().map(|(_, text)| text.len() as u64).sum()
    }
    fn size(&self, index: usize) -> u64 {
        self.0[index].1.len() as u64
    }
    fn unique_name(&self, index: usize) -> String {
        format!("{}.content", self.0[index].0)
    }
}

pub(super) struct Driver {
    pub(super) config: PopConfig,
    pub(super) start: Start,
    pub(super) letters: Letters,
    /// Bytes of a block.
    pub(super) block: usize,
    pub(super) session: Option<Session>,
    pub(super) now: Instant,
    pub(super) untaken: Vec<u8>,
    pub(super) sent: Vec<u8>,
    pub(super) effects: VecDeque<Effect>,
    pub(super) logs: Vec<String>,
    pub(super) asked: String,
    /// Questions stay open.
    pub(super) hold: bool,
    pub(super) held: Option<Question>,
    /// Answers to the next questions, instead of the usual ones.
    pub(super) answers: VecDeque<Answer>,
    pub(super) exchange: Option<Mechanism>,
    pub(super) name: Option<Vec<u8>>,
    /// The open message and how much of it has been read.
    pub(super) open: Option<(usize, usize)>,
}

impl Driver {
    pub(super) fn new() -> Self {
        let all = [
            Mechanism::Cram(Hash::Sha256),
            Mechanism::Cram(Hash::Md5),
            Mechanism::Plain,
            Mechanism::Login,
            Mechanism::Apop,
        ];
        let offer = Offer::new(all.to_vec());
        let offers = Offers { clear: offer.clone(), secure: offer.clone(), bound: offer };
        let letter = |name: &str, text: &str| (name.to_owned(), text.as_bytes().to_vec());
        Self {
            config: PopConfig { product: Some("E-MailRelay V3.0.0".to_owned()), ..PopConfig::default() },
            start: Start { offers, challenge: CHALLENGE.to_owned(), channel: Channel::Clear },
            letters: Letters(vec![
                letter("one", "Subject: one\r\n\r\nhello\r\n.dot\r\n"),
                letter("two", "Subject: two\r\n\r\nbye\r\n"),
            ]),
            block: BLOCK,
            session: None,
            now: Instant::now(),
            untaken: Vec::new(),
            sent: Vec::new(),
            effects: VecDeque::new(),
            logs: Vec::new(),
            asked: String::new(),
            hold: false,
            held: None,
            answers: VecDeque::new(),
            exchange: None,
            name: None,
            open: None,
        }
    }

    pub(super) fn connected(&mut self) -> &mut Session {
        if self.session.is_none() {
            let config = Arc::new(self.config.clone());
            self.session = Some(Session::new(config, self.start.clone(), self.now));
            self.pump();
        }
        self.session.as_mut().unwrap()
    }

    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.connected();
        self.untaken.extend_from_slice(bytes);
        self.pump();
    }

    pub(super) fn pump(&mut self) {
        loop {
            let session = self.session.as_mut().unwrap();
            let taken = session.input(&self.untaken, self.now);
            self.untaken.drain(..taken);
            let mut progress = taken > 0;
            while let Some(output) = self.session.as_mut().unwrap().next() {
                progress = true;
                self.perform(output);
            }
            if !progress {
                break;
            }
        }
    }

    pub(super) fn wait(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(at) = self.connected().deadline().filter(|at| *at <= until) {
            self.now = at;
            let session = self.session.as_mut().unwrap();
            session.timer(at);
            assert_ne!(session.deadline(), Some(at), "a deadline that has passed must go away");
            self.pump();
        }
        self.now = until;
        self.session.as_mut().unwrap().timer(until);
        self.pump();
    }

    fn perform(&mut self, output: Output) {
        match output {
            Output::Send(bytes) => self.sent.extend(bytes),
            Output::Ask(question) => {
                self.asked = describe(&question);
                if self.hold { self.held = Some(question) } else { self.answer(question) }
            }
            Output::CloseContent => self.effects.push_back(Effect::CloseContent),
            Output::StartTls => {
                self.effects.push_back(Effect::StartTls);
                if !self.untaken.is_empty() {
                    self.session.as_mut().unwrap().plaintext_after_stls();
                }
            }
            Output::Log(event) => self.logs.push(event.to_string()),
            Output::Close(reason) => self.effects.push_back(Effect::Closed(reason.to_string())),
        }
    }

    pub(super) fn answer(&mut self, question: Question) {
        let usual = self.usual(question);
        let answer = self.answers.pop_front().unwrap_or(usual);
        self.session.as_mut().unwrap().answer(answer, self.now);
    }

    fn usual(&mut self, question: Question) -> Answer {
        match question {
            Question::Login(login) => self.login(login),
            Question::Open { index } => {
                self.open = Some((index, 0));
                Answer::Content { size: self.letters.size(index), block: self.next_block() }
            }
            Question::More => Answer::More(self.next_block()),
            Question::Delete(marks) => {
                self.effects.push_back(Effect::Deleted(marks.iter().map(|index| index + 1).collect()));
                Answer::Deleted
            }
        }
    }

    fn next_block(&mut self) -> Block {
        let (index, from) = self.open.unwrap();
        let rest = &self.letters.0[index].1[from..];
        let bytes = rest[..self.block.min(rest.len())].to_vec();
        self.open = Some((index, from + bytes.len()));
        Block { last: bytes.len() == rest.len(), bytes }
    }

    fn judge(&self, right: bool) -> Answer {
        match right {
            true => Answer::LoggedIn(Arc::new(self.letters.clone())),
            false => Answer::Denied(Denial::Wrong(Duration::ZERO)),
        }
    }

    fn login(&mut self, login: Login) -> Answer {
        match login {
            Login::Password { user, password } => {
                self.judge(user == b"alice" && password.expose() == b"secret 1")
            }
            Login::Apop { user, digest } => self.judge(user == b"alice" && digest == b"good"),
            Login::Begin { mechanism, initial, .. } => {
                (self.exchange, self.name) = (Some(mechanism), None);
                match (mechanism, initial) {
                    (_, Some(initial)) => self.respond(initial.expose()),
                    (Mechanism::Plain, None) => Answer::Challenge(Vec::new()),
                    (Mechanism::Login, None) => Answer::Challenge(b"Username:".to_vec()),
                    _ => Answer::Challenge(CHALLENGE.as_bytes().to_vec()),
                }
            }
            Login::Respond(response) => self.respond(response.expose()),
        }
    }

    fn respond(&mut self, response: &[u8]) -> Answer {
        match (self.exchange.unwrap(), self.name.take()) {
            (Mechanism::Plain, _) => self.judge(response == b"\0alice\0secret 1"),
            (Mechanism::Login, None) => {
                self.name = Some(response.to_vec());
                Answer::Challenge(b"Password:".to_vec())
            }
            (Mechanism::Login, Some(name)) => self.judge(name == b"alice" && response == b"secret 1"),
            _ => self.judge(response == b"alice good"),
        }
    }
}

fn describe(question: &Question) -> String {
    match question {
        Question::Login(Login::Password { user, .. }) => format!("password {}", user.escape_ascii()),
        Question::Login(Login::Apop { user, .. }) => format!("apop {}", user.escape_ascii()),
        Question::Login(Login::Begin { mechanism, initial, secure }) => {
            let initial = initial.as_ref().map(|bytes| bytes.expose().escape_ascii().to_string());
            format!("{mechanism} initial={initial:?} secure={secure}")
        }
        Question::Login(Login::Respond(_)) => "response".to_owned(),
        Question::Open { index } => format!("open {}", index + 1),
        Question::More => "more".to_owned(),
        Question::Delete(_) => "delete".to_owned(),
    }
}
