//! Delivery status notifications (RFC 3464): a `multipart/report` with a text for people, fields for programs, and the
//! message, or its header, that it is about.
//!
//! Pure, and written in pieces, because there may be a hundred thousand recipients and a large message to return:
//! [`Report::opening`], [`Report::recipient`] for each, [`Report::returned`], the caller's copy of the message,
//! [`Report::closing`].

pub mod status;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;

/// Lines of fields are folded near this length (RFC 5322 section 2.1.1 asks for 78).
const LINE: usize = 76;
/// So many recipients are named in the text for people; the fields name all.
const NAMED: usize = 50;
/// The longest line that is taken over from the message's header into the text, in characters.
const MAX_SHOWN: usize = 200;

/// What has become of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It was not delivered and will not be tried again.
    Failed,
    /// It was not delivered yet and will be tried again.
    Delayed,
}

/// What is returned of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returned {
    /// Nothing: there is nothing, or nothing was wanted.
    Nothing,
    /// The header.
    Headers,
    /// All of it.
    Message,
}

impl Returned {
    /// The same, but never all of the message.
    #[must_use]
    pub fn header_at_most(self) -> Self {
        match self {
            Self::Message => Self::Headers,
            other => other,
        }
    }
}

/// A report, but for its recipients and what is returned.
#[derive(Clone, Debug)]
pub struct Report {
    /// What has become of the message.
    pub action: Action,
    /// Who gets the report: an address without brackets, fit for a header.
    pub to: String,
    /// Our domain: the reporting MTA.
    pub domain: String,
    /// Our name for the message, by which the log knows it.
    pub queue_id: String,
    /// The date of the report.
    pub date: String,
    /// The id of the report with its brackets.
    pub message_id: String,
    /// A text that is nowhere else in the report.
    pub boundary: String,
    /// When the message came in.
    pub arrival: Option<String>,
    /// Lines of the message's header by which its sender knows it, such as `Subject: hello`.
    pub known_by: Vec<String>,
    /// The id of the message with its brackets, if it has one.
    pub original_id: Option<String>,
    /// What is returned.
    pub returned: Returned,
    /// What is returned has bytes that are not ASCII.
    pub returned_8bit: bool,
    /// The last attempt, if it has reached a next hop.
    pub attempt: Option<Attempt>,
    /// Until when a message that is late is tried.
    pub tried_until: Option<String>,
    /// The message needs SMTPUTF8, so that its header may be in UTF-8 (RFC 6533).
    pub utf8: bool,
}

/// An attempt to deliver the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// When it ended.
    pub date: String,
    /// The next hop, as a domain or a literal, if it has such a name.
    pub remote: Option<String>,
}

/// One recipient's part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// As in the envelope.
    pub address: String,
    /// Status code (RFC 3463).
    pub status: String,
    /// The reply of the next hop.
    pub reply: Option<u16>,
    /// Its text, or our own reason if there was no reply.
    pub reason: String,
}

impl Report {
    /// Header, text, and the fields about the message; `recipients` are named in the text as far as there is room.
    #[must_use]
    pub fn opening(&self, recipients: &[Recipient]) -> String {
        let text = self.text(recipients);
        let eight_bit = if self.is_8bit(recipients) { "8bit" } else { "7bit" };
        let mut out = self.header(eight_bit);
        let text_encoding = if text.is_ascii() { "7bit" } else { "8bit" };
        let _ = write!(
            out,
            "--{}\r\nContent-Description: Notification\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Content-Transfer-Encoding: {text_encoding}\r\n\r\n{text}\r\n",
            self.boundary
        );
        let _ = write!(
            out,
            "--{}\r\nContent-Description: Delivery report\r\nContent-Type: message/delivery-status\r\n\r\n",
            self.boundary
        );
        out.push_str(&field("Reporting-MTA", &format!("dns; {}", self.domain)));
        if let Some(arrival) = &self.arrival {
            out.push_str(&field("Arrival-Date", arrival));
        }
        out.push_str(&field("X-EMailRelay-Id", &self.queue_id));
        out
    }

    /// The fields about a recipient.
    #[must_use]
    pub fn recipient(&self, recipient: &Recipient) -> String {
        let mut out = String::from("\r\n");
        out.push_str(&field("Final-Recipient", &typed_address(&recipient.address)));
        out.push_str(&field("Action", self.action.as_str()));
        out.push_str(&field("Status", &recipient.status));
        let diagnostic = match recipient.reply {
            Some(code) => format!("smtp; {code} {}", recipient.reason),
            // RFC 3464 section 2.3.6: a type of our own for what no reply said.
            None => format!("x-emailrelay; {}", recipient.reason),
        };
        let remote = self.attempt.as_ref().and_then(|attempt| attempt.remote.as_ref());
        out.extend(remote.map(|name| field("Remote-MTA", &format!("dns; {name}"))));
        out.push_str(&field("Diagnostic-Code", &ascii(&diagnostic)));
        out.extend(self.attempt.as_ref().map(|attempt| field("Last-Attempt-Date", &attempt.date)));
        out.extend(self.tried_until.as_ref().map(|date| field("Will-Retry-Until", date)));
        out
    }

