//! Reading an envelope.

use std::collections::BTreeMap;

use super::{Envelope, EnvelopeError, LINE_PREFIX, MAX_ENVELOPE, MAX_RECIPIENTS, body_of_keyword, xtext};

/// A field of any format we read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Field {
    Format,
    Content,
    From,
    ToCount,
    ToLocal,
    ToRemote,
    Authentication,
    Client,
    /// Only in `#2821.4`; read and dropped.
    ClientName,
    ClientCertificate,
    MailFromAuthIn,
    MailFromAuthOut,
    ForwardTo,
    ForwardToAddress,
    ClientAccountSelector,
    Utf8MailboxNames,
}

const FIELDS: [Field; 16] = [
    Field::Format,
    Field::Content,
    Field::From,
    Field::ToCount,
    Field::ToLocal,
    Field::ToRemote,
    Field::Authentication,
    Field::Client,
    Field::ClientName,
    Field::ClientCertificate,
    Field::MailFromAuthIn,
    Field::MailFromAuthOut,
    Field::ForwardTo,
    Field::ForwardToAddress,
    Field::ClientAccountSelector,
    Field::Utf8MailboxNames,
];

const FORMATS: [&str; 6] = ["#2821.3", "#2821.4", "#2821.5", "#2821.6", "#2821.7", "#2821.8"];

impl Field {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Format => "Format",
            Self::Content => "Content",
            Self::From => "From",
            Self::ToCount => "ToCount",
            Self::ToLocal => "To-Local",
            Self::ToRemote => "To-Remote",
            Self::Authentication => "Authentication",
            Self::Client => "Client",
            Self::ClientName => "ClientName",
            Self::ClientCertificate => "ClientCertificate",
            Self::MailFromAuthIn => "MailFromAuthIn",
            Self::MailFromAuthOut => "MailFromAuthOut",
            Self::ForwardTo => "ForwardTo",
            Self::ForwardToAddress => "ForwardToAddress",
            Self::ClientAccountSelector => "ClientAccountSelector",
            Self::Utf8MailboxNames => "Utf8MailboxNames",
        }
    }
}

pub(super) fn parse(bytes: &[u8]) -> Result<Envelope, EnvelopeError> {
    if bytes.len() > MAX_ENVELOPE {
        return Err(EnvelopeError::TooLarge);
    }
    let mut lines = bytes.split_inclusive(|byte| *byte == b'\n').map(without_line_end);
    let mut fields = Fields::default();
    for line in lines.by_ref() {
        if line.starts_with(END) {
            fields.ended = true;
            break;
        }
        fields.add(line)?;
    }
    let mut envelope = fields.into_envelope()?;
    envelope.trailer.extend(lines.map(|line| trim_end(line).to_vec()));
    Ok(envelope)
}

const END: &[u8] = b"X-MailRelay-End";

/// The lines before `End`, sorted out.
#[derive(Default)]
struct Fields {
    values: BTreeMap<Field, Vec<u8>>,
    local: Vec<String>,
    remote: Vec<String>,
    /// Not ours; moved behind `End`.
    unknown: Vec<Vec<u8>>,
    /// The field that a continuation line belongs to.
    continues: Option<Field>,
    ended: bool,
}

impl Fields {
    fn add(&mut self, line: &[u8]) -> Result<(), EnvelopeError> {
        if let [b' ' | b'\t', rest @ ..] = line
            && let Some(value) = self.continues.and_then(|field| self.values.get_mut(&field))
        {
            value.push(b'\n');
            value.extend_from_slice(rest);
            return Ok(());
        }
        self.continues = None;
        match field_line(line)? {
            None => self.unknown.push(trim_end(line).to_vec()),
            Some((Field::ToLocal, value)) => self.local.push(text(value)),
            Some((Field::ToRemote, value)) => self.remote.push(text(value)),
            Some((field, value)) => {
                if self.values.insert(field, value.to_vec()).is_some() {
                    return Err(EnvelopeError::Duplicate(field.name()));
                }
                self.continues = Some(field);
            }
        }
        if self.local.len() + self.remote.len() > MAX_RECIPIENTS {
            return Err(EnvelopeError::TooManyRecipients);
        }
        Ok(())
    }

