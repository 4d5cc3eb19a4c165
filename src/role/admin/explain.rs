//! A message in words: `show` and `explain`.

use std::time::Duration;

use jiff::Timestamp;

use crate::admin::State;
use crate::smtp::escape::printable;
use crate::spool::{Inspection, Interrupted, MessageState};

/// So many lines of a header are shown.
const MAX_HEADER_LINES: usize = 100;

/// What configuration and forwarders say about messages that wait.
#[derive(Clone, Copy)]
pub(super) struct Policy<'a> {
    /// Where messages go whose envelope does not tell.
    pub(super) next_hop: Option<&'a str>,
    /// How long they are tried.
    pub(super) give_up: Option<Duration>,
    /// Until when no forwarder tries its next hop, in seconds since 1970.
    pub(super) left_alone: Option<u64>,
}

/// The fields of the envelope as they stand in the file, state, size, and the header of the content.
pub(in crate::role) fn show(found: &Inspection, header: bool) -> Vec<String> {
    let mut lines: Vec<String> = match &found.envelope {
        Ok(envelope) => envelope
            .to_bytes()
            .split(|byte| *byte == b'\n')
            .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
            .map(|line| printable(line.strip_prefix(b"X-MailRelay-").unwrap_or(line)))
            .filter(|line| !line.is_empty() && line != "End: 1")
            .collect(),
        Err(fault) => vec![format!("Fault: {}", printable(fault.as_bytes()))],
    };
    lines.push(format!("State: {}", word(found.state)));
    lines.push(found.size.map_or_else(|| "Size: no content".to_owned(), |size| format!("Size: {size}")));
    if header {
        lines.push(String::new());
        let head =
            found.head.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let head = head.take_while(|line| !line.is_empty()).take(MAX_HEADER_LINES);
        lines.extend(head.map(printable));
    }
    lines
}

/// Why the message is where it is, what was tried, what the next hop said, and what comes next.
pub(super) fn explain(found: &Inspection, policy: &Policy<'_>, now: u64) -> Vec<String> {
    let retry = &found.retry;
    let mut lines =
        vec![format!("State: {}", word(found.state)), format!("Waits: {}", waits(found, policy, now))];
    let mut add = |name: &str, value: String| lines.push(format!("{name}: {}", printable(value.as_bytes())));
    let next_hop = match &found.envelope {
        Ok(envelope) if !envelope.forward_to_address.is_empty() => Some(envelope.forward_to_address.as_str()),
        _ => policy.next_hop,
    };
    add("Next hop", next_hop.unwrap_or("none is configured").to_owned());
    if let Some(until) = policy.left_alone.filter(|until| *until > now) {
        add("Next hop is tried", format!("{} (in {} s)", time(until), until - now));
    }
    if let Some(next) = retry.next_attempt.filter(|next| *next > now && found.state == MessageState::Ready) {
        add("Next attempt", format!("{} (in {} s)", time(next), next - now));
    }
    if retry.attempts > 0 {
        add("Attempts", retry.attempts.to_string());
    }
    if let Some(first) = retry.first_try {
        add(if retry.attempts > 0 { "First attempt" } else { "Brought back" }, time(first));
        if let Some(end) = policy.give_up.and_then(|limit| first.checked_add(limit.as_secs())) {
            add("Given up after", time(end));
        }
    }
    if let Some(reason) = &retry.reason {
        let code = retry.reason_code.map(|code| format!("{code} ")).unwrap_or_default();
        lines.push(format!("Last reason: {code}{reason}"));
    }
    if let Some(doubt) = &retry.in_doubt {
        let text = format!("In doubt: {} may have taken it at {}", doubt.address, time(doubt.at));
        lines.push(printable(text.as_bytes()));
    }
    if let Some(Interrupted { count, at }) = retry.interrupted {
        let at = time(at);
        lines.push(format!(
            "Interrupted: {count} times in a row forwarding has died with it in hand, by {at}"
        ));
    }
    if let Ok(envelope) = &found.envelope {
        let refused =
            envelope.trailer.iter().filter_map(|line| line.strip_prefix(b"X-MailRelay-RecipientReason: "));
        lines.extend(refused.map(|text| format!("Refused: {}", printable(text))));
    }
    lines
}

