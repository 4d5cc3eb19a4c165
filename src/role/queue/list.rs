//! `emailrelay-queue list`.

use std::fmt::Write as _;

use super::Run;
use super::entry::{Entry, each, now, word};
use super::out::Output;
use crate::role::words::shown::{shown, size, span};
use crate::spool::{Inspection, MessageId};

/// Above the list.
const TITLE: &str = "ID                             STATE    SIZE  AGE  SENDER -> RECIPIENTS\n";
/// So much of an address is shown, and of a reason, in characters.
const MAX_ADDRESS: usize = 60;
const MAX_REASON: usize = 200;

impl Run<'_> {
    /// Lists messages.
    pub(super) fn list(&self) -> u8 {
        let options = self.options;
        let mut out = Output::new(options.json, "{\"command\":\"list\",\"messages\":[");
        let mut count = 0_usize;
        let now = now();
        let listed = each(&self.spool, &options.states, |message, found| {
            if count == 0 && !options.only_ids {
                out.text(TITLE);
            }
            count += 1;
            let entry = Entry::new(message.id.to_string(), found, now);
            out.item(&entry, || match options.only_ids {
                true => format!("{}\n", message.id),
                false => lines(&message.id, found, now),
            });
            !out.is_gone()
        });
        out.finish();
        listed.map_or_else(|error| self.fatal(&error), |()| 0)
    }
}

/// A line, and another one with the last reason.
fn lines(id: &MessageId, found: &Inspection, now: u64) -> String {
    let id = shown(&id.to_string(), usize::MAX);
    let size = found.size.map_or_else(|| "-".to_owned(), size);
    let age = span(now.saturating_sub(found.since));
    let mut text = format!("{id:<30} {:<6} {size:>6} {age:>4}  ", word(found.state));
    match &found.envelope {
        Ok(envelope) => {
            let sender = if envelope.sender.is_empty() { "<>" } else { &envelope.sender };
            let mailboxes = envelope.local.iter().map(|name| format!("mailbox {}", shown(name, MAX_ADDRESS)));
            let addresses = envelope.remote.iter().map(|address| shown(address, MAX_ADDRESS));
            let first = mailboxes.chain(addresses).next().unwrap_or_else(|| "nobody".to_owned());
            let more = (envelope.local.len() + envelope.remote.len()).saturating_sub(1);
            let _ = write!(text, "{} -> {first}", shown(sender, MAX_ADDRESS));
            let _ = if more > 0 { writeln!(text, " and {more} more") } else { writeln!(text) };
        }
        Err(fault) => _ = writeln!(text, "? {}", shown(fault, MAX_REASON)),
    }
    text.push_str(&reason(found, now));
    text
}

fn reason(found: &Inspection, now: u64) -> String {
    let retry = &found.retry;
    let Some(reason) = &retry.reason else { return String::new() };
    let code = retry.reason_code.map(|code| format!("{code} ")).unwrap_or_default();
    let waits =
        retry.next_attempt.filter(|next| *next > now && found.state == crate::spool::MessageState::Ready);
    let next = waits.map(|next| format!("; again in {}", span(next - now))).unwrap_or_default();
    format!("    ({code}{}{next})\n", shown(reason, MAX_REASON))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::{Envelope, MessageState, RetryState};

    #[test]
    fn a_message_takes_a_line_whatever_is_in_it() {
        let envelope = Envelope {
            sender: "\u{1b}[2Jevil\n@x".to_owned(),
            remote: vec!["b@example.net".to_owned(), "c@example.net".to_owned()],
            ..Envelope::default()
        };
        let retry = RetryState {
            reason: Some("try \u{7}later".to_owned()),
            reason_code: Some(450),
            next_attempt: Some(1_000_000_300),
            ..RetryState::default()
        };
        let mut found = Inspection {
            state: MessageState::Ready,
            since: 1_000_000_000 - 3600,
            envelope: Ok(envelope),
            retry,
            size: Some(1234),
            head: Vec::new(),
        };
        let id = "emailrelay.77.1795170755.1".parse().unwrap();
        assert_eq!(
            lines(&id, &found, 1_000_000_000),
            "emailrelay.77.1795170755.1     ready    1234  60m  \\x1b[2Jevil\\x0a@x -> b@example.net and 1 more\n    \
             (450 try \\x07later; again in 5m)\n"
        );
        found.envelope = Err("no end line".to_owned());
        (found.size, found.retry) = (None, RetryState::default());
        let line = "emailrelay.77.1795170755.1     ready       -  60m  ? no end line\n";
        assert_eq!(lines(&id, &found, 1_000_000_000), line);
        assert_eq!(TITLE.find("STATE"), line.find("ready"));
        assert_eq!(TITLE.find("SENDER"), line.find('?'));
    }
}