    /// What stands before the returned message or header, which follows with CRLF line ends.
    #[must_use]
    pub fn returned(&self) -> String {
        let (description, kind) = match (self.returned, self.utf8) {
            (Returned::Nothing, _) => return String::new(),
            (Returned::Headers, false) => ("Undelivered message header", "text/rfc822-headers"),
            (Returned::Headers, true) => ("Undelivered message header", "message/global-headers"),
            (Returned::Message, false) => ("Undelivered message", "message/rfc822"),
            (Returned::Message, true) => ("Undelivered message", "message/global"),
        };
        let encoding = if self.returned_8bit { "8bit" } else { "7bit" };
        format!(
            "\r\n--{}\r\nContent-Description: {description}\r\nContent-Type: {kind}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n",
            self.boundary
        )
    }

    /// The end.
    #[must_use]
    pub fn closing(&self) -> String {
        format!("\r\n--{}--\r\n", self.boundary)
    }

    /// It has bytes that are not ASCII, so that its way must be clear for eight bits.
    #[must_use]
    pub fn is_8bit(&self, recipients: &[Recipient]) -> bool {
        let returned = self.returned != Returned::Nothing && self.returned_8bit;
        returned || !self.to.is_ascii() || !self.text(recipients).is_ascii()
    }

    /// RFC 3834 section 5 for `Auto-Submitted`; RFC 3464 section 2 for the rest.
    fn header(&self, encoding: &str) -> String {
        let subject = match self.action {
            Action::Failed => "Your e-mail could not be delivered",
            Action::Delayed => "Your e-mail is delayed",
        };
        let mut out = format!(
            "From: Mail Delivery System <postmaster@{}>\r\nTo: <{}>\r\nSubject: {subject}\r\nDate: {}\r\nMessage-ID: {}\r\n",
            self.domain, self.to, self.date, self.message_id
        );
        if let Some(id) = &self.original_id {
            let _ = write!(out, "In-Reply-To: {id}\r\nReferences: {id}\r\n");
        }
        let _ = write!(
            out,
            "Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n\
             Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"{}\"\r\n\
             Content-Transfer-Encoding: {encoding}\r\n\r\nThis is a report in several parts.\r\n\r\n",
            self.boundary
        );
        out
    }

    /// The text for people.
    fn text(&self, recipients: &[Recipient]) -> String {
        let mut out = format!("This is the mail system of {}.\r\n\r\n", self.domain);
        out.push_str(match self.action {
            Action::Failed => {
                "Your message could not be delivered to the recipients below, and will\r\nnot be tried again.\r\n"
            }
            Action::Delayed => {
                "Your message could not be delivered to the recipients below yet. It is\r\n\
                 still being tried: you need not send it again.\r\n"
            }
        });
        if !self.known_by.is_empty() {
            out.push_str("\r\n");
        }
        for line in &self.known_by {
            let _ = write!(out, "    {}\r\n", one_line(line));
        }
        for Recipient { address, reply, reason, .. } in recipients.iter().take(NAMED) {
            let code = reply.map_or_else(String::new, |code| format!("{code} "));
            let _ = write!(out, "\r\n<{}>:\r\n    {code}{}\r\n", one_line(address), one_line(reason));
        }
        match recipients.len().saturating_sub(NAMED) {
            0 => {}
            more => {
                let _ = write!(out, "\r\nand {more} more.\r\n");
            }
        }
        match self.returned {
            Returned::Nothing => {}
            Returned::Headers => out.push_str("\r\nThe header of the message is below.\r\n"),
            Returned::Message => out.push_str("\r\nThe message is below.\r\n"),
        }
        out
    }
}

impl Action {
    /// The word in the `Action` field (RFC 3464 section 2.3.3).
    fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Delayed => "delayed",
        }
    }
}

/// RFC 3464 section 2.3.2; RFC 6533 section 3 for what is not ASCII.
fn typed_address(address: &str) -> String {
    if address.is_ascii() {
        return format!("rfc822; {}", ascii(address));
    }
    let mut out = String::from("utf-8; ");
    for character in address.chars() {
        match character {
            '\\' | '+' | '=' => {
                let _ = write!(out, "\\x{{{:X}}}", u32::from(character));
            }
            '!'..='~' => out.push(character),
            _ => {
                let _ = write!(out, "\\x{{{:X}}}", u32::from(character));
            }
        }
    }
    out
}

/// A field, folded at blanks where it is long.
fn field(name: &str, value: &str) -> String {
    let mut out = format!("{name}:");
    let mut column = out.len();
    for word in value.split(' ').filter(|word| !word.is_empty()) {
        if column + 1 + word.len() > LINE && column > 1 {
            out.push_str("\r\n");
            column = 0;
        }
        out.push(' ');
        out.push_str(word);
        column += 1 + word.len();
    }
    out.push_str("\r\n");
    out
}

/// Printable ASCII only, as fields have it.
fn ascii(text: &str) -> String {
    text.chars().map(|c| if (' '..='~').contains(&c) { c } else { '?' }).collect()
}

/// A text as a part of one line that people read.
fn one_line(text: &str) -> String {
    text.chars().take(MAX_SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
