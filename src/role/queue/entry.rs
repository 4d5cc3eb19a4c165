//! A message of the spool as lists show it.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::os::clock;
use crate::role::admin::explain;
use crate::spool::{ActionError, Inspection, Listed, MessageState, RetryState, Spool, SpoolError};

pub(super) use explain::word;

/// A message in JSON. The names are part of the documented shape: they stay.
#[derive(Debug, Serialize)]
pub(super) struct Entry<'a> {
    pub(super) id: String,
    pub(super) state: &'static str,
    /// Bytes of the content; null: there is none.
    pub(super) size: Option<u64>,
    /// When it came in, in seconds since 1970.
    pub(super) arrived: u64,
    /// Seconds since then.
    pub(super) age: u64,
    /// Empty for the null sender; null if the envelope cannot be read.
    pub(super) sender: Option<&'a str>,
    /// Addresses that it is sent to.
    pub(super) recipients: &'a [String],
    /// Local recipients.
    pub(super) mailboxes: &'a [String],
    pub(super) attempts: u32,
    /// It is not tried before, in seconds since 1970.
    pub(super) next_attempt: Option<u64>,
    /// Why it failed last.
    pub(super) reason: Option<&'a str>,
    pub(super) reason_code: Option<u16>,
    /// Why the envelope cannot be read.
    pub(super) error: Option<&'a str>,
    /// The fields of the envelope by their own names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) envelope: Option<Map<String, Value>>,
    /// The lines of the content's header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) header: Option<Vec<String>>,
}

impl<'a> Entry<'a> {
    pub(super) fn new(id: String, found: &'a Inspection, now: u64) -> Self {
        let envelope = found.envelope.as_ref();
        let RetryState { attempts, next_attempt, reason, reason_code, .. } = &found.retry;
        let waits = next_attempt.filter(|_| found.state == MessageState::Ready);
        Self {
            id,
            state: word(found.state),
            size: found.size,
            arrived: found.since,
            age: now.saturating_sub(found.since),
            sender: envelope.ok().map(|envelope| envelope.sender.as_str()),
            recipients: envelope.map_or(&[], |envelope| &envelope.remote),
            mailboxes: envelope.map_or(&[], |envelope| &envelope.local),
            attempts: *attempts,
            next_attempt: waits.filter(|next| *next > 0),
            reason: reason.as_deref(),
            reason_code: *reason_code,
            error: envelope.err().map(String::as_str),
            envelope: None,
            header: None,
        }
    }
}

/// Gives all messages in these states to `visit`, oldest first, until it wants no more. One that changes its state meanwhile is given once,
/// where it is found.
///
/// # Errors
/// The directory cannot be read.
pub(in crate::role) fn each(
    spool: &Spool,
    states: &[MessageState],
    mut visit: impl FnMut(&Listed, &Inspection) -> bool,
) -> Result<(), SpoolError> {
    let list = spool.messages(states)?;
    for (at, message) in list.iter().enumerate() {
        let is_same = |other: Option<&Listed>| other.is_some_and(|other| other.id == message.id);
        let found = match spool.inspect_in(&message.id, message.state) {
            Ok(Some(found)) => found,
            // The list has it twice: it was renamed while the directory was read.
            Ok(None)
                if is_same(list.get(at + 1)) || is_same(at.checked_sub(1).and_then(|at| list.get(at))) =>
            {
                continue;
            }
            Ok(None) => match spool.inspect(&message.id) {
                Ok(found) if states.contains(&found.state) => found,
                _ => continue,
            },
            Err(error) => unreadable(message, &error),
        };
        if !visit(message, &found) {
            break;
        }
    }
    Ok(())
}

/// A message whose envelope we may not even open.
fn unreadable(message: &Listed, error: &ActionError) -> Inspection {
    Inspection {
        state: message.state,
        since: message.since,
        envelope: Err(error.to_string()),
        retry: RetryState::default(),
        size: None,
        head: Vec::new(),
    }
}

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    u64::try_from(clock::now().timestamp().as_second()).unwrap_or_default()
}
