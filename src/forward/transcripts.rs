//! Runs `tests/transcripts/smtp-client/*.txt`: dialogues of the client session with what they mean for the message.
//!
//! | line | meaning |
//! |---|---|
//! | `# text` | comment |
//! | `S: line` | the server sends this line; adjoining ones arrive together |
//! | `C: line` | the client must send this line; adjoining ones are one write, `C--` stands between two writes |
//! | `! config key=value ...` | settings, before anything else |
//! | `! message from=A to=B,C size=N body=K utf8 content=TEXT` | start a message; without `content` it is withheld |
//! | `! content TEXT`, `! last TEXT`, `! fill N` | a piece of withheld content; `fill` is N times `x` |
//! | `! raw TEXT` | bytes from the server without a line end |
//! | `! +60s`, `! close [error]`, `! quit` | time passes, the connection ends, the session is to end |
//! | `! secured` | the handshake has succeeded, or the connection was secure from its start |
//! | `= starttls`, `= ready`, `= need content`, `= close` | outputs of the session |
//! | `= done ...`, `= fault STAGE: TEXT`, `= log LEVEL TEXT` | outputs of the session |
//! | `= disposition ...`, `= compat26 ...` | judgement of the last result or fault |
//!
//! `\r \n \0 \\ \xHH` are bytes, `\c` at the end of a `C:` line says that no line end follows, `[N x]` is what was filled. Every dialogue runs twice: with whole pieces and byte by byte.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::outcome::{self, Disposition, Failure, Policy};
use crate::sasl::client::{Credentials, Proof};
use crate::sasl::{self, Hash, HmacKey, Secret};
use crate::smtp::Body;
use crate::smtp::client::{
    ClientConfig, Event, Level, Login, MessageResult, Outcome, Outgoing, Output, RecipientResult, Session,
    StartTls,
};

#[test]
fn transcripts_hold() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts/smtp-client");
    let mut failures = Vec::new();
    let mut count = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        count += 1;
        for piece in [usize::MAX, 1] {
            if let Err(failure) = Runner::new(piece).run(&text) {
                failures.push(format!("{name}:{failure} (pieces of {piece})"));
            }
        }
    }
    assert!(count > 120, "only {count} transcripts found");
    assert!(failures.is_empty(), "\n{}\n", failures.join("\n"));
}

struct Runner {
    piece: usize,
    config: ClientConfig,
    login: Option<Login>,
    session: Option<Session>,
    now: Instant,
    content: Option<Vec<u8>>,
    outputs: VecDeque<String>,
    wrote_last: bool,
    judged: Option<[Disposition; 2]>,
}

impl Runner {
    fn new(piece: usize) -> Self {
        Self {
            piece,
            config: ClientConfig {
                ehlo_name: "c.example.net".to_owned(),
                response_timeout: Some(Duration::from_secs(60)),
                final_timeout: Some(Duration::from_secs(600)),
                ..ClientConfig::default()
            },
            login: None,
            session: None,
            now: Instant::now(),
            content: None,
            outputs: VecDeque::new(),
            wrote_last: false,
            judged: None,
        }
    }

    fn run(&mut self, text: &str) -> Result<(), String> {
        let mut lines = text.lines().enumerate().peekable();
        while let Some((at, line)) = lines.next() {
            let mut server = Vec::new();
            if let Some(first) = line.strip_prefix("S: ") {
                server.extend_from_slice(&unescaped(first));
                server.extend_from_slice(b"\r\n");
                while let Some(next) = lines.peek().and_then(|(_, next)| next.strip_prefix("S: ")) {
                    server.extend_from_slice(&unescaped(next));
                    server.extend_from_slice(b"\r\n");
                    lines.next();
                }
            }
            self.line(line, &server).map_err(|failure| format!("{}: {failure}", at + 1))?;
        }
        match self.outputs.front() {
            None => Ok(()),
            Some(output) => Err(format!("at the end: unexpected {output}")),
        }
    }

