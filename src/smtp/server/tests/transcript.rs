//! Runs a transcript: a driver that answers every question, with nothing else around the session.

use std::collections::VecDeque;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::*;
use super::script::{self, Step, glob};
use crate::sasl::Mechanism;

/// Date in every `Received:` line.
const DATE: &str = "Fri, 20 Nov 2026 10:29:08 +0000";

/// Runs a file; the error starts with the line number.
pub(super) fn run(path: &Path) -> Result<(), String> {
    let text = fs::read_to_string(path).unwrap();
    let mut runner = Runner::new();
    for (number, line) in text.lines().enumerate() {
        let context = |e: String| format!("{}: {line}\n    {e}", number + 1);
        for step in script::parse(line).map_err(context)? {
            runner.step(step).map_err(context)?;
        }
    }
    runner.nothing_left().map_err(|e| format!("end: {e}"))
}

/// What a session did besides replying.
#[derive(Debug)]
enum Effect {
    Store(Box<Transaction>),
    Discard,
    Closed(String),
}

struct Runner {
    config: ServerConfig,
    /// Makes the sessions.
    create: fn(Arc<ServerConfig>, Peer, Instant) -> Session,
    peer: Peer,
    session: Option<Session>,
    now: Instant,
    /// Bytes of `C& ` lines.
    batch: Vec<u8>,
    untaken: Vec<u8>,
    replies: VecDeque<String>,
    effects: VecDeque<Effect>,
    content: Vec<u8>,
    stored: Vec<u8>,
    logs: Vec<String>,
    asked: String,
    held: Option<Question>,
    hold: bool,
    verdicts: VecDeque<Verdict>,
    logins: VecDeque<Answer>,
    blocked: VecDeque<String>,
    begin_refusal: Option<Refusal>,
    commit_refusal: Option<Refusal>,
    tls_refused: bool,
}

impl Runner {
    fn new() -> Self {
        Self {
            config: ServerConfig {
                domain: "test.example.com".to_owned(),
                product: "E-MailRelay V3.0.0".to_owned(),
                ..ServerConfig::default()
            },
            create: Session::new,
            peer: Peer { address: "127.0.0.1".to_owned(), ..Peer::default() },
            session: None,
            now: Instant::now(),
            batch: Vec::new(),
            untaken: Vec::new(),
            replies: VecDeque::new(),
            effects: VecDeque::new(),
            content: Vec::new(),
            stored: Vec::new(),
            logs: Vec::new(),
            asked: String::new(),
            held: None,
            hold: false,
            verdicts: VecDeque::new(),
            logins: VecDeque::new(),
            blocked: VecDeque::new(),
            begin_refusal: None,
            commit_refusal: None,
            tls_refused: false,
        }
    }

    fn step(&mut self, step: Step) -> Result<(), String> {
        match step {
            Step::Send { bytes, now } => {
                self.batch.extend(bytes);
                if now {
                    self.nothing_left()?;
                    self.connected();
                    self.untaken.append(&mut self.batch);
                    self.pump();
                }
            }
            Step::Config(key, value) => {
                if self.session.is_some() {
                    self.disconnect()?;
                }
                self.configure(&key, &value)?;
            }
            Step::Connect => {
                self.disconnect()?;
                self.connected();
            }
            Step::State(state) => self.bring_to(&state)?,
            Step::Wait(time) => self.wait(time)?,
            Step::Close => self.with(|session, now| session.peer_closed(None, now))?,
            Step::Shutdown => self.with(|session, now| session.shutdown(now))?,
            Step::RefuseTls => self.tls_refused = true,
            Step::Tls(cipher) => {
                self.nothing_left()?;
                let session = self.session.as_mut().unwrap();
                if !session.awaits_handshake() {
                    return Err("no handshake is awaited".to_owned());
                }
                session.secured(&cipher, self.now);
            }
            Step::MakeRoom => self.with(|session, now| session.make_room(now))?,
            Step::Verdict(verdict) => self.verdicts.push_back(verdict),
            Step::Blocked(list) => self.blocked.push_back(list),
            Step::Login(answer) => self.logins.push_back(answer),
            Step::Refuse { begin: true, code, text } => self.begin_refusal = Some(Refusal::new(code, text)),
            Step::Refuse { begin: false, code, text } => self.commit_refusal = Some(Refusal::new(code, text)),
            Step::Hold => self.hold = true,
            Step::Answer => {
                self.hold = false;
                let question = self.held.take().ok_or("no question is open")?;
                self.answer(question);
                self.pump();
            }
            expectation => self.expect(expectation)?,
        }
        Ok(())
    }

