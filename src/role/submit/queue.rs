//! `mailq`: what waits in the spool, in the form that people and monitoring scripts know.

use std::fmt::Write as _;
use std::io::{self, BufWriter, Write as _};
use std::time::{Duration, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::fmt::strtime;

use crate::role::queue;
use crate::role::words::shown::shown;
use crate::spool::{Envelope, Listed, MessageState, RetryState};

use super::fault::Fault;
use super::spool_store::SpoolStore;
use super::store::StoreFault;

/// Written when there is nothing.
const EMPTY: &str = "Mail queue is empty\n";
/// Above the list.
const TITLE: &str =
    "-Queue ID-                              --Size-- ----Arrival Time---- -Sender/Recipient-------\n";
/// Where recipients begin.
const COLUMN: usize = 71;
/// So much of an address or a reason is shown, in characters.
const MAX_TEXT: usize = 1000;
/// When a message came in, by the local clock.
const TIME: &str = "%a %b %d %H:%M:%S %Y";

/// Lists what waits.
///
/// # Errors
/// When the spool cannot be read.
pub(super) fn print(store: &SpoolStore) -> Result<(), Fault> {
    let mut out = BufWriter::new(io::stdout());
    let (mut count, mut bytes) = (0_u64, 0);
    let listed = queue::each(store.spool(), &[MessageState::Ready], |message, found| {
        // A damaged one is the forwarder's affair.
        let Ok(envelope) = &found.envelope else { return true };
        let size = found.size.unwrap_or_default();
        let title = if count == 0 { TITLE } else { "" };
        (count, bytes) = (count + 1, bytes + size);
        // A reader that has gone away wants no more.
        write!(out, "{title}{}", entry(message, size, envelope, &found.retry)).is_ok()
    });
    listed.map_err(|error| StoreFault::Temporary(error.to_string()))?;
    let requests = if count == 1 { "Request" } else { "Requests" };
    let end = match count {
        0 => EMPTY.to_owned(),
        _ => format!("-- {} Kbytes in {count} {requests}.\n", bytes.div_ceil(1024)),
    };
    let _ = out.write_all(end.as_bytes()).and_then(|()| out.flush());
    Ok(())
}

fn entry(message: &Listed, size: u64, envelope: &Envelope, state: &RetryState) -> String {
    let safe = |text: &str| shown(text, MAX_TEXT);
    let sender = if envelope.sender.is_empty() { "<>".to_owned() } else { safe(&envelope.sender) };
    let mut text =
        format!("{:<39} {size:>8} {:<20}  {sender}\n", safe(&message.id.to_string()), time(message.since));
    if let Some(reason) = &state.reason {
        let code = state.reason_code.map_or_else(String::new, |code| format!("{code} "));
        let _ = writeln!(text, "    ({code}{})", safe(reason));
    }
    for recipient in envelope.local.iter().chain(&envelope.remote) {
        let _ = writeln!(text, "{:COLUMN$}{}", "", safe(recipient));
    }
    text.push('\n');
    text
}

fn time(seconds: u64) -> String {
    let time = UNIX_EPOCH + Duration::from_secs(seconds);
    let zoned = Timestamp::try_from(time).map(|at| at.to_zoned(crate::os::clock::now().time_zone().clone()));
    zoned.ok().and_then(|at| strtime::format(TIME, &at).ok()).unwrap_or_default()
}