fn waits(found: &Inspection, policy: &Policy<'_>, now: u64) -> String {
    if let Err(fault) = &found.envelope {
        return format!("for its envelope to be repaired: {}", printable(fault.as_bytes()));
    }
    match found.state {
        MessageState::New => "for the end of its reception".to_owned(),
        MessageState::Busy => "for the reply of the next hop".to_owned(),
        MessageState::Held => "until an administrator releases it".to_owned(),
        MessageState::Failed => "for an administrator: it has failed for good".to_owned(),
        MessageState::Ready if found.size.is_none() => "for its content, which is missing".to_owned(),
        MessageState::Ready if found.retry.next_attempt.is_some_and(|next| next > now) => {
            "for its next attempt".to_owned()
        }
        MessageState::Ready if policy.left_alone.is_some_and(|until| until > now) => {
            "for its next hop, which is left alone after a failure".to_owned()
        }
        MessageState::Ready => "for the next forwarding run".to_owned(),
    }
}

pub(in crate::role) fn word(state: MessageState) -> &'static str {
    let state = match state {
        MessageState::New => State::New,
        MessageState::Ready => State::Ready,
        MessageState::Busy => State::Busy,
        MessageState::Failed => State::Failed,
        MessageState::Held => State::Held,
    };
    state.as_str()
}

/// RFC 3339, UTC. An envelope may name any time.
fn time(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    time.map_or_else(|| format!("second {seconds}"), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::{Envelope, InDoubt, Interrupted, RetryState};

    fn found(state: MessageState) -> Inspection {
        let envelope = Envelope {
            sender: "a@example.com".to_owned(),
            remote: vec!["b@example.net".to_owned()],
            trailer: vec![b"X-MailRelay-RecipientReason: b@example.net 450 later \x1b".to_vec()],
            ..Envelope::default()
        };
        let retry = RetryState {
            attempts: 3,
            first_try: Some(1_000_000_000),
            next_attempt: Some(1_000_000_600),
            reason: Some("try later".to_owned()),
            reason_code: Some(450),
            in_doubt: Some(InDoubt { at: 1_000_000_000, address: "192.0.2.1:25".to_owned() }),
            interrupted: Some(Interrupted { count: 2, at: 1_000_000_000 }),
            ..RetryState::default()
        };
        let head = b"Subject: x\x07y\r\nFrom: a\r\n\r\nbody\r\n".to_vec();
        Inspection { state, since: 0, envelope: Ok(envelope), retry, size: Some(32), head }
    }

    #[test]
    fn a_waiting_message_is_explained() {
        let give_up = Some(Duration::from_secs(432_000));
        let policy = Policy { next_hop: Some("smtp.example.com:25"), give_up, left_alone: None };
        assert_eq!(
            explain(&found(MessageState::Ready), &policy, 1_000_000_400),
            [
                "State: ready",
                "Waits: for its next attempt",
                "Next hop: smtp.example.com:25",
                "Next attempt: 2001-09-09T01:56:40Z (in 200 s)",
                "Attempts: 3",
                "First attempt: 2001-09-09T01:46:40Z",
                "Given up after: 2001-09-14T01:46:40Z",
                "Last reason: 450 try later",
                "In doubt: 192.0.2.1:25 may have taken it at 2001-09-09T01:46:40Z",
                "Interrupted: 2 times in a row forwarding has died with it in hand, by 2001-09-09T01:46:40Z",
                "Refused: b@example.net 450 later \\x1b",
            ]
        );
        let left_alone = Policy { left_alone: Some(1_000_000_700), ..policy };
        let waits = explain(&found(MessageState::Ready), &left_alone, 1_000_000_600);
        assert_eq!(waits[1], "Waits: for its next hop, which is left alone after a failure");
        assert_eq!(waits[3], "Next hop is tried: 2001-09-09T01:58:20Z (in 100 s)");
        let due = explain(&found(MessageState::Ready), &policy, 1_000_000_600);
        assert_eq!(due[1], "Waits: for the next forwarding run");
        let none = Policy { next_hop: None, give_up: None, left_alone: None };
        let held = explain(&found(MessageState::Held), &none, 0);
        assert_eq!(held[1..3], ["Waits: until an administrator releases it", "Next hop: none is configured"]);
        let damaged = Inspection { envelope: Err("no end line".to_owned()), ..found(MessageState::Ready) };
        assert_eq!(explain(&damaged, &none, 0)[1], "Waits: for its envelope to be repaired: no end line");
    }

    #[test]
    fn a_message_is_shown_without_its_body() {
        let lines = show(&found(MessageState::Failed), true);
        let at = |text: &str| {
            lines.iter().position(|line| line == text).unwrap_or_else(|| panic!("{text}: {lines:?}"))
        };
        assert!(at("From: a@example.com") < at("To-Remote: b@example.net"));
        assert_eq!(
            lines[at("State: failed")..],
            ["State: failed", "Size: 32", "", "Subject: x\\x07y", "From: a"]
        );
        assert!(!show(&found(MessageState::Failed), false).iter().any(|line| line.contains("Subject")));
    }
}