    fn expect(&mut self, step: Step) -> Result<(), String> {
        match step {
            Step::Expect(want) => {
                let got = self.reply()?;
                same(&want, &got)
            }
            Step::Match(pattern) => {
                let got = self.reply()?;
                if glob(&pattern, &got) { Ok(()) } else { Err(format!("got {got:?}")) }
            }
            Step::SkipTo(prefix) => loop {
                if self.reply()?.starts_with(&prefix) {
                    return Ok(());
                }
            },
            Step::Discard => match self.effects.pop_front() {
                Some(Effect::Discard) => Ok(()),
                other => Err(format!("got {other:?}")),
            },
            Step::Closed(want) => match self.effects.pop_front() {
                Some(Effect::Closed(got)) => same(&want, &got),
                other => Err(format!("got {other:?}")),
            },
            Step::Store(fields) => match self.effects.pop_front() {
                Some(Effect::Store(transaction)) => fields.iter().try_for_each(|(key, want)| {
                    same(want, &field(&transaction, key)?).map_err(|e| format!("{key}: {e}"))
                }),
                other => Err(format!("got {other:?}")),
            },
            Step::Content(want) => {
                let (_, body) = divide(&self.stored, self.config.anonymous.content);
                same(&want.escape_ascii().to_string(), &body.escape_ascii().to_string())
            }
            Step::Received(want) => {
                let (line, _) = divide(&self.stored, false);
                same(&want, &String::from_utf8_lossy(line))
            }
            Step::Ask(want) => same(&want, &self.asked),
            Step::Log(want) => match self.logs.iter().position(|got| *got == want) {
                Some(at) => {
                    self.logs.drain(..=at);
                    Ok(())
                }
                None => Err(format!("logged: {:?}", self.logs)),
            },
            other => Err(format!("not an expectation: {other:?}")),
        }
    }

    fn reply(&mut self) -> Result<String, String> {
        self.connected();
        self.replies.pop_front().ok_or_else(|| format!("no reply; effects {:?}", self.effects))
    }

    fn nothing_left(&self) -> Result<(), String> {
        if self.replies.is_empty() && self.effects.is_empty() {
            return Ok(());
        }
        Err(format!("before this: unexpected replies {:?}, effects {:?}", self.replies, self.effects))
    }

    fn connected(&mut self) {
        if self.session.is_none() {
            let config = Arc::new(self.config.clone());
            self.session = Some((self.create)(config, self.peer.clone(), self.now));
            self.pump();
        }
    }

    fn disconnect(&mut self) -> Result<(), String> {
        self.nothing_left()?;
        *self = Self {
            config: self.config.clone(),
            create: self.create,
            peer: std::mem::take(&mut self.peer),
            ..Self::new()
        };
        Ok(())
    }

    fn bring_to(&mut self, state: &str) -> Result<(), String> {
        const STEPS: [&str; 4] = ["EHLO x", "MAIL FROM:<me@x>", "RCPT TO:<you@y>", "DATA"];
        self.disconnect()?;
        self.connected();
        let lines = match state {
            "start" => &STEPS[..0],
            "idle" => &STEPS[..1],
            "mail" => &STEPS[..2],
            "rcpt" => &STEPS[..3],
            "data" => &STEPS,
            "bdat" => &["EHLO x", "MAIL FROM:<me@x>", "RCPT TO:<you@y>", "BDAT 0"],
            "reset" => &["EHLO x", "MAIL FROM:<me@x> BODY=BINARYMIME", "DATA"],
            _ => return Err("unknown state".to_owned()),
        };
        for line in lines {
            self.untaken.extend_from_slice(line.as_bytes());
            self.untaken.extend_from_slice(b"\r\n");
        }
        self.pump();
        self.replies.clear();
        self.effects.clear();
        self.logs.clear();
        Ok(())
    }

