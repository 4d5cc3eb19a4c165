//! The lines we keep behind the `End` line: reasons of failures, and the state of retries.
//!
//! A permanent failure appends its reason and leaves earlier ones, since scripts count them. A retry instead replaces
//! the lines of the retry before, so that five days of retries do not make the file grow. These are:
//!
//! ```text
//! X-MailRelay-InDoubt: <unix time> <address>          if an attempt ended between the final dot and its reply
//! X-MailRelay-FirstTry: <unix time>
//! X-MailRelay-Attempts: <n>
//! X-MailRelay-GiveUp: <unix time>                     if it is given up at any time
//! X-MailRelay-NextAttempt: <unix time>
//! X-MailRelay-Reason: <text>                          these follow NextAttempt directly, which tells them from
//! X-MailRelay-ReasonCode: <code>                      those of a permanent failure
//! X-MailRelay-LastAttempt: <unix time> <next hop>     if the next hop was reached
//! X-MailRelay-RecipientReason: <address> <code> <text>
//! ```
//!
//! Each time that a process dies with the message in hand the next one adds
//!
//! ```text
//! X-MailRelay-Interrupted: <n> <unix time>
//! ```
//!
//! until an attempt comes to an end.
//!
//! A permanent reason below them ends that series of retries, and so does `Attempts: 0`, which a message gets that an operator brings
//! back: however it had come to fail, it starts afresh.

use super::Envelope;
use crate::spool::id::MessageId;

const REASON: &str = "X-MailRelay-Reason:";
const REASON_CODE: &str = "X-MailRelay-ReasonCode:";
const RECIPIENT_REASON: &str = "X-MailRelay-RecipientReason:";
const NEXT_ATTEMPT: &str = "X-MailRelay-NextAttempt:";
const ATTEMPTS: &str = "X-MailRelay-Attempts:";
const FIRST_TRY: &str = "X-MailRelay-FirstTry:";
const IN_DOUBT: &str = "X-MailRelay-InDoubt:";
const NOTIFIED: &str = "X-MailRelay-Notified:";
const DELAYED: &str = "X-MailRelay-Delayed:";
const INTERRUPTED: &str = "X-MailRelay-Interrupted:";
const GIVE_UP: &str = "X-MailRelay-GiveUp:";
const LAST_ATTEMPT: &str = "X-MailRelay-LastAttempt:";
const SPLIT_FROM: &str = "X-MailRelay-SplitFrom:";

/// Behind the time of a failure that there was nobody to report to.
const NOBODY: &str = " nobody";

/// Longest reason that is recorded, escaped; the rest of a peer's novel is dropped.
const MAX_REASON: usize = 1000;
/// Most bytes of recipient reasons that one failure records, so that ten thousand refusals cannot make an envelope
/// that is too large to be read again.
const MAX_RECIPIENT_REASONS: usize = 32 * 1024;

/// What earlier attempts left in an envelope.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RetryState {
    /// Attempts so far, since the message came in or was brought back by an operator.
    pub attempts: u32,
    /// Time of the first attempt, in seconds since 1970.
    pub first_try: Option<u64>,
    /// The message is not to be tried before this time, in seconds since 1970.
    pub next_attempt: Option<u64>,
    /// Why the last attempt failed, escaped.
    pub reason: Option<String>,
    /// The reply code that went with it.
    pub reason_code: Option<u16>,
    /// The last attempt that may have delivered the message.
    pub in_doubt: Option<InDoubt>,
    /// Attempts in a row that ended with the process.
    pub interrupted: Option<Interrupted>,
    /// When it is going to be given up, in seconds since 1970.
    pub give_up: Option<u64>,
    /// The attempt that the reason is about.
    pub last_attempt: Option<Attempt>,
}

/// An attempt that has reached a next hop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// When it ended, in seconds since 1970.
    pub at: u64,
    /// Transport address of the next hop.
    pub relay: String,
}

/// Attempts that no end is known of, because their process died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interrupted {
    /// How many in a row.
    pub count: u32,
    /// When the last one was found, in seconds since 1970.
    pub at: u64,
}