    fn line(&mut self, line: &str, server: &[u8]) -> Result<(), String> {
        if line.is_empty() || line.starts_with('#') {
            return Ok(());
        }
        if let Some(settings) = line.strip_prefix("! config ") {
            settings.split(' ').for_each(|setting| self.setting(setting));
            return Ok(());
        }
        let judgements = [("= disposition ", 0), ("= compat26 ", 1)];
        for (prefix, index) in judgements {
            if let Some(expected) = line.strip_prefix(prefix) {
                let actual = self.judged.as_ref().map(|judged| rendered(&judged[index]));
                return compare(expected, &actual.ok_or("nothing to judge")?);
            }
        }
        if line.starts_with("C") || line.starts_with("=") {
            self.session();
            return compare(line, &self.outputs.pop_front().unwrap_or("(nothing)".to_owned()));
        }
        if let Some(output) = self.outputs.front() {
            return Err(format!("before {line:?}: unexpected {output}"));
        }
        self.wrote_last = false;
        if !server.is_empty() {
            self.server_sends(server);
        } else if let Some(input) = line.strip_prefix("! ") {
            self.input(input)?;
        } else {
            return Err(format!("what is {line:?}?"));
        }
        self.drain();
        Ok(())
    }

    fn setting(&mut self, setting: &str) {
        let (key, value) = setting.split_once('=').unwrap();
        let seconds = || value.parse().ok().filter(|&n| n > 0).map(Duration::from_secs);
        match key {
            "pipelining" => self.config.pipelining = value == "on",
            "forward" => self.config.forward_to_some = value == "some",
            "size" => self.config.send_size = value == "on",
            "eightbit" => self.config.eightbit_strict = value == "strict",
            "binarymime" => self.config.binarymime_strict = value == "strict",
            "smtputf8" => self.config.smtputf8_strict = value == "strict",
            "chunking" => self.config.chunking = value == "on",
            "chunk" => self.config.chunk_size = value.parse().unwrap(),
            "tls" => {
                self.config.starttls = match value {
                    "offered" => StartTls::IfOffered,
                    "required" => StartTls::Required,
                    _ => StartTls::Never,
                }
            }
            "trace" => self.config.trace = value == "on",
            "prompt" => self.config.prompt_timeout = seconds(),
            "response" => self.config.response_timeout = seconds(),
            "final" => self.config.final_timeout = seconds(),
            _ => self.login_setting(key, value),
        }
    }

    fn login_setting(&mut self, key: &str, value: &str) {
        let login = self.login.get_or_insert_with(|| Login {
            nonce: "rOprNGfwEbeRWgbNEkqO".to_owned(),
            local: true,
            ..Login::default()
        });
        match key {
            "login" => {
                let [kind, user, secret] = value.split(':').collect::<Vec<_>>()[..] else {
                    panic!("{value}")
                };
                let secret = Secret::from(secret);
                let proof = match kind {
                    "plain" => Proof::Password(secret),
                    "oauth" => Proof::Bearer(secret),
                    "token" => Proof::Token(secret),
                    hash => Proof::Key(HmacKey::new(Hash::by_name(hash).unwrap(), &secret)),
                };
                login.entries.push((Credentials { user: user.to_owned(), proof }, Some(1)));
            }
            "auth" => login.policy = sasl::Policy::parse_client(value).0,
            "selector" => login.selector = value.to_owned(),
            "local" => login.local = value == "yes",
            "renewable" => login.renewable = value == "yes",
            _ => panic!("no such setting: {key}={value}"),
        }
    }

    fn session(&mut self) -> &mut Session {
        let (config, login, now) = (&self.config, &self.login, self.now);
        self.session
            .get_or_insert_with(|| Session::new(Arc::new(config.clone()), now).with_login(login.clone()))
    }

    fn server_sends(&mut self, bytes: &[u8]) {
        let now = self.now;
        for piece in bytes.chunks(self.piece.min(bytes.len())) {
            self.session().input(piece, now);
        }
    }