    fn configure(&mut self, key: &str, value: &str) -> Result<(), String> {
        let config = &mut self.config;
        let yes = value == "yes";
        let number = || value.parse::<u64>().map_err(|_| "not a number");
        match key {
            "domain" => config.domain = value.to_owned(),
            "anonymous" => {
                let has = |word| value.split(',').any(|w| w == word);
                config.anonymous =
                    Anonymous { server: has("server"), vrfy: has("vrfy"), content: has("content") };
            }
            "size" => config.max_size = Some(number()?).filter(|n| *n > 0),
            "idle" => config.idle_timeout = Some(number()?).filter(|n| *n > 0).map(Duration::from_secs),
            "habits" => config.habits = if value == "old" { Habits::Old } else { Habits::New },
            "recipients" => config.max_recipients = value.parse().map_err(|_| "not a number")?,
            "pipelining" => config.extensions.pipelining = yes,
            "chunking" => config.extensions.chunking = yes,
            "smtputf8" => config.extensions.smtputf8 = yes,
            "smtputf8strict" => config.extensions.smtputf8_strict = yes,
            "enhancedstatuscodes" => config.extensions.enhanced_status_codes = yes,
            "strictaddress" => config.strict_address = yes,
            "strictparsing" => config.strict_parsing = yes,
            "alabels" => config.alabels = yes,
            "trace" => config.trace = yes,
            "barelf" => {
                config.bare_lf = match value {
                    "accept" => BareLf::Accept,
                    "smuggling" => BareLf::Smuggling,
                    "reject" => BareLf::Reject,
                    _ => return Err("unknown value".to_owned()),
                }
            }
            "peer" => self.peer.address = value.to_owned(),
            "auth" => self.offer().clear = mechanisms(value)?,
            "auth-tls" => {
                let names = mechanisms(value)?;
                (self.offer().secure, self.offer().bound) = (names.clone(), names);
            }
            "trust" => {
                let trust = |(keyword, reason): (&str, &str)| Trust {
                    keyword: keyword.to_owned(),
                    reason: reason.to_owned(),
                };
                self.peer.trust = value.split_once(' ').map(trust).map(Box::new);
            }
            "auth-delay" => config.auth_delay = Some(number()?).filter(|n| *n > 0).map(Duration::from_secs),
            "starttls" => config.starttls = yes,
            "tls-required" => config.tls_required = yes,
            "screened" => self.peer.screened = yes,
            "cipher" => self.peer.cipher = Some(value.into()).filter(|_| !value.is_empty()),
            "disabled" => self.create = if yes { Session::disabled } else { Session::new },
            _ => return Err("unknown key".to_owned()),
        }
        Ok(())
    }

    fn offer(&mut self) -> &mut Offer {
        Arc::make_mut(self.peer.offer.get_or_insert_default())
    }

    fn with(&mut self, act: impl FnOnce(&mut Session, Instant)) -> Result<(), String> {
        self.nothing_left()?;
        self.connected();
        act(self.session.as_mut().unwrap(), self.now);
        self.pump();
        Ok(())
    }

    fn wait(&mut self, time: Duration) -> Result<(), String> {
        self.nothing_left()?;
        self.connected();
        let until = self.now + time;
        while let Some(at) = self.session.as_ref().unwrap().deadline().filter(|at| *at <= until) {
            self.now = at;
            let session = self.session.as_mut().unwrap();
            session.timer(at);
            assert_ne!(session.deadline(), Some(at), "a deadline that has passed must go away");
            self.pump();
        }
        self.now = until;
        self.session.as_mut().unwrap().timer(until);
        self.pump();
        Ok(())
    }

