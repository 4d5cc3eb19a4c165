//! What a filter wrote for the client and for the log.

use super::Failure;

/// Longest text for a client, bytes: a reply line may have 512 with its code (RFC 5321 section 4.5.3.1.5).
const MAX_RESPONSE: usize = 400;

/// The text for the client of a filter that gave none.
pub(super) const REJECTED: &str = "rejected";

/// Marks around texts in a program's output, at the start of a line.
const MARKS: [(&str, &str); 2] = [("<<", ">>"), ("[[", "]]")];

/// Reads what a program has written: the first marked text is for the client, the second is the reason.
pub(super) fn from_program(output: &[u8]) -> Failure {
    let output = String::from_utf8_lossy(output).replace(char::REPLACEMENT_CHARACTER, "?");
    let mut texts = output.split(['\n', '\r']).filter_map(marked);
    let first = texts.next().unwrap_or_default();
    let reason = texts.next().filter(|reason| !reason.is_empty());
    let (code, response) = response(first);
    let reason = match reason {
        Some(reason) => cut(reason).to_owned(),
        // As it was before an empty text was given words.
        None => response.clone(),
    };
    Failure { response, code, reason, is_fault: false, about_next_hop: false }
}

fn marked(line: &str) -> Option<&str> {
    MARKS.iter().find_map(|(open, close)| {
        let (text, _) = line.strip_prefix(open)?.split_once(close)?;
        Some(text)
    })
}

/// Takes a leading SMTP code off; a text that is empty becomes [`REJECTED`].
pub(super) fn response(text: &str) -> (Option<u16>, String) {
    let (code, rest) = match split_code(text) {
        Some((code, rest)) => (Some(code), rest),
        None => (None, text),
    };
    let text = if rest.is_empty() { REJECTED } else { cut(rest) };
    (code, text.to_owned())
}

/// `4dd` or `5dd`, then a blank or the end.
fn split_code(text: &str) -> Option<(u16, &str)> {
    let (digits, rest) = text.split_at_checked(3)?;
    let code: u16 = digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())??;
    let rest = if rest.is_empty() { rest } else { rest.strip_prefix(' ')? };
    (400..600).contains(&code).then_some((code, rest))
}

pub(super) fn cut(text: &str) -> &str {
    let end = (0..=MAX_RESPONSE.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}
