//! `msgid:`: header fields that a message should have (RFC 6409 section 8).

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::task::spawn_blocking;

use super::mailboxes::{flatten, stage};
use super::{Filter, Job, Outcome, Running, Tools};
use crate::config::built_in::MsgidWords;
use crate::message::date::date_time;
use crate::os::clock;
use crate::spool::{DeliveryError, Original, Spool};

/// So much of the content is searched for the end of its header.
const MAX_HEADER: usize = 1024 * 1024;

/// Adds fields that are missing.
#[derive(Debug)]
pub(super) struct Msgid {
    spool: Arc<Spool>,
    words: MsgidWords,
    domain: String,
}

impl Msgid {
    pub(super) fn new(words: MsgidWords, tools: &Tools) -> Self {
        Self { spool: Arc::clone(&tools.spool), words, domain: tools.domain.clone() }
    }

    async fn filter(&self, job: &Job) -> Outcome {
        let (spool, id, stage) = (Arc::clone(&self.spool), job.id.clone(), stage(job));
        let (words, domain) = (self.words, self.domain.clone());
        let done = spawn_blocking(move || add(&spool.original(&id, stage)?, words, &domain));
        match flatten(done.await) {
            Ok(()) => Outcome::ok(),
            Err(reason) => {
                let reason = format!("failed to add message id to content file: {reason}");
                Outcome::exception(job, &self.name(), reason)
            }
        }
    }
}

impl Filter for Msgid {
    fn name(&self) -> String {
        "msgid:".to_owned()
    }

    fn run<'a>(&'a self, job: &'a Job) -> Running<'a> {
        Box::pin(self.filter(job))
    }
}

fn add(original: &Original, words: MsgidWords, domain: &str) -> Result<(), DeliveryError> {
    let start = original.content_start(MAX_HEADER)?;
    let header = header(&start);
    let mut lines = String::new();
    if !has_field(header, "message-id") {
        let _ = write!(lines, "Message-ID: <{}@{domain}>\r\n", unique());
    }
    if words.date && !has_field(header, "date") {
        let _ = write!(lines, "Date: {}\r\n", date_time(&clock::now()));
    }
    if words.from && !has_field(header, "from") {
        let sender = &original.envelope().sender;
        let _ = match sender.is_empty() {
            true => write!(lines, "From: Mail System <postmaster@{domain}>\r\n"),
            false => write!(lines, "From: <{sender}>\r\n"),
        };
    }
    if lines.is_empty() { Ok(()) } else { original.prepend(lines.as_bytes()) }
}

/// What stands before the first empty line, or everything.
fn header(content: &[u8]) -> &[u8] {
    let mut end = 0;
    for line in content.split_inclusive(|byte| *byte == b'\n') {
        if matches!(line, b"\n" | b"\r\n") {
            break;
        }
        end += line.len();
    }
    content.get(..end).unwrap_or(content)
}

/// A line begins with the name, in any case, and a colon; a folded line is none.
fn has_field(header: &[u8], name: &str) -> bool {
    header.split(|byte| *byte == b'\n').any(|line| {
        line.split_at_checked(name.len()).is_some_and(|(start, rest)| {
            start.eq_ignore_ascii_case(name.as_bytes()) && rest.first() == Some(&b':')
        })
    })
}

/// Time, process, a counter and 64 random bits.
fn unique() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let now = clock::now().timestamp();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let random = u64::from_ne_bytes(crate::os::random::bytes());
    format!("{}.{}.{}.{count}.{random:016x}", now.as_second(), now.subsec_microsecond(), std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_header_lines_are_fields() {
        for (content, found) in [
            ("Message-ID: <x>\r\n\r\n", true),
            ("a: b\r\nMESSAGE-id:x\r\n\r\nbody", true),
            ("a: b\n\nMessage-ID: x\n", false),
            ("a: b\r\n Message-ID: x\r\n\r\n", false),
            ("Message-ID : x\r\n\r\n", false),
            ("Message-IDs: x\r\n\r\n", false),
            ("Message-ID", false),
            ("", false),
        ] {
            assert_eq!(has_field(header(content.as_bytes()), "message-id"), found, "{content:?}");
        }
    }
}
