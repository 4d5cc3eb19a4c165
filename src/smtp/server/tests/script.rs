//! The language of transcripts: one step per line. `tests/transcripts/smtp-server/README.md` describes it for writers.

use std::time::Duration;

use super::super::{Answer, Rejection, Verdict};

/// One line of a transcript.
#[derive(Debug)]
pub(super) enum Step {
    /// `C: `, `C& `, `C> `: bytes for the session; [`Step::Send::now`] is false for `C& `.
    Send { bytes: Vec<u8>, now: bool },
    /// `S: `: the next reply line, exactly.
    Expect(String),
    /// `S~ `: the next reply line, `*` matches anything.
    Match(String),
    /// `S... `: reply lines up to one that starts so.
    SkipTo(String),
    /// `! config key=value`.
    Config(String, String),
    /// `! connect`: a new session.
    Connect,
    /// `! state mail`: a new session, brought to that state without a look at its replies.
    State(String),
    /// `! +300s`.
    Wait(Duration),
    /// `! close`: the peer closes.
    Close,
    /// `! tls CIPHER`: the handshake succeeds.
    Tls(String),
    /// `! refuse-tls`: the next STARTTLS cannot begin.
    RefuseTls,
    /// `! make-room`.
    MakeRoom,
    /// `! shutdown`.
    Shutdown,
    /// `! verdict ...`: for the next question about an address.
    Verdict(Verdict),
    /// `! blocked LIST`: for the next question about the client.
    Blocked(String),
    /// `! login ...`: for the next step of an exchange of AUTH.
    Login(Answer),
    /// `! refuse 452 text`: the next commit; `! refuse-mail 452 text`: the next begin.
    Refuse { begin: bool, code: u16, text: String },
    /// `! hold`: questions stay open until `! answer`.
    Hold,
    /// `! answer`.
    Answer,
    /// `= store key=value ...`.
    Store(Vec<(String, String)>),
    /// `= content ...`: content since the last message, without its `Received:` line.
    Content(Vec<u8>),
    /// `= received ...`: the first line of the content.
    Received(String),
    /// `= discard`.
    Discard,
    /// `= closed reason`.
    Closed(String),
    /// `= ask ...`: the last question.
    Ask(String),
    /// `= log ...`: a fact was logged.
    Log(String),
}

/// Steps of a transcript line; none for a comment.
pub(super) fn parse(line: &str) -> Result<Vec<Step>, String> {
    if line.is_empty() || line.starts_with('#') {
        return Ok(Vec::new());
    }
    let (mark, rest) = line.split_once(' ').unwrap_or((line, ""));
    let (mark, count) = match mark.split_once('*') {
        Some((mark, count)) => (mark, count.trim_end_matches(':').parse().map_err(|_| "bad count")?),
        None => (mark.trim_end_matches(':'), 1),
    };
    let mut steps: Vec<Step> = (0..count).map(|_| step(mark, rest)).collect::<Result<_, _>>()?;
    // Repeated commands are one batch.
    if let Some((_, earlier)) = steps.split_last_mut() {
        for step in earlier {
            if let Step::Send { now, .. } = step {
                *now = false;
            }
        }
    }
    Ok(steps)
}

fn step(mark: &str, rest: &str) -> Result<Step, String> {
    let text = || String::from_utf8(unescape(rest)).map_err(|_| "not UTF-8".to_owned());
    let line = || [&unescape(rest)[..], b"\r\n"].concat();
    Ok(match mark {
        "C" => Step::Send { bytes: line(), now: true },
        "C&" => Step::Send { bytes: line(), now: false },
        "C>" => Step::Send { bytes: unescape(rest), now: true },
        "S" => Step::Expect(text()?),
        "S~" => Step::Match(text()?),
        "S..." => Step::SkipTo(rest.to_owned()),
        "!" => event(rest)?,
        "=" => effect(rest)?,
        _ => return Err(format!("unknown mark {mark:?}")),
    })
}

