//! Runs a transcript. `tests/transcripts/pop/README.md` describes the language for writers.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::super::*;
use super::driver::{Driver, Effect};
use crate::sasl::Mechanism;
use crate::smtp::server::tests::script::{glob, unescape};

/// Runs a file; the error starts with the line number.
pub(super) fn run(path: &Path) -> Result<(), String> {
    let text = fs::read_to_string(path).unwrap();
    let mut runner = Runner { driver: Driver::new(), batch: Vec::new() };
    for (number, line) in text.lines().enumerate() {
        runner.line(line).map_err(|e| format!("{}: {line}\n    {e}", number + 1))?;
    }
    runner.nothing_left().map_err(|e| format!("end: {e}"))
}

struct Runner {
    driver: Driver,
    /// Bytes of `C& ` lines.
    batch: Vec<u8>,
}

impl Runner {
    fn line(&mut self, line: &str) -> Result<(), String> {
        if line.is_empty() || line.starts_with('#') {
            return Ok(());
        }
        let (mark, rest) = line.split_once(' ').unwrap_or((line, ""));
        let (mark, count) = match mark.trim_end_matches(':').split_once('*') {
            Some((mark, count)) => (mark, count.parse().map_err(|_| "bad count")?),
            None => (mark.trim_end_matches(':'), 1),
        };
        let text = || String::from_utf8_lossy(&unescape(rest)).into_owned();
        match mark {
            "C" | "C&" | "C>" => {
                let end: &[u8] = if mark == "C>" { b"" } else { b"\r\n" };
                self.batch.extend([&unescape(rest)[..], end].concat().repeat(count));
                if mark != "C&" {
                    self.nothing_left()?;
                    let bytes = std::mem::take(&mut self.batch);
                    self.driver.feed(&bytes);
                }
                Ok(())
            }
            "S" => (0..count).try_for_each(|_| same(&text(), &self.reply()?)),
            "S~" => {
                let got = self.reply()?;
                if glob(&text(), &got) { Ok(()) } else { Err(format!("got {got:?}")) }
            }
            "S..." => {
                // A dot alone is the end of a reply, and not the begin of a line.
                let found = |line: String| if rest == "." { line == rest } else { line.starts_with(rest) };
                while !found(self.reply()?) {}
                Ok(())
            }
            "!" => self.event(rest),
            "=" => self.effect(rest),
            _ => Err("unknown mark".to_owned()),
        }
    }

    fn event(&mut self, text: &str) -> Result<(), String> {
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        let driver = &mut self.driver;
        match word {
            "config" => {
                let (key, value) = rest.split_once('=').ok_or("config needs key=value")?;
                if driver.session.is_some() {
                    self.disconnect()?;
                }
                return self.configure(key, value);
            }
            "connect" => {
                self.disconnect()?;
                self.driver.connected();
                return Ok(());
            }
            "state" => return self.bring_to(rest),
            "hold" => driver.hold = true,
            "answer" => {
                driver.hold = false;
                let question = driver.held.take().ok_or("no question is open")?;
                driver.answer(question);
                driver.pump();
            }
            "deny" => {
                let delay = Duration::from_secs(rest.parse().map_err(|_| "not a number")?);
                driver.answers.push_back(Answer::Denied(Denial::Wrong(delay)));
            }
            "unavailable" => driver.answers.push_back(Answer::Denied(Denial::Unavailable)),
            "in-use" => driver.answers.push_back(Answer::NoMailbox(NoMailbox::InUse)),
            "no-mailbox" => driver.answers.push_back(Answer::NoMailbox(NoMailbox::Unavailable)),
            "bad-mailbox" => driver.answers.push_back(Answer::NoMailbox(NoMailbox::Invalid)),
            "gone" => driver.answers.push_back(Answer::Gone),
            "unreadable" => driver.answers.push_back(Answer::Unreadable),
            "keep" => driver.answers.push_back(Answer::NotDeleted),
            "usual" => {}
            _ => return self.time(word),
        }
        Ok(())
    }

    fn time(&mut self, word: &str) -> Result<(), String> {
        self.nothing_left()?;
        let driver = &mut self.driver;
        let now = driver.now;
        driver.connected();
        let session = driver.session.as_mut().unwrap();
        match word {
            "close" => session.peer_closed(None),
            "shutdown" => session.shutdown(),
            "make-room" => session.make_room(),
            "tls-bound" => session.tls_started(Channel::Bound, now),
            "tls" => session.tls_started(Channel::Secure, now),
            "tls-failed" => session.tls_failed(),
            "progress" => session.sent(now),
            _ => match word.strip_prefix('+').and_then(|w| w.strip_suffix('s')).map(str::parse) {
                Some(Ok(seconds)) => driver.wait(Duration::from_secs(seconds)),
                _ => return Err("unknown event".to_owned()),
            },
        }
        driver.pump();
        Ok(())
    }

