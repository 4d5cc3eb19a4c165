//! One run over a spool: what has waited too long is given up, what has failed is reported, who waits is told.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use jiff::{Timestamp, Zoned};

use super::judge;
use super::options::Options;
use super::returned::Content;
use super::send::{Carrier, Fault};
use crate::log::{self, Context, NotifyEvent};
use crate::message::report::{Action, Attempt, Recipient, Report, status};
use crate::message::{Headers, date};
use crate::os::{clock, random};
use crate::spool::{
    ContentError, Envelope, FailNote, LockError, MessageId, Notice, Peeked, RetryState, Spool, SpoolError,
};

/// A message is given up only if an earlier run has seen it wait, so long ago: after a long time without power it gets
/// its chance first.
const SEEN_BEFORE: u64 = 3600;
/// Reason of a message that nobody has tried to send.
const UNTRIED: &str = "the next mail server could not be reached";

/// A run.
pub(super) struct Run<'a> {
    pub(super) program: &'a str,
    pub(super) options: &'a Options,
    pub(super) spool: Arc<Spool>,
    pub(super) carrier: Carrier,
    pub(super) now: Zoned,
    /// What could not be done and is left for the next run.
    pub(super) left: usize,
    /// Reports on their way.
    pub(super) sent: usize,
}

impl Run<'_> {
    /// Does all of it.
    ///
    /// # Errors
    /// The spool directory cannot be read.
    pub(super) fn all(&mut self) -> Result<(), SpoolError> {
        self.waiting()?;
        let mut failed = self.spool.failed()?;
        failed.sort_unstable();
        for id in failed {
            self.failed(&id);
        }
        if self.sent > 0 {
            self.carrier.request_forward();
        }
        Ok(())
    }

    /// A message that has failed for good.
    fn failed(&mut self, id: &MessageId) {
        let spool = Arc::clone(&self.spool);
        let message = match spool.take_failed(id) {
            Ok(Some(message)) => message,
            Ok(None) => return,
            Err(error) => return self.fault(id, &error),
        };
        if let Some(notice) = message.notice() {
            match notice {
                _ if !self.options.verbose => {}
                Notice::Sent => self.say(&format!("{id} has been reported")),
                Notice::Nobody => self.say(&format!("{id} is reported to nobody")),
            }
            return;
        }
        if !message.has_room() {
            return self.fault(id, &"its envelope is full");
        }
        let state = message.retry_state();
        let subject = Subject::new(id, message.envelope(), &state);
        let reported = match self.report(Action::Failed, &subject) {
            Ok(reported) => reported,
            Err(fault) => return self.fault(id, &fault),
        };
        if self.options.dry_run {
            return;
        }
        let now = self.seconds();
        if reported && !self.options.keep {
            message.remove().unwrap_or_else(|error| self.fault(id, &error));
        } else {
            let said = if reported { Notice::Sent } else { Notice::Nobody };
            message.mark_notified(now, said).unwrap_or_else(|error| self.fault(id, &error));
        }
    }

    /// Messages that wait.
    fn waiting(&mut self) -> Result<(), SpoolError> {
        if self.options.delay.is_none() && self.options.max_age.is_none() {
            return Ok(());
        }
        let now = self.seconds();
        for message in self.spool.waiting()? {
            // Damaged ones are the forwarder's to complain about.
            let Ok(Some(Peeked { retry: state, .. })) = self.spool.peek(&message.id) else { continue };
            // Where attempts are made, their time counts; where none is, only --max-age makes us look.
            let since = match (state.first_try, self.options.max_age) {
                (Some(first), _) => first.min(now),
                (None, Some(_)) => message.since,
                (None, None) => continue,
            };
            let waited = now.saturating_sub(since);
            let is_over =
                |limit: Option<std::time::Duration>| limit.is_some_and(|limit| waited >= limit.as_secs());
            if is_over(self.options.delay.or(self.options.max_age)) {
                self.late(&message.id, is_over(self.options.max_age));
            }
        }
        Ok(())
    }

    /// A message that is late, or even too old.
    fn late(&mut self, id: &MessageId, too_old: bool) {
        let spool = Arc::clone(&self.spool);
        let message = match spool.lock(id) {
            Ok(Some(message)) => message,
            // Somebody is about to send it; or it is going to fail as soon as somebody tries.
            Ok(None) | Err(LockError::Unsendable { .. }) => return,
            Err(error) => return self.fault(id, &error),
        };
        let now = self.seconds();
        let noted = message.delay_noted();
        let state = message.retry_state();
        if too_old && noted.is_some_and(|noted| now.saturating_sub(noted) >= SEEN_BEFORE) {
            if self.options.dry_run {
                return self.say(&format!("{id} is too old"));
            }
            let reason = format!("{}: {}", status::TOO_OLD, state.reason.as_deref().unwrap_or(UNTRIED));
            self.emit(id, NotifyEvent::GivenUp { id: id.to_string() });
            let (code, attempt) = (state.reason_code, state.last_attempt);
            let note = FailNote { reason, code, attempt, ..FailNote::default() };
            return message.fail(&note).unwrap_or_else(|error| self.fault(id, &error));
        }
        if noted.is_some() {
            return;
        }
        if self.options.delay.is_some() {
            let subject = Subject::new(id, message.envelope(), &state);
            if let Err(fault) = self.report(Action::Delayed, &subject) {
                return self.fault(id, &fault);
            }
        }
        if !self.options.dry_run {
            message.note_delay(now).unwrap_or_else(|error| self.fault(id, &error));
        }
    }

    /// Makes a report and sends it on its way. False: there is none to be made.
    fn report(&mut self, action: Action, subject: &Subject<'_>) -> Result<bool, Fault> {
        let mut content = match self.spool.open_content(subject.id) {
            Ok((file, size)) => Some(Content::open(file, size)?),
            // That may be why it failed.
            Err(ContentError::Gone) => None,
            // Without it nobody knows what would be removed, or whether the message is a report itself.
            Err(error @ ContentError::Io(_)) => return Err(error.into()),
        };
        let nothing = Headers::default();
        let header = content.as_ref().map_or(&nothing, Content::header);
        let postmaster = self.options.postmaster.as_deref();
        let to = match judge::addressee(subject.envelope, header, action, postmaster) {
            Ok(to) => self.complete(to),
            Err(why) => {
                let id = subject.id.to_string();
                match action {
                    Action::Failed => self.emit(subject.id, NotifyEvent::NotReported { id, why }),
                    Action::Delayed => {}
                }
                return Ok(false);
            }
        };
        let recipients = subject.recipients(action);
        if recipients.is_empty() {
            return Ok(false);
        }
        let path = self.spool.content_path(subject.id);
        self.say(&format!("delivering {} to {to}", path.display()));
        if self.options.dry_run {
            return Ok(true);
        }
        let mut report = self.frame(action, subject, header, &to);
        let wanted = match action {
            Action::Failed => self.options.returned,
            // RFC 3461 section 6.2: not the whole message.
            Action::Delayed => self.options.returned.header_at_most(),
        };
        if let Some(content) = &mut content {
            (report.returned, report.returned_8bit) = content.examine(wanted, self.options.return_size)?;
        }
        let sent = self.carrier.send(&to, report.is_8bit(&recipients), &mut |sink| {
            sink(report.opening(&recipients).as_bytes())?;
            recipients.iter().try_for_each(|recipient| sink(report.recipient(recipient).as_bytes()))?;
            sink(report.returned().as_bytes())?;
            if let Some(content) = &mut content {
                content.copy(report.returned, sink)?;
            }
            sink(report.closing().as_bytes())
        })?;
        self.sent += 1;
        let event = NotifyEvent::Reported {
            id: subject.id.to_string(),
            to,
            delayed: action == Action::Delayed,
            report: sent,
        };
        self.emit(subject.id, event);
        Ok(true)
    }

    /// A report without what is returned.
    fn frame(&self, action: Action, subject: &Subject<'_>, header: &Headers, to: &str) -> Report {
        let line = |name: &str| {
            let value = header.named(name).next()?.value();
            Some(format!("{name}:{}", String::from_utf8_lossy(&value)))
        };
        // Under the name that its other recipients know it by.
        let split_from = subject.envelope.split_from();
        let id = split_from.as_ref().unwrap_or(subject.id);
        let date = |seconds: u64| self.time(seconds).map(|time| date::date_time(&time));
        let attempt = subject.state.last_attempt.as_ref();
        Report {
            action,
            to: to.to_owned(),
            domain: self.options.domain.clone(),
            queue_id: id.to_string(),
            date: date::date_time(&self.now),
            message_id: date::message_id(&clock::now(), std::process::id(), &self.options.domain),
            boundary: random::bytes::<16>().iter().map(|byte| format!("{byte:02x}")).collect(),
            arrival: id.seconds().and_then(date),
            known_by: ["To", "Subject", "Date"].into_iter().filter_map(line).collect(),
            original_id: header.named("message-id").next().and_then(|field| message_id(&field.value())),
            returned: crate::message::report::Returned::Nothing,
            returned_8bit: false,
            attempt: attempt.and_then(|attempt| {
                Some(Attempt { date: date(attempt.at)?, remote: remote_mta(&attempt.relay) })
            }),
            tried_until: match action {
                Action::Failed => None,
                Action::Delayed => self.tried_until(subject).and_then(date),
            },
            utf8: subject.envelope.utf8_mailboxes,
        }
    }

    /// When a message is given up that waits, by the forwarder or by us.
    fn tried_until(&self, subject: &Subject<'_>) -> Option<u64> {
        let since = subject.state.first_try.or_else(|| subject.id.seconds());
        let limit = self.options.max_age.map(|limit| limit.as_secs());
        let ours = limit.and_then(|limit| since?.checked_add(limit));
        subject.state.give_up.into_iter().chain(ours).min()
    }

    /// An address that can be mailed to from elsewhere, if we know of which domain it is.
    fn complete(&self, to: String) -> String {
        match to.contains('@') || !self.options.domain_named {
            true => to,
            false => format!("{to}@{}", self.options.domain),
        }
    }

    fn time(&self, seconds: u64) -> Option<Zoned> {
        let time = Timestamp::from_second(i64::try_from(seconds).ok()?).ok()?;
        Some(time.to_zoned(self.now.time_zone().clone()))
    }

    fn seconds(&self) -> u64 {
        u64::try_from(self.now.timestamp().as_second()).unwrap_or_default()
    }

    fn fault(&mut self, id: &MessageId, reason: &dyn std::fmt::Display) {
        self.left += 1;
        self.emit(id, NotifyEvent::Fault { id: id.to_string(), reason: reason.to_string() });
    }

    fn emit(&self, id: &MessageId, event: NotifyEvent) {
        log::emit(&Context::default().with_message(&id.to_string()), &event.into());
    }

    /// A line for people; the journal has the events instead.
    fn say(&self, text: &str) {
        if self.options.dry_run || !crate::os::journal::stderr_is_journal() {
            crate::role::words::print(&format!("{}: {text}\n", self.program));
        }
    }
}

