//! From options and header to messages: sender and recipients, added headers, one message or one for each `Bcc`
//! recipient.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use jiff::Zoned;

use crate::message::address::{has_utf8_local_part, typed_envelope_form};
use crate::message::{Address, Headers, date, list};

use super::fault::Fault;
use super::options::Options;

/// Names of the header fields that are read or written (RFC 5322 section 3.6).
const TO: &str = "To";
const CC: &str = "Cc";
pub(super) const BCC: &str = "Bcc";
const FROM: &str = "From";
const SENDER: &str = "Sender";
const DATE: &str = "Date";
const MESSAGE_ID: &str = "Message-ID";

/// Envelope sender of a message that names none.
const ANONYMOUS: &str = "anonymous";
/// A group without members: a `From` for nobody (RFC 6854), and a `To` that hides its recipients.
const ANONYMOUS_GROUP: &str = "anonymous:;";
const UNDISCLOSED_GROUP: &str = "undisclosed-recipients:;";
/// The null reverse path (RFC 5321 section 4.5.5), as people write it.
const NULL_PATH: &str = "<>";
/// Longest line, without its line end (RFC 5322 section 2.1.1).
const MAX_LINE: usize = 998;

/// Most `Bcc` recipients that get messages of their own: each takes two descriptors and a buffer while the body comes in.
const MAX_SPLIT: usize = 10_000;

/// When and by whom a message is made.
pub(super) struct Stamp {
    /// The time, in the zone to show.
    pub(super) now: Zoned,
    /// The process id.
    pub(super) process: u32,
}

/// What is to be stored.
#[derive(Debug)]
pub(super) struct Submission {
    /// The header block, common to all messages but for `Bcc`.
    pub(super) headers: Headers,
    /// At least one.
    pub(super) messages: Vec<Outgoing>,
    /// What was decided, for `--debug`.
    pub(super) notes: Vec<String>,
}

/// One message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Outgoing {
    /// Its envelope.
    pub(super) envelope: Envelope,
    /// Its `Bcc` fields.
    pub(super) bcc: Bcc,
}

/// How the `Bcc` fields of the header block appear in a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Bcc {
    /// As they are in the block.
    AsIs,
    /// Not at all.
    Removed,
    /// Each of them as this line.
    Replaced(String),
}

/// What a submission says in an envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Envelope {
    /// Empty for the null reverse path.
    pub(super) sender: String,
    /// In order, repeats kept.
    pub(super) recipients: Vec<String>,
    /// The authenticated id, not encoded.
    pub(super) authentication: Vec<u8>,
    /// `AUTH=` value as received, not encoded; an empty one means `<>`.
    pub(super) mail_auth_in: Option<Vec<u8>>,
    /// `AUTH=` value to send, likewise.
    pub(super) mail_auth_out: Option<Vec<u8>>,
    /// An address needs SMTPUTF8.
    pub utf8_mailboxes: bool,
}

/// Envelope recipients, those of `Bcc` fields apart from the others.
#[derive(Debug, Default)]
struct Recipients {
    from_headers: bool,
    open: Vec<String>,
    blind: Vec<Blind>,
}

/// A recipient of a `Bcc` field.
#[derive(Debug)]
struct Blind {
    address: String,
    name: Option<String>,
}