    fn effect(&mut self, text: &str) -> Result<(), String> {
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        let driver = &mut self.driver;
        let want = match word {
            "closed" => Effect::Closed(rest.to_owned()),
            "start-tls" => Effect::StartTls,
            "close-content" => Effect::CloseContent,
            "deleted" => Effect::Deleted(rest.split(',').map(|n| n.parse().unwrap()).collect()),
            "ask" => return same(rest, &driver.asked),
            "log" => {
                let at = driver.logs.iter().position(|got| got == rest);
                let at = at.ok_or_else(|| format!("logged: {:?}", driver.logs))?;
                driver.logs.drain(..=at);
                return Ok(());
            }
            _ => return Err("unknown effect".to_owned()),
        };
        driver.connected();
        match driver.effects.pop_front() {
            Some(got) if got == want => Ok(()),
            other => Err(format!("got {other:?}, unread {:?}", String::from_utf8_lossy(&driver.sent))),
        }
    }

    fn reply(&mut self) -> Result<String, String> {
        self.driver.connected();
        let sent = &mut self.driver.sent;
        let end = sent.windows(2).position(|pair| pair == b"\r\n");
        let Some(end) = end else { return Err(format!("no reply; effects {:?}", self.driver.effects)) };
        let line = sent.drain(..end + 2).take(end).collect::<Vec<u8>>();
        Ok(String::from_utf8_lossy(&line).into_owned())
    }

    fn nothing_left(&self) -> Result<(), String> {
        let Driver { sent, effects, .. } = &self.driver;
        if sent.is_empty() && effects.is_empty() {
            return Ok(());
        }
        let sent = String::from_utf8_lossy(sent);
        Err(format!("before this: unexpected replies {sent:?}, effects {effects:?}"))
    }

    fn disconnect(&mut self) -> Result<(), String> {
        self.nothing_left()?;
        let Driver { config, start, letters, block, .. } = std::mem::replace(&mut self.driver, Driver::new());
        self.driver = Driver { config, start, letters, block, ..Driver::new() };
        Ok(())
    }

    fn bring_to(&mut self, state: &str) -> Result<(), String> {
        self.disconnect()?;
        match state {
            "start" => self.driver.feed(b""),
            "in" => self.driver.feed(b"USER alice\r\nPASS secret 1\r\n"),
            _ => return Err("unknown state".to_owned()),
        }
        self.driver.sent.clear();
        self.driver.logs.clear();
        Ok(())
    }

    fn configure(&mut self, key: &str, value: &str) -> Result<(), String> {
        let driver = &mut self.driver;
        let number = || value.parse::<u64>().map_err(|_| "not a number");
        let offer = || {
            let words = value.split(' ').filter(|word| !word.is_empty());
            Offer::new(words.map(|word| Mechanism::by_name(word).unwrap()).collect())
        };
        match key {
            "clear" => driver.start.offers.clear = offer(),
            "secure" => driver.start.offers.secure = offer(),
            "bound" => driver.start.offers.bound = offer(),
            "implicit" if value == "yes" => driver.start.channel = Channel::Secure,
            "implicit" => driver.start.channel = Channel::Clear,
            "tls" => {
                driver.config.tls = match value {
                    "no" => StartTls::No,
                    "offered" => StartTls::Offered,
                    "required" => StartTls::Required,
                    _ => return Err("unknown value".to_owned()),
                }
            }
            "anonymous" => driver.config.product = None,
            "idle" => {
                driver.config.idle_timeout = Some(number()?).filter(|n| *n > 0).map(Duration::from_secs);
            }
            "habits" => driver.config.habits = if value == "old" { Habits::Old } else { Habits::New },
            "trace" => driver.config.trace = value == "yes",
            "block" => driver.block = value.parse().map_err(|_| "not a number")?,
            "mailbox" => driver.letters.0.clear(),
            "message" => {
                let (name, text) = value.split_once(' ').ok_or("a name and a text")?;
                driver.letters.0.push((name.to_owned(), unescape(text)));
            }
            "messages" => {
                let letters = (1..=number()?).map(|n| (format!("m{n}"), b"x\r\n".to_vec()));
                driver.letters.0 = letters.collect();
            }
            _ => return Err("unknown key".to_owned()),
        }
        Ok(())
    }
}

fn same(want: &str, got: &str) -> Result<(), String> {
    if want == got { Ok(()) } else { Err(format!("want {want:?}\n    got  {got:?}")) }
}
