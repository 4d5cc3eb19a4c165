//! `mailq`: what waits in the spool, in the form that people and monitoring scripts know.

use std::fmt::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::fmt::strtime;

use crate::spool::{Envelope, RetryState, Waiting};

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
/// When a message came in, by the local clock.
const TIME: &str = "%a %b %d %H:%M:%S %Y";

/// Lists what waits.
///
/// # Errors
/// When the spool cannot be read.
pub(super) fn print(store: &SpoolStore) -> Result<(), Fault> {
    let spool = store.spool();
    let waiting = spool.waiting().map_err(|error| StoreFault::Temporary(error.to_string()))?;
    let mut text = String::new();
    let (mut count, mut bytes) = (0, 0);
    for message in &waiting {
        // One that has just been taken, or is damaged, is the forwarder's affair.
        let Ok(Some((envelope, state))) = spool.peek(&message.id) else { continue };
        let size = spool.content_size(&message.id).unwrap_or_default();
        text.push_str(&entry(message, size, &envelope, &state));
        count += 1;
        bytes += size;
    }
    if count == 0 {
        super::print(EMPTY);
        return Ok(());
    }
    let requests = if count == 1 { "Request" } else { "Requests" };
    super::print(&format!("{TITLE}{text}-- {} Kbytes in {count} {requests}.\n", bytes.div_ceil(1024)));
    Ok(())
}

fn entry(message: &Waiting, size: u64, envelope: &Envelope, state: &RetryState) -> String {
    let sender = if envelope.sender.is_empty() { "<>" } else { &envelope.sender };
    let mut text =
        format!("{:<39} {size:>8} {:<20}  {sender}\n", message.id.to_string(), time(message.since));
    if let Some(reason) = &state.reason {
        let code = state.reason_code.map_or_else(String::new, |code| format!("{code} "));
        let _ = writeln!(text, "    ({code}{reason})");
    }
    for recipient in envelope.local.iter().chain(&envelope.remote) {
        let _ = writeln!(text, "{:COLUMN$}{recipient}", "");
    }
    text.push('\n');
    text
}

fn time(seconds: u64) -> String {
    let time = UNIX_EPOCH + Duration::from_secs(seconds);
    let zoned = Timestamp::try_from(time).map(|at| at.to_zoned(crate::os::clock::now().time_zone().clone()));
    zoned.ok().and_then(|at| strtime::format(TIME, &at).ok()).unwrap_or_default()
}