/// Whether anybody was told of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// There was a report.
    Sent,
    /// There was nobody to be told.
    Nobody,
}

/// A transfer that was complete but for the reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InDoubt {
    /// Seconds since 1970.
    pub at: u64,
    /// Address of the peer.
    pub address: String,
}

/// One recipient that the peer refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// The recipient.
    pub address: String,
    /// Reply code.
    pub code: u16,
    /// Reply text.
    pub text: String,
}

/// Why and when a message is tried again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RetryNote {
    /// Why the attempt failed.
    pub reason: String,
    /// The reply code, if there was a reply.
    pub code: Option<u16>,
    /// Not to be tried before, in seconds since 1970.
    pub next_attempt: u64,
    /// Attempts so far, this one included.
    pub attempts: u32,
    /// Time of the first attempt, in seconds since 1970.
    pub first_try: u64,
    /// When it is going to be given up, in seconds since 1970, if ever.
    pub give_up: Option<u64>,
    /// Replies to recipients that were refused.
    pub rejected: Vec<Rejected>,
    /// When and where, if a next hop was reached.
    pub attempt: Option<Attempt>,
}

/// Why a message failed for good.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FailNote {
    /// The reason.
    pub reason: String,
    /// The reply code, if there was a reply.
    pub code: Option<u16>,
    /// Replies to recipients that were refused.
    pub rejected: Vec<Rejected>,
    /// When and where, if a next hop was reached.
    pub attempt: Option<Attempt>,
}

impl RetryState {
    /// Reads the trailing lines; the latest value wins.
    #[must_use]
    pub fn of(envelope: &Envelope) -> Self {
        let mut state = Self::default();
        let mut block = Block::default();
        for line in &envelope.trailer {
            let line = String::from_utf8_lossy(line);
            let temporary = block.holds(&line);
            let value = |name| line.strip_prefix(name).map(str::trim);
            if let Some(text) = value(REASON) {
                if !temporary {
                    state = Self { in_doubt: state.in_doubt, ..Self::default() };
                }
                (state.reason, state.last_attempt) = (Some(text.to_owned()), None);
            } else if let Some(text) = value(REASON_CODE) {
                state.reason_code = text.parse().ok();
            } else if let Some(text) = value(NEXT_ATTEMPT) {
                state.next_attempt = text.parse().ok();
            } else if let Some(text) = value(ATTEMPTS) {
                state.attempts = text.parse().unwrap_or(0);
                if state.attempts == 0 {
                    (state.next_attempt, state.give_up, state.interrupted) = (None, None, None);
                }
            } else if let Some(text) = value(FIRST_TRY) {
                state.first_try = text.parse().ok();
            } else if let Some(text) = value(GIVE_UP) {
                state.give_up = text.parse().ok();
            } else if let Some(text) = value(IN_DOUBT) {
                state.in_doubt = parse_timed(text).map(|(at, address)| InDoubt { at, address });
            } else if let Some(text) = value(LAST_ATTEMPT) {
                state.last_attempt = parse_timed(text).map(|(at, relay)| Attempt { at, relay });
            } else if let Some(text) = value(INTERRUPTED) {
                state.interrupted = parse_interrupted(text);
            }
        }
        state
    }
}

/// A time, and what stands behind it.
fn parse_timed(text: &str) -> Option<(u64, String)> {
    let (at, rest) = text.split_once(' ')?;
    Some((at.parse().ok()?, rest.to_owned()))
}

fn parse_interrupted(text: &str) -> Option<Interrupted> {
    let (count, at) = text.split_once(' ')?;
    Some(Interrupted { count: count.parse().ok()?, at: at.parse().ok()? })
}

/// The line that counts one more attempt that ended with its process.
pub(crate) fn interrupted_line(envelope: &Envelope, at: u64) -> Vec<u8> {
    let before = RetryState::of(envelope).interrupted.map_or(0, |interrupted| interrupted.count);
    format!("{INTERRUPTED} {} {at}", before.saturating_add(1)).into_bytes()
}