    fn into_envelope(self) -> Result<Envelope, EnvelopeError> {
        let format = self.required(Field::Format)?;
        if !FORMATS.contains(&format.as_str()) {
            return Err(EnvelopeError::UnknownFormat(format));
        }
        let sender = self.required(Field::From)?;
        self.check_count(&self.required(Field::ToCount)?)?;
        if !self.ended {
            return Err(EnvelopeError::NoEnd);
        }
        Ok(Envelope {
            body: body_of_keyword(&self.value(Field::Content)),
            sender,
            authentication: self.value(Field::Authentication),
            client: self.value(Field::Client),
            client_certificate: self.value(Field::ClientCertificate),
            mail_auth_in: self.xtext(Field::MailFromAuthIn, EnvelopeError::MailAuthIn)?,
            mail_auth_out: self.xtext(Field::MailFromAuthOut, EnvelopeError::MailAuthOut)?,
            forward_to: xtext::normalise(&self.value(Field::ForwardTo)),
            forward_to_address: self.value(Field::ForwardToAddress),
            client_account_selector: self.value(Field::ClientAccountSelector),
            utf8_mailboxes: self.value(Field::Utf8MailboxNames) == "1",
            local: self.local,
            remote: self.remote,
            trailer: self.unknown,
        })
    }

    fn check_count(&self, announced: &str) -> Result<(), EnvelopeError> {
        if announced.is_empty() || !announced.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(EnvelopeError::CountFormat(announced.to_owned()));
        }
        let announced: usize =
            announced.parse().map_err(|_| EnvelopeError::CountRange(announced.to_owned()))?;
        match (self.local.len() + self.remote.len()).cmp(&announced) {
            std::cmp::Ordering::Less if announced > MAX_RECIPIENTS => Err(EnvelopeError::TooManyRecipients),
            std::cmp::Ordering::Less => Err(EnvelopeError::TooFewRecipients),
            std::cmp::Ordering::Equal => Ok(()),
            // compat: 2.6 looks for the next field and finds one more recipient.
            std::cmp::Ordering::Greater => Err(EnvelopeError::Expected(Field::Authentication.name())),
        }
    }

    fn required(&self, field: Field) -> Result<String, EnvelopeError> {
        self.values.get(&field).map(|value| text(value)).ok_or(EnvelopeError::Expected(field.name()))
    }

    fn value(&self, field: Field) -> String {
        self.values.get(&field).map(|value| text(value)).unwrap_or_default()
    }

    fn xtext(&self, field: Field, error: EnvelopeError) -> Result<String, EnvelopeError> {
        let value = self.value(field);
        if xtext::is_readable(&value) { Ok(xtext::normalise(&value)) } else { Err(error) }
    }
}

/// The field and raw value of a line; none if the line is not one of ours.
fn field_line(line: &[u8]) -> Result<Option<(Field, &[u8])>, EnvelopeError> {
    let Some(colon) = line.iter().position(|byte| *byte == b':') else { return Ok(None) };
    let (name, rest) = line.split_at(colon);
    let Some((prefix, name)) = name.split_at_checked(LINE_PREFIX.len()) else { return Ok(None) };
    if !prefix.eq_ignore_ascii_case(LINE_PREFIX.as_bytes()) {
        return Ok(None);
    }
    let Some(field) = FIELDS.into_iter().find(|field| name.eq_ignore_ascii_case(field.name().as_bytes()))
    else {
        return Ok(None);
    };
    match rest {
        [b':'] | [b':', b' ' | b'\t' | b'\r', ..]
            if prefix == LINE_PREFIX.as_bytes() && name == field.name().as_bytes() =>
        {
            Ok(Some((field, rest.get(1..).unwrap_or_default())))
        }
        _ => Err(EnvelopeError::Expected(field.name())),
    }
}

fn without_line_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn trim_end(line: &[u8]) -> &[u8] {
    line.trim_ascii_end()
}

/// A value without the white space around it.
fn text(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    text.trim_matches([' ', '\t', '\r', '\n']).to_owned()
}
