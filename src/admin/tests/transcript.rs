//! Runs a transcript; `tests/transcripts/admin/README.md` describes the language.

use std::collections::VecDeque;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::*;

/// Runs a file; the error starts with the line number.
pub(super) fn run(path: &Path) -> Result<(), String> {
    let text = fs::read_to_string(path).unwrap();
    let mut runner = Runner::new();
    for (number, line) in text.lines().enumerate() {
        runner.step(line).map_err(|error| format!("{}: {line}\n    {error}", number + 1))?;
    }
    runner.nothing_left().map_err(|error| format!("end: {error}"))
}

struct Runner {
    config: AdminConfig,
    right: Right,
    idle: Option<Duration>,
    crlf: bool,
    session: Option<Session>,
    now: Instant,
    untaken: Vec<u8>,
    said: Vec<u8>,
    effects: VecDeque<String>,
    answers: VecDeque<Answer>,
}

impl Runner {
    fn new() -> Self {
        Self {
            config: AdminConfig {
                version: "3.0.0".to_owned(),
                pid: 25862,
                terminate: false,
                short_help: false,
            },
            right: Right::Full,
            idle: None,
            crlf: false,
            session: None,
            now: Instant::now(),
            untaken: Vec::new(),
            said: Vec::new(),
            effects: VecDeque::new(),
            answers: VecDeque::new(),
        }
    }

    fn step(&mut self, line: &str) -> Result<(), String> {
        let end = if self.crlf { "\r\n" } else { "\n" };
        if line.is_empty() || line.starts_with('#') {
            return Ok(());
        }
        let (mark, rest) = line.split_at(line.len().min(3));
        match mark {
            "C: " | "C:" => {
                self.nothing_left()?;
                self.client(&[bytes(rest), end.as_bytes().to_vec()].concat());
                Ok(())
            }
            "C+ " => {
                self.nothing_left()?;
                self.client(&bytes(rest));
                Ok(())
            }
            "S: " | "S:" => self.expect(&format!("{rest}{end}")),
            "P" | "P:" => self.expect("E-MailRelay> "),
            "E: " => self.expect(&format!("{end}EVENT: {rest}  ")),
            "A: " => {
                self.answers.push_back(answer(rest)?);
                Ok(())
            }
            _ => match line.split_at(2) {
                ("= ", want) => match self.effects.pop_front() {
                    Some(got) if got == want => Ok(()),
                    other => Err(format!("got {other:?}")),
                },
                ("! ", directive) => self.direct(directive),
                _ => Err("unknown step".to_owned()),
            },
        }
    }

    fn direct(&mut self, directive: &str) -> Result<(), String> {
        self.nothing_left()?;
        let (word, rest) = directive.split_once(' ').unwrap_or((directive, ""));
        match word {
            "terminate" => self.config.terminate = true,
            "short-help" => self.config.short_help = true,
            "crlf" => self.crlf = true,
            "right" => {
                self.right = match rest {
                    "read-only" => Right::ReadOnly,
                    "operator" => Right::Operator,
                    _ => Right::Full,
                }
            }
            "idle" => self.idle = rest.parse().ok().map(Duration::from_secs),
            "connect" => {
                *self = Self {
                    config: self.config.clone(),
                    right: self.right,
                    idle: self.idle,
                    crlf: self.crlf,
                    ..Self::new()
                }
            }
            "event" => self.with(|session| session.notice(&notice(rest, Notice::classic))),
            "extra" => self.with(|session| session.notice(&notice(rest, Notice::extra))),
            "lost" => {
                let count = rest.parse().map_err(|_| "not a number")?;
                self.with(|session| session.lost(count));
            }
            "flushed" => {
                let end = flush_end(rest)?;
                self.with(|session| session.flushed(&end));
            }
            "wait" => {
                self.now += Duration::from_secs(rest.parse().map_err(|_| "not a number")?);
                let now = self.now;
                self.with(|session| session.timer(now));
            }
            "close" => self.with(|session| session.peer_closed(None)),
            "stop" => self.with(|session| session.end(CloseReason::Shutdown)),
            "times" => {
                let (count, line) = rest.split_once(' ').ok_or("no line")?;
                for _ in 0..count.parse().map_err(|_| "not a number")? {
                    self.client(format!("{line}\n").as_bytes());
                }
                self.said.clear();
            }
            "long" => {
                let count = rest.parse().map_err(|_| "not a number")?;
                self.client(&vec![b'x'; count]);
            }
            _ => return Err("unknown directive".to_owned()),
        }
        Ok(())
    }