/// What a report is about.
struct Subject<'a> {
    id: &'a MessageId,
    envelope: &'a Envelope,
    state: &'a RetryState,
    reason: String,
    code: Option<u16>,
}

impl<'a> Subject<'a> {
    fn new(id: &'a MessageId, envelope: &'a Envelope, state: &'a RetryState) -> Self {
        let reason = state.reason.as_deref().map_or_else(|| UNTRIED.to_owned(), plain);
        // compat: 2.6 took the code of the reply to RSET.
        let code = state.reason_code.filter(|code| (400..600).contains(code));
        Self { id, envelope, state, reason, code }
    }

    /// The recipients concerned. One that was refused for good is not late: the forwarder sets it aside with its next attempt.
    fn recipients(&self, action: Action) -> Vec<Recipient> {
        let addresses =
            if self.envelope.remote.is_empty() { &self.envelope.local } else { &self.envelope.remote };
        let mut seen = HashSet::new();
        let addresses: Vec<&String> = addresses.iter().filter(|address| seen.insert(*address)).collect();
        let said: Vec<_> = addresses.iter().map(|address| self.envelope.refusal_of(address)).collect();
        // Where the next hop had an answer for some, it had none for the others.
        let code = self.code.filter(|_| said.iter().all(Option::is_none));
        let recipient = |(address, said): (&String, Option<(u16, String)>)| {
            let (reply, reason) = match said {
                Some((code, text)) => (Some(code), plain(&text)),
                None => (code, self.reason.clone()),
            };
            let status = match (status::of(reply, &reason), action) {
                // Not yet for good.
                (status, Action::Delayed) if !status.starts_with('4') => "4.0.0".to_owned(),
                (status, _) => status,
            };
            Recipient { address: address.clone(), status, reply, reason }
        };
        let is_concerned = |recipient: &Recipient| {
            action == Action::Failed || recipient.reply.is_none_or(|code| code / 100 != 5)
        };
        addresses.into_iter().zip(said).map(recipient).filter(is_concerned).collect()
    }
}