/// Tells which reason lines belong to a retry: at most one of each kind, directly behind `NextAttempt`.
#[derive(Default)]
struct Block {
    /// How far we are behind a `NextAttempt` line; zero if not there.
    stage: u8,
}

impl Block {
    fn holds(&mut self, line: &str) -> bool {
        self.stage = match self.stage {
            _ if line.starts_with(NEXT_ATTEMPT) => 1,
            1 if line.starts_with(REASON) => 2,
            2 if line.starts_with(REASON_CODE) => 3,
            2..=3 if line.starts_with(LAST_ATTEMPT) => 3,
            1..=3 if line.starts_with(RECIPIENT_REASON) => 3,
            _ => 0,
        };
        self.stage > 0
    }
}

/// The lines of a message that is brought back at this time; none if nothing in it says that it was tried before.
pub(crate) fn fresh_start(envelope: &Envelope, at: u64) -> Option<[Vec<u8>; 2]> {
    let RetryState { attempts, first_try, next_attempt, interrupted, .. } = RetryState::of(envelope);
    let is_fresh = attempts == 0 && first_try.is_none() && next_attempt.is_none() && interrupted.is_none();
    let lines = [format!("{FIRST_TRY} {at}").into_bytes(), format!("{ATTEMPTS} 0").into_bytes()];
    (!is_fresh).then_some(lines)
}

/// Makes a message that waits for its next attempt due now, and leaves the record of earlier ones.
pub(crate) fn make_due(trailer: &mut Vec<Vec<u8>>) {
    trailer.retain(|line| !line.starts_with(INTERRUPTED.as_bytes()));
    for line in trailer.iter_mut().filter(|line| line.starts_with(NEXT_ATTEMPT.as_bytes())) {
        *line = format!("{NEXT_ATTEMPT} 0").into_bytes();
    }
}

/// Replaces the lines of earlier retries by those of this one.
pub(crate) fn replace_retry_lines(trailer: &mut Vec<Vec<u8>>, note: &RetryNote) {
    let in_doubt = drop_retry_lines(trailer);
    trailer.extend(in_doubt);
    trailer.push(format!("{FIRST_TRY} {}", note.first_try).into_bytes());
    trailer.push(format!("{ATTEMPTS} {}", note.attempts).into_bytes());
    trailer.extend(note.give_up.map(|at| format!("{GIVE_UP} {at}").into_bytes()));
    trailer.push(format!("{NEXT_ATTEMPT} {}", note.next_attempt).into_bytes());
    trailer.extend(reason_lines(&note.reason, note.code, note.attempt.as_ref(), &note.rejected));
}

/// Removes the lines of retries; what may have been delivered comes back.
pub(crate) fn drop_retry_lines(trailer: &mut Vec<Vec<u8>>) -> Option<Vec<u8>> {
    let mut block = Block::default();
    let mut in_doubt = None;
    trailer.retain(|line| {
        let text = String::from_utf8_lossy(line);
        if text.starts_with(IN_DOUBT) {
            in_doubt = Some(line.clone());
            return false;
        }
        let replaced = [ATTEMPTS, FIRST_TRY, GIVE_UP, INTERRUPTED].iter().any(|name| text.starts_with(name));
        !block.holds(&text) && !replaced
    });
    in_doubt
}

/// The lines that tell of a failure for good.
pub(crate) fn failure_lines(note: &FailNote) -> Vec<Vec<u8>> {
    reason_lines(&note.reason, note.code, note.attempt.as_ref(), &note.rejected)
}

fn reason_lines(
    reason: &str,
    code: Option<u16>,
    attempt: Option<&Attempt>,
    rejected: &[Rejected],
) -> Vec<Vec<u8>> {
    let code = match code {
        Some(code) if code != 0 => format!("{REASON_CODE} {code}"),
        // compat: no space behind the colon.
        _ => REASON_CODE.to_owned(),
    };
    let mut lines = vec![format!("{REASON} {}", escape(reason)).into_bytes(), code.into_bytes()];
    lines
        .extend(attempt.map(|Attempt { at, relay }| format!("{LAST_ATTEMPT} {at} {}", escape(relay)).into()));
    let mut room = MAX_RECIPIENT_REASONS;
    for Rejected { address, code, text } in rejected {
        let line = format!("{RECIPIENT_REASON} {} {code} {}", escape(address), escape(text));
        room = room.saturating_sub(line.len());
        if room == 0 {
            break;
        }
        lines.push(line.into_bytes());
    }
    lines
}