    /// The driver loop.
    fn pump(&mut self) {
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

    fn perform(&mut self, output: Output) {
        match output {
            Output::Send(bytes) => {
                let text = String::from_utf8(bytes).unwrap();
                let text = text.strip_suffix("\r\n").expect("replies end with CRLF");
                self.replies.extend(text.split("\r\n").map(str::to_owned));
            }
            Output::Ask(question) => {
                self.asked = describe(&question);
                if let Question::Commit(transaction) = &question {
                    self.stored = std::mem::take(&mut self.content);
                    self.effects.push_back(Effect::Store(transaction.clone()));
                }
                if self.hold { self.held = Some(question) } else { self.answer(question) }
            }
            Output::Content(bytes) => self.content.extend(bytes),
            Output::Discard => {
                self.content.clear();
                self.effects.push_back(Effect::Discard);
            }
            Output::StartTls => {}
            Output::Log(event) => self.logs.push(event.to_string()),
            Output::Close(reason) => self.effects.push_back(Effect::Closed(reason.to_string())),
        }
    }

    fn answer(&mut self, question: Question) {
        let answer = match question {
            Question::Screen => {
                self.blocked.pop_front().map_or(Answer::Admitted, |list| Answer::Blocked { list })
            }
            Question::Begin { .. } => match self.begin_refusal.take() {
                Some(refusal) => Answer::Refused(refusal),
                None => Answer::Begun { received_date: DATE.to_owned() },
            },
            Question::Verify { recipient: address, .. } | Question::Vrfy { argument: address, .. } => {
                Answer::Verified(self.verdicts.pop_front().unwrap_or(Verdict::Remote { address }))
            }
            Question::Authenticate(_) => self.logins.pop_front().unwrap_or(Answer::LoginRefused),
            Question::StartTls if std::mem::take(&mut self.tls_refused) => {
                Answer::Refused(Refusal::new(454, ""))
            }
            Question::StartTls => Answer::TlsReady,
            Question::Commit(_) => self.commit_refusal.take().map_or(Answer::Stored, Answer::Refused),
        };
        self.session.as_mut().unwrap().answer(answer, self.now);
    }
}

fn describe(question: &Question) -> String {
    match question {
        Question::Screen => "screen".to_owned(),
        Question::Begin { sender, declared_size: None } => format!("begin <{sender}>"),
        Question::Begin { sender, declared_size: Some(size) } => format!("begin <{sender}> size={size}"),
        Question::Verify { recipient, sender, login } => {
            format!("verify <{recipient}> from <{sender}>{}", by(login.as_ref()))
        }
        Question::Vrfy { argument, login } => format!("vrfy {argument}{}", by(login.as_ref())),
        Question::Authenticate(AuthStep::Begin { mechanism, initial: None }) => format!("auth {mechanism}"),
        Question::Authenticate(AuthStep::Begin { mechanism, initial: Some(bytes) }) => {
            format!("auth {mechanism} [{}]", bytes.expose().escape_ascii())
        }
        Question::Authenticate(AuthStep::Respond(bytes)) => {
            format!("auth response [{}]", bytes.expose().escape_ascii())
        }
        Question::StartTls => "starttls".to_owned(),
        Question::Commit(_) => "commit".to_owned(),
    }
}

fn by(login: Option<&Login>) -> String {
    let mechanism =
        |login: &Login| login.mechanism.map_or("none".to_owned(), |mechanism| mechanism.to_string());
    login.map(|login| format!(" by {} {}", mechanism(login), login.identity)).unwrap_or_default()
}

fn mechanisms(names: &str) -> Result<Vec<Mechanism>, String> {
    let names = names.split(',').filter(|name| !name.is_empty());
    names.map(|name| Mechanism::by_name(name).ok_or(format!("unknown mechanism {name}"))).collect()
}

fn field(transaction: &Transaction, key: &str) -> Result<String, String> {
    Ok(match key {
        "from" => transaction.sender.clone(),
        "to" => transaction.remote.join(","),
        "local" => transaction.local.join(","),
        "body" => transaction.body.as_parameter().unwrap_or("unknown").to_owned(),
        "auth" => transaction.mail_auth.clone().unwrap_or_default(),
        "utf8" => u8::from(transaction.utf8_mailboxes).to_string(),
        "login" => transaction.authentication.clone(),
        "size" => transaction.size.to_string(),
        "hello" => transaction.hello.clone(),
        "recipients" => transaction.recipients().to_string(),
        _ => return Err("unknown field".to_owned()),
    })
}

/// First line without CRLF, and the rest; all is rest if there is no `Received:` line.
fn divide(content: &[u8], bare: bool) -> (&[u8], &[u8]) {
    match content.windows(2).position(|pair| pair == b"\r\n") {
        Some(end) if !bare => (&content[..end], &content[end + 2..]),
        _ => (&[], content),
    }
}

fn same(want: &str, got: &str) -> Result<(), String> {
    if want == got { Ok(()) } else { Err(format!("want {want:?}\n    got  {got:?}")) }
}
