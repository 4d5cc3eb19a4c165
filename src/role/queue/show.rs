//! `emailrelay-queue show`.

use serde_json::{Map, Value};

use super::Run;
use super::act::Fault;
use super::entry::{Entry, now};
use super::out::Output;
use crate::role::admin::explain;
use crate::role::words::complain;
use crate::spool::{Envelope, Inspection, MessageId};

/// Start of the lines of envelopes.
const PREFIX: &str = "X-MailRelay-";
/// So many lines of a header are given.
const MAX_HEADER_LINES: usize = 1000;

impl Run<'_> {
    /// Shows messages.
    pub(super) fn show(&self) -> u8 {
        let mut out = Output::new(self.options.json, "{\"command\":\"show\",\"messages\":[");
        let (mut code, mut first) = (0, true);
        self.each_id(|text| {
            let found = text.parse::<MessageId>().map_err(Fault::from);
            let found = found.and_then(|id| self.spool.inspect(&id).map_err(Fault::from));
            match found {
                Ok(found) => {
                    let blank = if std::mem::take(&mut first) { "" } else { "\n" };
                    out.text(blank);
                    out.item(&entry(text, &found), || in_words(text, &found));
                }
                Err(fault) => {
                    out.flush();
                    complain(self.program, &format!("{}: {fault}", text.escape_debug()));
                    code = code.max(fault.exit_code());
                }
            }
        });
        out.finish();
        code
    }
}

fn in_words(id: &str, found: &Inspection) -> String {
    let lines = explain::show(found, true);
    format!("Id: {}\n{}\n", id.escape_debug(), lines.join("\n"))
}

fn entry<'a>(id: &str, found: &'a Inspection) -> Entry<'a> {
    Entry {
        envelope: found.envelope.as_ref().ok().map(fields),
        header: Some(header(&found.head)),
        ..Entry::new(id.to_owned(), found, now())
    }
}

/// The fields as the file has them, and what stands behind its end.
fn fields(envelope: &Envelope) -> Map<String, Value> {
    let mut fields = Map::new();
    let bytes = Envelope { trailer: Vec::new(), ..envelope.clone() }.to_bytes();
    let text = String::from_utf8_lossy(&bytes);
    let mut last: Option<String> = None;
    for line in text.split("\r\n") {
        if let (Some(rest), Some(Value::String(value))) =
            (line.strip_prefix(' '), last.as_ref().and_then(|name| fields.get_mut(name)))
        {
            value.push('\n');
            value.push_str(rest);
        } else if let Some((name, value)) = line.strip_prefix(PREFIX).and_then(|line| line.split_once(": "))
            && !matches!(name, "To-Local" | "To-Remote" | "End")
        {
            fields.insert(name.to_owned(), Value::from(value));
            last = Some(name.to_owned());
        }
    }
    fields.insert("To-Local".to_owned(), Value::from(envelope.local.clone()));
    fields.insert("To-Remote".to_owned(), Value::from(envelope.remote.clone()));
    let trailer = envelope.trailer.iter().map(|line| String::from_utf8_lossy(line).into_owned());
    fields.insert("Trailer".to_owned(), trailer.collect());
    fields
}

fn header(head: &[u8]) -> Vec<String> {
    let lines = head.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let lines = lines.take_while(|line| !line.is_empty()).take(MAX_HEADER_LINES);
    lines.map(|line| String::from_utf8_lossy(line).into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_have_their_own_names() {
        let envelope = Envelope {
            sender: "a@x".to_owned(),
            local: vec!["al".to_owned()],
            remote: vec!["b@x".to_owned(), "c\r\nX-MailRelay-From: d".to_owned()],
            client_certificate: "one\ntwo".to_owned(),
            trailer: vec![b"X-MailRelay-Reason: \xff".to_vec()],
            ..Envelope::default()
        };
        let fields = fields(&envelope);
        assert_eq!(fields["From"], "a@x");
        assert_eq!(fields["ClientCertificate"], "one\ntwo");
        assert_eq!(fields["To-Local"], Value::from(vec!["al"]));
        assert_eq!(fields["To-Remote"][1], "c\r\nX-MailRelay-From: d");
        assert_eq!(fields["Trailer"][0], "X-MailRelay-Reason: \u{fffd}");
        assert_eq!(fields.len(), 16);
    }

    #[test]
    fn a_header_ends_at_its_first_empty_line() {
        assert_eq!(header(b"Subject: x\r\n y\r\n\r\nbody"), ["Subject: x", " y"]);
        assert_eq!(header(b""), Vec::<String>::new());
    }
}
