//! Writing an envelope.

use super::parse::Field;
use super::{Envelope, LINE_PREFIX, body_keyword, xtext};

/// The format we write, that of E-MailRelay 2.5 and 2.6.
const FORMAT: &str = "#2821.8";
const LINE_END: &str = "\r\n";

pub(super) fn to_bytes(envelope: &Envelope) -> Vec<u8> {
    let count = (envelope.local.len() + envelope.remote.len()).to_string();
    let mut out = String::with_capacity(640 + envelope.remote.len() * 64);
    put(&mut out, Field::Format, FORMAT);
    put(&mut out, Field::Content, body_keyword(envelope.body));
    put(&mut out, Field::From, &envelope.sender);
    put(&mut out, Field::ToCount, &count);
    envelope.local.iter().for_each(|mailbox| put_recipient(&mut out, Field::ToLocal, mailbox));
    envelope.remote.iter().for_each(|address| put_recipient(&mut out, Field::ToRemote, address));
    put(&mut out, Field::Authentication, &envelope.authentication);
    put(&mut out, Field::Client, &envelope.client);
    put(&mut out, Field::ClientCertificate, &envelope.client_certificate);
    put(&mut out, Field::MailFromAuthIn, &xtext::normalise(&envelope.mail_auth_in));
    put(&mut out, Field::MailFromAuthOut, &xtext::normalise(&envelope.mail_auth_out));
    put(&mut out, Field::ForwardTo, &xtext::normalise(&envelope.forward_to));
    put(&mut out, Field::ForwardToAddress, &envelope.forward_to_address);
    put(&mut out, Field::ClientAccountSelector, &envelope.client_account_selector);
    put(&mut out, Field::Utf8MailboxNames, if envelope.utf8_mailboxes { "1" } else { "0" });
    out.push_str(LINE_PREFIX);
    out.push_str("End: 1");
    out.push_str(LINE_END);

    let mut bytes = out.into_bytes();
    for line in &envelope.trailer {
        bytes.extend_from_slice(line);
        bytes.extend_from_slice(LINE_END.as_bytes());
    }
    bytes
}

fn put(out: &mut String, field: Field, value: &str) {
    out.push_str(LINE_PREFIX);
    out.push_str(field.name());
    out.push_str(": ");
    for (number, line) in value.split('\n').enumerate() {
        if number > 0 {
            out.push_str(LINE_END);
            out.push(' ');
        }
        out.push_str(line);
    }
    out.push_str(LINE_END);
}

/// Recipient lines have no continuation, so a line end in an address must not reach the file: what came behind it
/// would be read as a line of its own. NUL makes the address fail the check when it is read.
fn put_recipient(out: &mut String, field: Field, value: &str) {
    if value.contains(['\r', '\n']) {
        put(out, field, &value.replace(['\r', '\n'], "\0"));
    } else {
        put(out, field, value);
    }
}
