//! Lines and their fields, in the order of 2.x and in that of 1.x.

use crate::sasl::encoding::from_base64;

/// Fields of a line that mean something.
const FIELDS: usize = 5;

/// Characters of a masked MD5 password in base64.
const MASKED_MD5: usize = 44;

/// The two sides of a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// We log in elsewhere.
    Client,
    /// Others log in here.
    Server,
}

/// A line taken apart; nothing is decoded yet.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    pub(super) side: Side,
    /// In lower case.
    pub(super) kind: String,
    pub(super) id: &'a [u8],
    pub(super) secret: &'a [u8],
    /// Empty when there is none.
    pub(super) selector: &'a [u8],
    /// In the order of 1.x.
    pub(super) old: bool,
    /// There was more, and it was not a comment.
    pub(super) more: bool,
}

/// Takes a line apart; none if there is nothing on it.
///
/// # Errors
/// What is wrong with it.
pub(super) fn split(text: &[u8]) -> Result<Option<Line<'_>>, String> {
    let fields: Vec<&[u8]> =
        text.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty()).take(FIELDS + 1).collect();
    let comment = |field: &[u8]| field.starts_with(b"#");
    match fields.as_slice() {
        [] => return Ok(None),
        [first, ..] if comment(first) => return Ok(None),
        _ => {}
    }
    let [first, second, id, secret, rest @ ..] = fields.as_slice() else {
        return Err("too few fields".to_owned());
    };
    let word = |field: &[u8]| String::from_utf8_lossy(field).to_ascii_lowercase();
    let old_kind = OLD.iter().find(|(name, _)| *name == word(first));
    let (side, kind, old) = match (side(first), side(second), old_kind) {
        (None, Some(side), Some((_, meaning))) => (side, meaning(secret).to_owned(), true),
        (Some(side), ..) => (side, word(second), false),
        _ => return Err(format!("invalid value in first field: [{}]", first.escape_ascii())),
    };
    let (selector, behind) = match rest {
        [selector, behind @ ..] if !comment(selector) => (*selector, behind),
        _ => (&b""[..], &[][..]),
    };
    let more = behind.first().is_some_and(|field| !comment(field));
    Ok(Some(Line { side, kind, id, secret, selector, old, more }))
}

fn side(field: &[u8]) -> Option<Side> {
    if field.eq_ignore_ascii_case(b"client") {
        Some(Side::Client)
    } else if field.eq_ignore_ascii_case(b"server") {
        Some(Side::Server)
    } else {
        None
    }
}

/// What a line of 1.x with this secret is now called.
type Meaning = fn(&[u8]) -> &'static str;

/// Mechanisms that stood in the first field of 1.x.
const OLD: [(&str, Meaning); 5] = [
    ("login", |_| "plain"),
    ("plain", |_| "plain"),
    ("apop", |_| "plain"),
    ("cram-md5", |secret| if is_masked(secret) { "md5" } else { "plain" }),
    ("none", |_| "none"),
];

/// A dotted form, or base64 of exactly the two states.
fn is_masked(secret: &[u8]) -> bool {
    let dotted = secret.len() >= 15
        && secret.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.')
        && secret.split(|byte| *byte == b'.').count() == 8;
    dotted || (secret.len() == MASKED_MD5 && from_base64(secret).is_some_and(|states| states.len() == 32))
}