/// Works out what is to be stored.
///
/// # Errors
/// When there is no recipient, or an address that is needed cannot be used.
pub(super) fn compose(options: &Options, mut headers: Headers, stamp: &Stamp) -> Result<Submission, Fault> {
    let sender = sender(options, &headers)?;
    let recipients = recipients(options, &headers)?;
    let shown_sender = sender.as_deref().unwrap_or(ANONYMOUS);
    let mut notes = vec![
        format!("content: from/sender: [{shown_sender}]"),
        format!("content: to/cc: [{}]", recipients.open.join(",")),
        format!("content: bcc: [{}]", recipients.blind_addresses().join(",")),
    ];
    if recipients.open.is_empty() && recipients.blind.is_empty() {
        return Err(if options.content_to { Fault::ContentTo } else { Fault::NoRecipients });
    }
    for line in added_lines(options, &headers, sender.as_deref(), &recipients.open, stamp) {
        notes.push(format!("content: added: {line}"));
        if options.content_from || !line.starts_with(FROM) {
            headers.remove(replaced_by(&line));
        }
        headers.add_in_front(line);
    }
    let split = options.bcc_split && recipients.blind.len() > 1;
    if split && recipients.blind.len() > MAX_SPLIT {
        return Err(Fault::SplitCount(recipients.blind.len()));
    }
    let hidden = options.content_to || (recipients.from_headers && !options.keep_bcc);
    let envelope = |recipients| envelope(options, shown_sender, recipients);
    let messages = if split {
        split_messages(&recipients, envelope)
    } else {
        let all = [recipients.open.clone(), recipients.blind_addresses()].concat();
        let bcc = if hidden { Bcc::Removed } else { Bcc::AsIs };
        vec![Outgoing { envelope: envelope(all), bcc }]
    };
    Ok(Submission { headers, messages, notes })
}

/// One message for the recipients that everybody may see, and one for each `Bcc` recipient, which shows that one.
fn split_messages(recipients: &Recipients, envelope: impl Fn(Vec<String>) -> Envelope) -> Vec<Outgoing> {
    let mut messages = Vec::with_capacity(recipients.blind.len() + 1);
    if !recipients.open.is_empty() {
        messages.push(Outgoing { envelope: envelope(recipients.open.clone()), bcc: Bcc::Removed });
    }
    for Blind { address, name } in &recipients.blind {
        let line = match name {
            Some(name) => format!("bcc: \"{name}\" <{address}>"),
            None => format!("bcc: {address}"),
        };
        messages.push(Outgoing { envelope: envelope(vec![address.clone()]), bcc: Bcc::Replaced(line) });
    }
    messages
}

/// The envelope sender: as asked for, else from the header; nothing when neither names one.
fn sender(options: &Options, headers: &Headers) -> Result<Option<String>, Fault> {
    if let Some(typed) = &options.from {
        let null_path = typed == NULL_PATH;
        return if null_path {
            Ok(Some(String::new()))
        } else {
            self::typed(options, typed, Fault::Sender).map(Some)
        };
    }
    let from = list::addresses(headers, FROM)?;
    let sender = if from.len() == 1 { Vec::new() } else { list::addresses(headers, SENDER)? };
    let chosen = match (from.as_slice(), sender.as_slice()) {
        ([one], _) | (_, [one]) => Some(one),
        (from, sender) => from.first().or(sender.first()),
    };
    chosen.map(|address| found(options, address, Fault::Sender)).transpose()
}

fn recipients(options: &Options, headers: &Headers) -> Result<Recipients, Fault> {
    let given = options.recipients.iter().map(|text| typed(options, text, Fault::Recipient));
    let mut given = given.collect::<Result<Vec<_>, _>>()?;
    if !given.is_empty() && !options.header_recipients {
        return Ok(Recipients { open: given, ..Recipients::default() });
    }
    let mut open = list::addresses(headers, TO)?;
    open.extend(list::addresses(headers, CC)?);
    let open = open.iter().map(|address| found(options, address, Fault::Recipient));
    let mut open = open.collect::<Result<Vec<_>, _>>()?;
    open.append(&mut given);
    let blind = list::addresses(headers, BCC)?;
    let blind = blind.iter().map(|address| {
        let name = address.plain_name().map(str::to_owned);
        found(options, address, Fault::Recipient).map(|address| Blind { address, name })
    });
    Ok(Recipients { from_headers: true, open, blind: blind.collect::<Result<_, _>>()? })
}

impl Recipients {
    fn blind_addresses(&self) -> Vec<String> {
        self.blind.iter().map(|blind| blind.address.clone()).collect()
    }
}