fn event(text: &str) -> Result<Step, String> {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    Ok(match word {
        "config" => {
            let (key, value) = rest.split_once('=').ok_or("config needs key=value")?;
            Step::Config(key.to_owned(), value.to_owned())
        }
        "connect" => Step::Connect,
        "state" => Step::State(rest.to_owned()),
        "close" => Step::Close,
        "shutdown" => Step::Shutdown,
        "tls" => Step::Tls(rest.to_owned()),
        "refuse-tls" => Step::RefuseTls,
        "make-room" => Step::MakeRoom,
        "hold" => Step::Hold,
        "answer" => Step::Answer,
        "blocked" => Step::Blocked(rest.to_owned()),
        "verdict" => Step::Verdict(verdict(rest)?),
        "login" => Step::Login(login(rest)?),
        "refuse" | "refuse-mail" => {
            let (code, text) = coded(rest)?;
            Step::Refuse { begin: word == "refuse-mail", code, text }
        }
        _ => match word.strip_prefix('+').and_then(|w| w.strip_suffix('s')).map(str::parse) {
            Some(Ok(seconds)) => Step::Wait(Duration::from_secs(seconds)),
            _ => return Err(format!("unknown event {text:?}")),
        },
    })
}

fn effect(text: &str) -> Result<Step, String> {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    let pair = |word: &str| word.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned()));
    Ok(match word {
        "store" => Step::Store(
            rest.split_whitespace()
                .map(|w| pair(w).ok_or(format!("store: {w}")))
                .collect::<Result<_, _>>()?,
        ),
        "content" => Step::Content(unescape(rest)),
        "received" => Step::Received(rest.to_owned()),
        "discard" => Step::Discard,
        "closed" => Step::Closed(rest.to_owned()),
        "ask" => Step::Ask(rest.to_owned()),
        "log" => Step::Log(rest.to_owned()),
        _ => return Err(format!("unknown effect {text:?}")),
    })
}

fn verdict(text: &str) -> Result<Verdict, String> {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    Ok(match word {
        "local" => {
            let (mailbox, full_name) = rest.split_once(' ').unwrap_or((rest, ""));
            Verdict::Local { mailbox: mailbox.to_owned(), full_name: full_name.to_owned() }
        }
        "remote" => Verdict::Remote { address: rest.to_owned() },
        "reject" => {
            let (code, text) = coded(rest)?;
            let (text, reason) = text.split_once(" | ").unwrap_or((&text, ""));
            let rejection = [Rejection::Permanent, Rejection::Temporary, Rejection::LocalFault]
                .into_iter()
                .find(|rejection| rejection.code() == code)
                .ok_or_else(|| format!("no rejection has code {code}"))?;
            Verdict::Rejected { rejection, text: text.to_owned(), reason: reason.to_owned() }
        }
        "abort" => Verdict::Abort,
        _ => return Err(format!("unknown verdict {text:?}")),
    })
}

fn login(text: &str) -> Result<Answer, String> {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    Ok(match word {
        "challenge" => Answer::Challenge(unescape(rest)),
        "accept" => Answer::LoggedIn { identity: rest.to_owned() },
        "refuse" => Answer::LoginRefused,
        "cannot" => Answer::LoginUnavailable,
        _ => return Err(format!("unknown answer {text:?}")),
    })
}

fn coded(text: &str) -> Result<(u16, String), String> {
    let (code, text) = text.split_once(' ').unwrap_or((text, ""));
    Ok((code.parse().map_err(|_| format!("no code in {code:?}"))?, text.to_owned()))
}

/// Resolves `\r \n \t \0 \\ \xHH` and `\{text*count}`.
pub(crate) fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        let escape = &rest[at + 1..];
        let length = match escape.as_bytes()[0] {
            b'x' => {
                out.push(u8::from_str_radix(&escape[1..3], 16).unwrap());
                3
            }
            b'{' => {
                let end = escape.find('}').unwrap();
                let (part, count) = escape[1..end].rsplit_once('*').unwrap();
                out.extend(unescape(part).repeat(count.parse().unwrap()));
                end + 1
            }
            other => {
                out.push(match other {
                    b'r' => b'\r',
                    b'n' => b'\n',
                    b't' => b'\t',
                    b'0' => b'\0',
                    b'\\' => b'\\',
                    _ => panic!("unknown escape in {text:?}"),
                });
                1
            }
        };
        rest = &escape[length..];
    }
    out.extend_from_slice(rest.as_bytes());
    out
}

/// True if `text` matches `pattern`, in which `*` stands for anything.
pub(crate) fn glob(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((head, tail)) => text
            .strip_prefix(head)
            .is_some_and(|rest| (0..=rest.len()).any(|i| rest.is_char_boundary(i) && glob(tail, &rest[i..]))),
    }
}