/// A reason in one line, as it was before the envelope's escapes.
fn plain(text: &str) -> String {
    text.replace("\\n", " ").replace("\\t", " ").replace("\\r", "").replace("\\\\", "\\")
}

/// The address of a next hop as a domain literal (RFC 3464 section 2.3.5; RFC 5321 section 4.1.3). A unix socket has no such name.
fn remote_mta(relay: &str) -> Option<String> {
    Some(match relay.parse::<SocketAddr>().ok()?.ip().to_canonical() {
        IpAddr::V4(address) => format!("[{address}]"),
        IpAddr::V6(address) => format!("[IPv6:{address}]"),
    })
}

/// The value of a `Message-ID` field if it may stand in a header of ours.
fn message_id(value: &[u8]) -> Option<String> {
    const MAX: usize = 250;
    let text = std::str::from_utf8(value).ok()?.trim();
    let good = text.len() <= MAX && text.bytes().all(|byte| byte.is_ascii_graphic());
    (good && text.starts_with('<') && text.ends_with('>')).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_hops_are_named_by_their_addresses() {
        for (relay, name) in [
            ("192.0.2.1:25", Some("[192.0.2.1]")),
            ("[::ffff:192.0.2.1]:25", Some("[192.0.2.1]")),
            ("[2001:db8::1]:25", Some("[IPv6:2001:db8::1]")),
            ("/run/hop", None),
        ] {
            assert_eq!(remote_mta(relay).as_deref(), name, "{relay}");
        }
    }
}
