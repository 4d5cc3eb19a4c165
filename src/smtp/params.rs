//! Parameters of MAIL. Unknown ones are ignored, the first of a kind counts, and all are taken whether offered or not:
//! unless the letter of RFC 5321 is asked for.

use super::command::is_blank;
use super::path::PathError;
use super::{Body, xtext};

/// Message size in bytes that the client declares (RFC 1870 §5).
const SIZE: &[u8] = b"SIZE";
/// Body type (RFC 6152 §2).
const BODY: &[u8] = b"BODY";
/// Identity of the submitter (RFC 4954 §5).
const AUTH: &[u8] = b"AUTH";
/// Internationalised addresses (RFC 6531 §3.4). Upper case only, unlike the others.
const SMTPUTF8: &[u8] = b"SMTPUTF8";

/// What the parameters of a MAIL command say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MailParameters {
    /// `SIZE=`: none if absent or not a number; more digits than fit count as the largest number.
    pub size: Option<u64>,
    /// `BODY=`.
    pub body: Body,
    /// `AUTH=` as normalised xtext, `<>` included; none if absent or empty.
    pub auth: Option<String>,
    /// `SMTPUTF8` was given.
    pub smtputf8: bool,
}

impl MailParameters {
    /// Reads the text behind the address.
    ///
    /// # Errors
    /// [`PathError::Parameter`] if SMTPUTF8 has a value: RFC 6531 gives it none.
    pub fn parse(text: &[u8]) -> Result<Self, PathError> {
        let words = || text.split(|b| is_blank(*b));
        let first = |name: &[u8]| words().find_map(|word| value(word, name));
        let mut smtputf8 = false;
        for word in words() {
            match word.strip_prefix(SMTPUTF8) {
                Some([]) => smtputf8 = true,
                Some([b'=', _, ..]) => return Err(PathError::Parameter),
                _ => {}
            }
        }
        Ok(Self {
            size: first(SIZE).and_then(number),
            body: first(BODY).map(Body::from_parameter).unwrap_or_default(),
            auth: first(AUTH).filter(|v| !v.is_empty()).map(|v| xtext::encode(&xtext::decode(v))),
            smtputf8,
        })
    }

    /// Reads the text behind the address by the letter of RFC 5321 §4.1.1.11: known parameters only, in any case, with
    /// values that are some, each of them once.
    ///
    /// # Errors
    /// [`PathError::UnknownParameter`], [`PathError::BadParameter`].
    pub fn parse_strictly(text: &[u8]) -> Result<Self, PathError> {
        let mut seen = Vec::new();
        for word in text.split(|b| is_blank(*b)).filter(|word| !word.is_empty()) {
            let mut halves = word.splitn(2, |b| *b == b'=');
            let (name, value) = (halves.next().unwrap_or_default(), halves.next());
            let known =
                [SIZE, BODY, AUTH, SMTPUTF8].into_iter().find(|known| known.eq_ignore_ascii_case(name));
            let name = known.ok_or(PathError::UnknownParameter)?;
            if !is_good(name, value) || seen.contains(&name) {
                return Err(PathError::BadParameter);
            }
            seen.push(name);
        }
        Ok(Self { smtputf8: seen.contains(&SMTPUTF8), ..Self::parse(text)? })
    }
}

fn is_good(name: &[u8], value: Option<&[u8]>) -> bool {
    match (name, value) {
        (SIZE, Some(value)) => number(value).is_some() && value.len() <= MAX_SIZE_DIGITS,
        (BODY, Some(value)) => Body::from_parameter(value) != Body::Unknown,
        (AUTH, Some(value)) => is_xtext(value),
        (SMTPUTF8, None) => true,
        _ => false,
    }
}

/// `1*20DIGIT` (RFC 1870 §4).
const MAX_SIZE_DIGITS: usize = 20;

/// RFC 4954 §5 with RFC 3461 §4: what encoding would give again.
fn is_xtext(value: &[u8]) -> bool {
    !value.is_empty()
        && (value == b"<>" || xtext::encode(&xtext::decode(value)).as_bytes().eq_ignore_ascii_case(value))
}

fn value<'a>(word: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (key, rest) = word.split_at_checked(name.len())?;
    if key.eq_ignore_ascii_case(name) { rest.strip_prefix(b"=") } else { None }
}

fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = digits.iter().fold(0u64, |n, d| n.saturating_mul(10).saturating_add(u64::from(*d & 15)));
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> MailParameters {
        MailParameters::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn the_first_of_a_kind_counts() {
        let read = parse("size=12 SIZE=13 X=1 body=8bitmime BODY=7BIT AUTH=a=b auth=c SMTPUTF8");
        let want = MailParameters {
            size: Some(12),
            body: Body::EightBit,
            auth: Some("a+3Db".to_owned()),
            smtputf8: true,
        };
        assert_eq!(read, want);
        assert_eq!(parse("SIZE=x SIZE=13").size, None);
        assert_eq!(parse("AUTH=<>").auth.as_deref(), Some("<>"));
    }

    #[test]
    fn by_the_letter_only_good_parameters_pass() {
        for good in [
            "",
            " ",
            "SIZE=1 body=7bit AUTH=<> smtputf8",
            "AUTH=e+3Dmc2@example.com",
            "SIZE=00000000000000000001",
        ] {
            assert_eq!(MailParameters::parse_strictly(good.as_bytes()).err(), None, "{good}");
        }
        for unknown in ["X=1", "XYZ", "SIZES=1", "RET=HDRS SIZE=1", "=1"] {
            assert_eq!(
                MailParameters::parse_strictly(unknown.as_bytes()),
                Err(PathError::UnknownParameter),
                "{unknown}"
            );
        }
        for bad in [
            "SIZE",
            "SIZE=",
            "SIZE=-1",
            "SIZE=1k",
            "SIZE=000000000000000000001",
            "BODY=9BIT",
            "BODY",
            "AUTH",
            "AUTH=",
            "AUTH=a=b",
            "AUTH=a+zz",
            "SMTPUTF8=",
            "SMTPUTF8=1",
            "SIZE=1 size=1",
            "SMTPUTF8 SMTPUTF8",
        ] {
            assert_eq!(MailParameters::parse_strictly(bad.as_bytes()), Err(PathError::BadParameter), "{bad}");
        }
    }

    #[test]
    fn junk_is_ignored_and_overflow_is_the_largest_size() {
        for text in ["", "SIZE=", "SIZE=-1", "SIZE=1k", "SIZE", "BODY=9BIT", "smtputf8", "SMTPUTF8=", "AUTH="]
        {
            assert_eq!(parse(text), MailParameters::default(), "{text}");
        }
        assert_eq!(parse("SIZE=99999999999999999999").size, Some(u64::MAX));
        assert_eq!(MailParameters::parse(b"SMTPUTF8=1"), Err(PathError::Parameter));
    }
}