/// The envelope form of an address from the command line, where a backslash may protect its first character.
fn typed(options: &Options, text: &OsStr, fault: fn(String) -> Fault) -> Result<String, Fault> {
    let bytes = text.as_bytes();
    let address = std::str::from_utf8(bytes.strip_prefix(b"\\").unwrap_or(bytes)).ok();
    address
        .and_then(|address| typed_envelope_form(address, options.domain.as_deref()).ok())
        .ok_or_else(|| fault(text.to_string_lossy().into_owned()))
}

/// The envelope form of an address from the header.
fn found(options: &Options, address: &Address, fault: fn(String) -> Fault) -> Result<String, Fault> {
    address.envelope_form(options.domain.as_deref()).map_err(|_| fault(address.to_string()))
}

/// Lines to add, each in front of the ones before.
fn added_lines(
    options: &Options,
    headers: &Headers,
    sender: Option<&str>,
    recipients: &[String],
    stamp: &Stamp,
) -> Vec<String> {
    let date = || format!("{DATE}: {}", date::date_time(&stamp.now));
    let id = |domain| format!("{MESSAGE_ID}: {}", date::message_id(&stamp.now, stamp.process, domain));
    let from =
        || format!("{FROM}: {}", sender.filter(|sender| !sender.is_empty()).unwrap_or(ANONYMOUS_GROUP));
    let add_from = |name: &String| match sender.filter(|sender| !sender.is_empty() && !name.is_empty()) {
        Some(sender) => format!("{FROM}: {} <{sender}>", display_name(name)),
        None => from(),
    };
    let domain = options.content_message_id.as_deref();
    [
        (options.content_date && !headers.has(DATE)).then(date),
        domain.filter(|_| !headers.has(MESSAGE_ID)).map(id),
        options.content_from.then(from),
        options.add_from.as_ref().filter(|_| !options.content_from && !headers.has(FROM)).map(add_from),
        options.content_to.then(|| to_line(recipients)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A name as it may stand in front of an address: in quotes unless it is of words only (RFC 5322 section 3.2).
fn display_name(name: &str) -> String {
    let is_word = |c: char| c.is_ascii_alphanumeric() || !c.is_ascii() || " !#$%&'*+-/=?^_`{|}~".contains(c);
    if name.chars().all(is_word) {
        return name.to_owned();
    }
    let kept = name.chars().filter(|c| !c.is_control());
    let escaped = kept.flat_map(|c| matches!(c, '"' | '\\').then_some('\\').into_iter().chain([c]));
    format!("\"{}\"", escaped.collect::<String>())
}

/// The fields that an added line takes the place of. `Bcc` is for each message to decide.
fn replaced_by(line: &str) -> &'static [&'static str] {
    match line.split_once(':') {
        Some((FROM, _)) => &[FROM, SENDER],
        Some((TO, _)) => &[TO, CC],
        _ => &[],
    }
}

/// A `To` field without spaces, folded only where a line would be longer than it may be. Recipients from `Bcc` are
/// not in it.
fn to_line(recipients: &[String]) -> String {
    if recipients.is_empty() {
        return format!("{TO}: {UNDISCLOSED_GROUP}");
    }
    let mut text = format!("{TO}: ");
    let mut length = text.len();
    for (index, address) in recipients.iter().enumerate() {
        if index > 0 {
            text.push(',');
            length += 1;
            if length + address.len() + 1 > MAX_LINE {
                text.push_str("\r\n ");
                length = 1;
            }
        }
        text.push_str(address);
        length += address.len();
    }
    text
}

fn envelope(options: &Options, sender: &str, recipients: Vec<String>) -> Envelope {
    let value = |text: &OsStr| text.as_bytes().to_vec();
    Envelope {
        utf8_mailboxes: has_utf8_local_part(sender)
            || recipients.iter().any(|address| has_utf8_local_part(address)),
        sender: sender.to_owned(),
        recipients,
        authentication: value(&options.auth),
        mail_auth_in: options.from_auth_in.as_deref().map(value),
        mail_auth_out: options.from_auth_out.as_deref().map(value),
    }
}

#[cfg(test)]
#[path = "compose_tests.rs"]
mod tests;
