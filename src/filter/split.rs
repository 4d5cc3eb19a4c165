//! `split:`: a message for each domain of the remote recipients, routed by `ForwardTo`.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::task::spawn_blocking;

use super::mailboxes::{flatten, stage};
use super::{Filter, Job, Outcome, Prepared, Running, Tools, Undo};
use crate::config::built_in::SplitWords;
use crate::log::{self, DeliveryEvent};
use crate::spool::{DeliveryError, Envelope, MessageId, Parts, Spool, Stage};

/// Tells how many messages came of one.
const COUNT: &str = "X-MailRelay-SplitGroupCount:";
/// Names each of them, the original first.
const MEMBER: &str = "X-MailRelay-SplitGroup:";

/// Splits by domain.
#[derive(Debug)]
pub(super) struct Split {
    spool: Arc<Spool>,
    words: SplitWords,
}

/// Remote recipients of one domain.
#[derive(Debug, PartialEq, Eq)]
struct Group {
    /// For the envelope's `ForwardTo`; empty for recipients without a domain.
    forward_to: String,
    recipients: Vec<String>,
}

/// What was made of a message, and what becomes of the original when it is made visible.
#[derive(Debug)]
struct Made {
    spool: Arc<Spool>,
    stage: Stage,
    parts: Parts,
    /// With the recipients that each has; the original first.
    members: Vec<(MessageId, Group)>,
}

impl Split {
    pub(super) fn new(words: SplitWords, tools: &Tools) -> Self {
        Self { spool: Arc::clone(&tools.spool), words }
    }

    async fn filter(&self, job: &Job) -> Outcome {
        let (spool, id, stage, words) = (Arc::clone(&self.spool), job.id.clone(), stage(job), self.words);
        let made = match flatten(spawn_blocking(move || split(spool, &id, stage, words)).await) {
            Ok(made) => made,
            Err(reason) => return Outcome::exception(job, &self.name(), reason),
        };
        let word = job.position.word();
        let Some(made) = made else {
            log::emit(&job.context, &DeliveryEvent::NothingToSplit { word }.into());
            return Outcome::ok();
        };
        for (number, (id, group)) in made.members.iter().enumerate() {
            let (id, domain, created) = (id.to_string(), group.forward_to.clone(), number > 0);
            log::emit(&job.context, &DeliveryEvent::Split { word, id, domain, created }.into());
        }
        Outcome { prepared: vec![Box::new(made)], ..Outcome::ok() }
    }
}

impl Filter for Split {
    fn name(&self) -> String {
        "split:".to_owned()
    }

    fn run<'a>(&'a self, job: &'a Job) -> Running<'a> {
        Box::pin(self.filter(job))
    }
}

impl Prepared for Made {
    /// The parts first: until they are there the original has all recipients.
    fn apply(self: Box<Self>) -> Result<Undo, String> {
        let Self { spool, stage, mut parts, members } = *self;
        let note = trailer(&members);
        let Some((id, group)) = members.into_iter().next() else { return Ok(Undo::nothing()) };
        let done = parts.publish().and_then(|()| {
            // As later filters have left it.
            let original = spool.original(&id, stage)?;
            original.replace_envelope(&part(original.envelope(), &group, &note))
        });
        done.map_err(|error| error.to_string())?;
        let parts = parts.keep();
        Ok(Undo::by(|| parts.undo()))
    }
}

/// None: there are no remote recipients.
fn split(
    spool: Arc<Spool>,
    id: &MessageId,
    stage: Stage,
    words: SplitWords,
) -> Result<Option<Made>, DeliveryError> {
    let original = spool.original(id, stage)?;
    let mut parts = Parts::of(&original);
    let mut members = Vec::new();
    for (number, group) in groups(&original.envelope().remote, words).into_iter().enumerate() {
        let id = if number == 0 { id.clone() } else { parts.add(&original, parts.next_id())? };
        members.push((id, group));
    }
    let note = trailer(&members);
    for (id, group) in members.iter().skip(1) {
        let envelope = Envelope { local: Vec::new(), ..part(original.envelope(), group, &note) };
        parts.write_envelope(id, &envelope)?;
    }
    Ok((!members.is_empty()).then_some(Made { spool, stage, parts, members }))
}

/// The envelope of one part.
fn part(whole: &Envelope, group: &Group, note: &[Vec<u8>]) -> Envelope {
    let mut envelope =
        Envelope { remote: group.recipients.clone(), forward_to: group.forward_to.clone(), ..whole.clone() };
    envelope.trailer.extend(note.iter().cloned());
    envelope
}

/// Only a message that is not alone needs to know the others.
fn trailer(members: &[(MessageId, Group)]) -> Vec<Vec<u8>> {
    if members.len() < 2 {
        return Vec::new();
    }
    let count = format!("{COUNT} {}", members.len());
    let ids = members.iter().map(|(id, _)| format!("{MEMBER} {id}"));
    std::iter::once(count).chain(ids).map(String::into_bytes).collect()
}

/// In the order of their domains; the recipients of each in their own order.
fn groups(recipients: &[String], words: SplitWords) -> Vec<Group> {
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    for recipient in recipients {
        let domain = domain(recipient);
        let key = if words.raw { domain.to_owned() } else { domain.to_lowercase() };
        let group = groups.entry(key).or_insert_with(|| Group {
            forward_to: match words.port {
                Some(port) if !domain.is_empty() => format!("{domain}:{port}"),
                _ => domain.to_owned(),
            },
            recipients: Vec::new(),
        });
        group.recipients.push(recipient.clone());
    }
    groups.into_values().collect()
}

/// What follows the last `@` that is not between quotes.
fn domain(address: &str) -> &str {
    let (mut quoted, mut escaped, mut at) = (false, false, None);
    for (position, c) in address.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '@' if !quoted => at = Some(position),
            _ => {}
        }
    }
    at.and_then(|at| address.get(at.saturating_add(1)..)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grouped(recipients: &[&str], words: SplitWords) -> Vec<(String, usize)> {
        let recipients: Vec<String> = recipients.iter().map(|text| (*text).to_owned()).collect();
        groups(&recipients, words)
            .into_iter()
            .map(|group| (group.forward_to, group.recipients.len()))
            .collect()
    }

    #[test]
    fn the_domain_is_behind_the_last_at_outside_quotes() {
        for (address, expected) in [
            ("a@b.c", "b.c"),
            ("\"a@b\"@c.net", "c.net"),
            ("\"a\\\"@b\"@c.net", "c.net"),
            ("a@b@c", "c"),
            ("root", ""),
            ("\"a@b\"", ""),
        ] {
            assert_eq!(domain(address), expected, "{address}");
        }
    }

    #[test]
    fn domains_are_groups_in_order() {
        let all = ["x@b.net", "y@A.net", "z@a.NET", "root", "w@b.net"];
        let some = |text: &str, count| (text.to_owned(), count);
        assert_eq!(grouped(&all, SplitWords::default()), [some("", 1), some("A.net", 2), some("b.net", 2)]);
        assert_eq!(
            grouped(&all, SplitWords { raw: true, port: Some(2525) }),
            [some("", 1), some("A.net:2525", 1), some("a.NET:2525", 1), some("b.net:2525", 2)]
        );
        assert_eq!(grouped(&[], SplitWords::default()), []);
    }
}