    fn client(&mut self, bytes: &[u8]) {
        self.untaken.extend_from_slice(bytes);
        self.with(|_| {});
    }

    fn with(&mut self, act: impl FnOnce(&mut Session)) {
        let (config, right, idle, now) = (Arc::new(self.config.clone()), self.right, self.idle, self.now);
        let session = self.session.get_or_insert_with(|| Session::new(config, right, idle, now));
        act(session);
        loop {
            let taken = session.input(&self.untaken, self.now);
            self.untaken.drain(..taken);
            let mut progress = taken > 0;
            while let Some(output) = session.next() {
                progress = true;
                match output {
                    Output::Send(bytes) => self.said.extend(bytes),
                    Output::Ask(request) => {
                        self.effects.push_back(describe(&request));
                        session.answer(self.answers.pop_front().unwrap_or(Answer::Done));
                    }
                    Output::Flush => self.effects.push_back("flush".to_owned()),
                    Output::Terminate => self.effects.push_back("terminate".to_owned()),
                    Output::Close(reason) => {
                        self.effects.push_back(format!("closed {reason}").trim_end().to_owned());
                    }
                }
            }
            if !progress {
                break;
            }
        }
    }

    fn expect(&mut self, want: &str) -> Result<(), String> {
        let got = String::from_utf8_lossy(&self.said).into_owned();
        if !got.starts_with(want) {
            return Err(format!("want {want:?}\n    got  {got:?}, effects {:?}", self.effects));
        }
        self.said.drain(..want.len());
        Ok(())
    }

    fn nothing_left(&self) -> Result<(), String> {
        let said = String::from_utf8_lossy(&self.said);
        if said.is_empty() && self.effects.is_empty() {
            return Ok(());
        }
        Err(format!("before this: unexpected {said:?}, effects {:?}", self.effects))
    }
}

fn bytes(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        match rest.next() {
            Some(b'n') => out.push(b'\n'),
            Some(b'r') => out.push(b'\r'),
            Some(b't') => out.push(b'\t'),
            Some(b'0') => out.push(0),
            Some(b'x') => {
                let digits: String = rest.by_ref().take(2).map(char::from).collect();
                out.push(u8::from_str_radix(&digits, 16).unwrap());
            }
            other => panic!("escape {other:?}"),
        }
    }
    out
}

fn answer(text: &str) -> Result<Answer, String> {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    match word {
        "done" => Ok(Answer::Done),
        "lines" if rest.is_empty() => Ok(Answer::Lines(Vec::new())),
        "lines" => Ok(Answer::Lines(rest.split('|').map(str::to_owned).collect())),
        "failed" => Ok(Answer::Failed(rest.to_owned())),
        _ => Err("unknown answer".to_owned()),
    }
}

fn notice(text: &str, make: fn(&[&str]) -> Notice) -> Notice {
    make(&text.split(": ").collect::<Vec<_>>())
}

fn flush_end(text: &str) -> Result<FlushEnd, String> {
    let mut end = FlushEnd::default();
    let (counts, error) = text.split_once("error=").unwrap_or((text, ""));
    end.error = Some(error.to_owned()).filter(|error| !error.is_empty());
    for (place, word) in [&mut end.sent, &mut end.failed, &mut end.left].into_iter().zip(counts.split(' ')) {
        *place = if word.is_empty() { 0 } else { word.parse().map_err(|_| "not a number")? };
    }
    Ok(end)
}

fn describe(request: &Request) -> String {
    match request {
        Request::List(state) => format!("list {}", state.as_str()),
        Request::UnfailAll => "unfail-all".to_owned(),
        Request::Forward => "forward".to_owned(),
        Request::Status => "status".to_owned(),
        Request::Smtp { enable } => format!("smtp {enable}"),
        Request::Dnsbl(seconds) => format!("dnsbl {seconds}"),
        Request::Show { id, header } => format!("show {id} header={header}"),
        Request::Explain(id) => format!("explain {id}"),
        Request::Act(Action::Requeue { now: true }, id) => format!("requeue {id} now"),
        Request::Act(action, id) => format!("{} {id}", action.as_str()),
        Request::Fail { id, reason } => format!("fail {id} [{reason}]"),
        Request::Purge { older } => format!("purge {older}"),
    }
}