    fn input(&mut self, input: &str) -> Result<(), String> {
        let now = self.now;
        let (word, rest) = input.split_once(' ').unwrap_or((input, ""));
        match word {
            "message" => {
                let message = self.message(rest);
                self.session().send(message, now);
            }
            "content" => self.session().content(&unescaped(rest), false, now),
            "fill" => self.session().content(&vec![b'x'; rest.parse().unwrap()], false, now),
            "last" => self.session().content(&unescaped(rest), true, now),
            "raw" => self.server_sends(&unescaped(rest)),
            "close" => {
                let error = Some(rest).filter(|rest| !rest.is_empty());
                self.session().closed(error, now);
            }
            "token" => self.session().renewed(Some(rest.into()).filter(|_| !rest.is_empty()), now),
            "secured" => self.session().secured(now),
            "quit" => self.session().quit(now),
            _ => {
                let seconds = word.strip_prefix('+').and_then(|word| word.strip_suffix('s'));
                let seconds = seconds.and_then(|n| n.parse().ok()).ok_or("unknown input")?;
                self.session();
                self.now += Duration::from_secs(seconds);
                let now = self.now;
                self.session().timer(now);
            }
        }
        Ok(())
    }

    fn message(&mut self, text: &str) -> Outgoing {
        let mut message = Outgoing::default();
        let (fields, content) = match text.split_once("content=") {
            Some((fields, content)) => (fields, Some(unescaped(content))),
            None => (text, None),
        };
        message.size = content.as_ref().map_or(0, |content| content.len() as u64);
        self.content = content;
        for field in fields.split_terminator(' ') {
            let (key, value) = field.split_once('=').unwrap_or((field, ""));
            let value = String::from_utf8(unescaped(value)).unwrap();
            match key {
                "from" => message.sender = value,
                "to" => message.recipients = value.split_terminator(',').map(str::to_owned).collect(),
                "size" => message.size = value.parse().unwrap(),
                "utf8" => message.utf8_mailboxes = true,
                "body" => {
                    message.body = match value.as_str() {
                        "7bit" => Body::SevenBit,
                        "8bit" => Body::EightBit,
                        "binarymime" => Body::BinaryMime,
                        _ => Body::Unknown,
                    }
                }
                _ => panic!("no such field: {field}"),
            }
        }
        message
    }

    /// Takes the outputs, and gives content where it is there to be given.
    fn drain(&mut self) {
        while let Some(output) = self.session().next() {
            let was_write = std::mem::replace(&mut self.wrote_last, matches!(output, Output::Send(_)));
            match output {
                Output::Send(bytes) => {
                    if was_write {
                        self.outputs.push_back("C--".to_owned());
                    }
                    let lines = match bytes.strip_suffix(b"\r\n") {
                        Some(lines) => folded(escaped(lines)),
                        None => folded(escaped(&bytes)) + "\\c",
                    };
                    for line in lines.split("\\r\\n") {
                        self.outputs.push_back(format!("C: {line}"));
                    }
                }
                Output::Ready => self.outputs.push_back("= ready".to_owned()),
                Output::StartTls => self.outputs.push_back("= starttls".to_owned()),
                Output::NeedToken(entry) => self.outputs.push_back(format!("= token {entry}")),
                Output::NeedContent => self.give_content(),
                Output::Done(result) => {
                    self.outputs.push_back(format!("= done {}", summary(&result)));
                    self.judge(|policy| outcome::of_message(result.clone(), policy));
                }
                Output::Fault(fault) => {
                    self.outputs.push_back(format!("= fault {:?}: {fault}", fault.stage).to_owned());
                    if fault.stage != crate::smtp::client::Stage::Idle {
                        self.judge(|policy| outcome::of_fault(&fault, policy));
                    }
                }
                Output::Log(event) => self.outputs.push_back(log_line(&event)),
                Output::Close => self.outputs.push_back("= close".to_owned()),
            }
        }
    }

