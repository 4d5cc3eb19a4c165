//! Who is told about a message, if anybody: the rules that keep reports from running in circles.
//!
//! No report goes to the null sender (RFC 5321 section 4.5.5), and none is made about a report or an automatic reply, whatever
//! sender they have (RFC 3834 section 2): those are for the postmaster, if there is one. A delay is not worth telling to a
//! program or a list.

use crate::message::Headers;
use crate::message::report::Action;
use crate::spool::Envelope;

/// Who gets the report.
///
/// # Errors
/// Why there is none.
pub(super) fn addressee(
    envelope: &Envelope,
    header: &Headers,
    action: Action,
    postmaster: Option<&str>,
) -> Result<String, &'static str> {
    if envelope.remote.is_empty() && envelope.local.is_empty() {
        return Err("it has no recipients");
    }
    match for_sender(envelope, header, action) {
        Ok(()) => Ok(envelope.sender.clone()),
        Err(reason) => match postmaster {
            // What cannot reach the postmaster is not told to the postmaster.
            Some(postmaster)
                if action == Action::Failed && !envelope.remote.iter().any(|to| same(to, postmaster)) =>
            {
                Ok(postmaster.to_owned())
            }
            _ => Err(reason),
        },
    }
}

fn for_sender(envelope: &Envelope, header: &Headers, action: Action) -> Result<(), &'static str> {
    let sender = &envelope.sender;
    if sender.is_empty() {
        return Err("its sender is the null sender");
    }
    // It becomes a recipient, and a line of a header.
    let as_recipient = Envelope { remote: vec![sender.clone()], ..Envelope::default() };
    if sender.chars().any(char::is_control) || as_recipient.check_addresses().is_err() {
        return Err("its sender is no address");
    }
    if first_word(header, "content-type").as_deref() == Some("multipart/report") {
        return Err("it is a report");
    }
    match (first_word(header, "auto-submitted").as_deref(), action) {
        (None | Some("no" | ""), _) | (Some("auto-generated"), Action::Failed) => {}
        _ => return Err("it is from a program"),
    }
    let bulk = first_word(header, "precedence");
    if action == Action::Delayed && matches!(bulk.as_deref(), Some("bulk" | "list" | "junk")) {
        return Err("it is from a list");
    }
    Ok(())
}

/// The beginning of a field's value, up to blank or parameter, in small letters.
fn first_word(header: &Headers, name: &str) -> Option<String> {
    let value = header.named(name).next()?.value();
    let value = String::from_utf8_lossy(&value).trim().to_ascii_lowercase();
    Some(value.split([';', ' ', '\t', '(']).next().unwrap_or_default().to_owned())
}

fn same(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(
        sender: &str,
        header: &str,
        action: Action,
        postmaster: Option<&str>,
    ) -> Result<String, &'static str> {
        let envelope = Envelope { sender: sender.into(), remote: vec!["b@x".into()], ..Envelope::default() };
        let header = Headers::new(header.lines().map(|line| line.as_bytes().to_vec()).collect());
        addressee(&envelope, &header, action, postmaster)
    }

    #[test]
    fn senders_are_told_and_programs_are_not() {
        let to_sender = Ok("a@x".to_owned());
        for (header, failed, delayed) in [
            ("Subject: s", &to_sender, &to_sender),
            ("Auto-Submitted: no", &to_sender, &to_sender),
            ("Auto-Submitted: auto-generated (cron)", &to_sender, &Err("it is from a program")),
            ("AUTO-SUBMITTED: Auto-Replied", &Err("it is from a program"), &Err("it is from a program")),
            ("Precedence: bulk", &to_sender, &Err("it is from a list")),
            ("Content-Type: Multipart/Report;\n boundary=x", &Err("it is a report"), &Err("it is a report")),
        ] {
            assert_eq!(&judge("a@x", header, Action::Failed, None), failed, "{header}");
            assert_eq!(&judge("a@x", header, Action::Delayed, None), delayed, "{header}");
        }
    }

    #[test]
    fn the_null_sender_gets_nothing() {
        assert_eq!(judge("", "", Action::Failed, None), Err("its sender is the null sender"));
        assert_eq!(judge("", "", Action::Failed, Some("p@x")), Ok("p@x".to_owned()));
        assert_eq!(judge("", "", Action::Delayed, Some("p@x")), Err("its sender is the null sender"));
        assert_eq!(judge("", "", Action::Failed, Some("B@X")), Err("its sender is the null sender"));
        for sender in ["a b@x", "a\r\nBcc: c@x", "<a@x>", "a\x1b@x"] {
            assert_eq!(
                judge(sender, "", Action::Failed, None),
                Err("its sender is no address"),
                "{sender:?}"
            );
        }
        let nobody = Envelope { sender: "a@x".into(), ..Envelope::default() };
        let judged = addressee(&nobody, &Headers::default(), Action::Failed, Some("p@x"));
        assert_eq!(judged, Err("it has no recipients"));
    }
}