/// How often a message has failed for good. A retry replaces the lines of the one before, so that each failure has one.
pub(crate) fn failures(trailer: &[Vec<u8>]) -> usize {
    trailer.iter().filter(|line| line.starts_with(REASON.as_bytes())).count()
}

/// What has been said of the last failure: the line stands behind its reason.
pub(crate) fn notice(trailer: &[Vec<u8>]) -> Option<Notice> {
    let last = |name: &str| trailer.iter().rposition(|line| line.starts_with(name.as_bytes()));
    let notified = last(NOTIFIED)?;
    let is_later = last(REASON).is_none_or(|reason| reason < notified);
    let to_nobody = trailer.get(notified)?.ends_with(NOBODY.as_bytes());
    is_later.then_some(if to_nobody { Notice::Nobody } else { Notice::Sent })
}

/// When the sender was told of a delay.
pub(crate) fn delay_noted(trailer: &[Vec<u8>]) -> Option<u64> {
    let line = trailer.iter().rev().find_map(|line| line.strip_prefix(DELAYED.as_bytes()))?;
    String::from_utf8_lossy(line).trim().parse().ok()
}

/// The line that says that a failure was reported, or needs no report.
pub(crate) fn notified_line(at: u64, notice: Notice) -> Vec<u8> {
    match notice {
        Notice::Sent => format!("{NOTIFIED} {at}"),
        Notice::Nobody => format!("{NOTIFIED} {at}{NOBODY}"),
    }
    .into_bytes()
}

/// The line that says that the sender knows of the delay.
pub(crate) fn delayed_line(at: u64) -> Vec<u8> {
    format!("{DELAYED} {at}").into_bytes()
}

/// See [`Envelope::refusal_of`].
pub(crate) fn refusal_of(trailer: &[Vec<u8>], recipient: &str) -> Option<(u16, String)> {
    let start = trailer.iter().rposition(|line| line.starts_with(REASON.as_bytes()))?;
    let recipient = escape(recipient);
    trailer.iter().skip(start).find_map(|line| {
        let text = line.strip_prefix(RECIPIENT_REASON.as_bytes())?.strip_prefix(b" ")?;
        // An address may have blanks, so that it cannot be told from the line where it ends.
        let rest = text.strip_prefix(recipient.as_bytes())?.strip_prefix(b" ")?;
        let rest = String::from_utf8_lossy(rest);
        let (code, text) = rest.split_once(' ').unwrap_or((&rest, ""));
        Some((code.parse().ok()?, text.to_owned()))
    })
}

/// The line of recipients that were set aside: which message they come from.
pub(crate) fn split_line(id: &MessageId) -> Vec<u8> {
    format!("{SPLIT_FROM} {id}").into_bytes()
}

/// See [`Envelope::split_from`].
pub(crate) fn split_from(trailer: &[Vec<u8>]) -> Option<MessageId> {
    let line = trailer.iter().find_map(|line| line.strip_prefix(SPLIT_FROM.as_bytes()))?;
    String::from_utf8_lossy(line).trim().parse().ok()
}

/// The line that marks a message as possibly delivered.
pub(crate) fn in_doubt_line(at: u64, address: &str) -> Vec<u8> {
    format!("{IN_DOUBT} {at} {}", escape(address)).into_bytes()
}

/// Printable ASCII in one line: the escapes of E-MailRelay 2.6.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.trim_end().bytes() {
        match byte {
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            0 => out.push_str("\\0"),
            b'\\' => out.push_str("\\\\"),
            b' '..=b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("\\x{byte:02x}")),
        }
        if out.len() >= MAX_REASON {
            break;
        }
    }
    out
}