    fn give_content(&mut self) {
        let now = self.now;
        let Some(content) = &mut self.content else {
            self.outputs.push_back("= need content".to_owned());
            return;
        };
        let piece = self.piece.min(content.len());
        let chunk: Vec<u8> = content.drain(..piece).collect();
        let last = content.is_empty();
        self.session().content(&chunk, last, now);
    }

    fn judge(&mut self, of: impl Fn(Policy) -> Disposition) {
        let old = Policy { compat26: true, ..Policy::default() };
        self.judged = Some([of(Policy::default()), of(old)]);
    }
}

fn compare(expected: &str, actual: &str) -> Result<(), String> {
    // Editors cut blanks at line ends, so an empty content line may be `C:`.
    let (expected, actual) = (expected.trim_end(), actual.trim_end());
    if expected == actual { Ok(()) } else { Err(format!("expected {expected:?}, got {actual:?}")) }
}

fn summary(result: &MessageResult) -> String {
    let mut text = match &result.outcome {
        Outcome::Sent(reply) => format!("sent {}", reply.code),
        Outcome::MailRefused(reply) => format!("mail refused {}", reply.code),
        Outcome::SomeRefused => "some refused".to_owned(),
        Outcome::AllRefused => "all refused".to_owned(),
        Outcome::DataRefused(reply) => format!("data refused {}", reply.code),
        Outcome::ContentRefused(reply) => format!("content refused {}", reply.code),
        Outcome::Local(refusal) => format!("local: {refusal}"),
    };
    for recipient in &result.recipients {
        match &recipient.result {
            RecipientResult::Accepted => {}
            RecipientResult::Refused(reply) => text += &format!(" {}={}", recipient.address, reply.code),
            RecipientResult::NotTried => text += &format!(" {}=-", escaped(recipient.address.as_bytes())),
        }
    }
    text
}

fn rendered(disposition: &Disposition) -> String {
    match disposition {
        Disposition::Sent => "sent".to_owned(),
        Disposition::SentSome { remaining, retry, failure } => {
            let then = if *retry { "retry" } else { "fail" };
            format!("sent-some remaining={} then={then}{}", remaining.join(","), rest(failure))
        }
        Disposition::Permanent(failure) => format!("permanent{}", rest(failure)),
        Disposition::Temporary(failure) => format!("temporary{}", rest(failure)),
        Disposition::SessionFault { text } => format!("session-fault {text}"),
    }
}

fn rest(failure: &Failure) -> String {
    let mut text = String::new();
    if failure.in_doubt {
        text += " in-doubt";
    }
    if let Some(code) = failure.code {
        text += &format!(" code={code}");
    }
    for rejection in &failure.rejected {
        text += &format!(" rejected={}:{}", rejection.address, rejection.reply.code);
    }
    text + &format!(" reason={}", escaped(failure.reason.as_bytes()))
}

fn log_line(event: &Event) -> String {
    let level = match event.level() {
        Level::Warning => "warning",
        Level::Verbose => "verbose",
    };
    format!("= log {level} {event}")
}

fn escaped(bytes: &[u8]) -> String {
    let one = |&b: &u8| match b {
        b'\r' => "\\r".to_owned(),
        b'\n' => "\\n".to_owned(),
        0 => "\\0".to_owned(),
        b'\\' => "\\\\".to_owned(),
        0x20..=0x7e => char::from(b).to_string(),
        _ => format!("\\x{b:02x}"),
    };
    bytes.iter().map(one).collect()
}

/// Shortens what `! fill` has made.
fn folded(text: String) -> String {
    let Some(from) = text.find("xxxxxxxxxx") else { return text };
    let (head, tail) = text.split_at(from);
    let rest = tail.trim_start_matches('x');
    format!("{head}[{} x]{}", tail.len() - rest.len(), folded(rest.to_owned()))
}

fn unescaped(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        if b != b'\\' {
            out.push(b);
            continue;
        }
        match bytes.next().expect("escape") {
            b'r' => out.push(b'\r'),
            b'n' => out.push(b'\n'),
            b'0' => out.push(0),
            b'x' => {
                let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
                out.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
            }
            other => out.push(other),
        }
    }
    out
}
