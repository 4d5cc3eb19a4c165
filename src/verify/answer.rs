//! What all verifiers' answers have to keep to before they reach a reply or an envelope.

use crate::smtp::server::Verdict;
use crate::spool::MailboxName;

/// Longest address that is stored for forwarding, in bytes (RFC 5321 §4.5.3.1.3 with its brackets).
const MAX_ADDRESS: usize = 254;

/// Longest text of a verifier that reaches a client, in bytes (RFC 5321 §4.5.3.1.5 allows 512 for the whole line).
const MAX_TEXT: usize = 400;

/// An answer that must not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadAnswer {
    /// The mailbox would be no directory of its own.
    #[error("invalid mailbox name from the verifier")]
    Mailbox,
    /// The address could not be forwarded to.
    #[error("invalid address from the verifier")]
    Address,
}

/// The verdict with its texts cut to size.
///
/// # Errors
/// The mailbox or address is not one.
pub(super) fn checked(verdict: Verdict) -> Result<Verdict, BadAnswer> {
    Ok(match verdict {
        Verdict::Local { mailbox, full_name } => {
            let name: MailboxName = mailbox.parse().map_err(|_| BadAnswer::Mailbox)?;
            Verdict::Local { mailbox: name.to_string(), full_name: cut(full_name) }
        }
        Verdict::Remote { address } => {
            let sound = !address.is_empty() && address.len() <= MAX_ADDRESS;
            if !sound || address.chars().any(char::is_control) {
                return Err(BadAnswer::Address);
            }
            Verdict::Remote { address }
        }
        Verdict::Rejected { rejection, text, reason } => {
            Verdict::Rejected { rejection, text: cut(text), reason: cut(reason) }
        }
        Verdict::Abort => Verdict::Abort,
    })
}

/// Text from outside: what is no UTF-8 becomes a question mark.
pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace(char::REPLACEMENT_CHARACTER, "?")
}

fn cut(mut text: String) -> String {
    let mut end = MAX_TEXT.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::smtp::server::Rejection;

    fn local(mailbox: &str) -> Verdict {
        Verdict::Local { mailbox: mailbox.to_owned(), full_name: String::new() }
    }

    fn remote(address: &str) -> Verdict {
        Verdict::Remote { address: address.to_owned() }
    }

    #[test]
    fn mailboxes_stay_below_the_delivery_directory() {
        for name in ["bob", "bob@x.net", "a b", "jörg"] {
            assert_eq!(checked(local(name)), Ok(local(name)));
        }
        let long = "x".repeat(129);
        for name in ["", ".", "..", ".x", "a/b", "../x", "tmp", "a\n", "a\0", "a\x7f", &long] {
            assert_eq!(checked(local(name)), Err(BadAnswer::Mailbox), "{name:?}");
        }
    }

    #[test]
    fn addresses_can_be_forwarded_to() {
        assert_eq!(checked(remote("a@b")), Ok(remote("a@b")));
        for address in ["", "a\r\nb@c", "a\u{1}@b", &"x".repeat(255)] {
            assert_eq!(checked(remote(address)), Err(BadAnswer::Address), "{address:?}");
        }
    }

    #[test]
    fn texts_end_at_a_whole_character() {
        let text = "x".to_owned() + &"ü".repeat(300);
        let verdict = Verdict::Rejected { rejection: Rejection::Permanent, text, reason: String::new() };
        let Ok(Verdict::Rejected { text, .. }) = checked(verdict) else { panic!("no rejection") };
        assert_eq!(text.len(), 399);
    }
}
