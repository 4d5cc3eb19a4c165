//! Enhanced status codes (RFC 3463) of failures: the next hop's own if its text begins with one, else what its reply code,
//! or our reason, says.

/// How the reason begins of a message that was tried, or has waited, for too long.
pub const TOO_OLD: &str = "message is too old";
/// Delivery time expired (RFC 3463 section 3.5).
const EXPIRED: &str = "4.4.7";

/// The status of a failure: the reply code, if there was a reply, and the text that tells of it.
#[must_use]
pub fn of(code: Option<u16>, text: &str) -> String {
    if text.starts_with(TOO_OLD) {
        return EXPIRED.to_owned();
    }
    match (code, code.and_then(|code| own(code, text))) {
        (_, Some(own)) => own.to_owned(),
        (Some(code), None) => of_code(code).to_owned(),
        (None, None) => of_reason(text).to_owned(),
    }
}

/// The one that the text begins with, if it is of the reply's class (RFC 2034 section 4).
fn own(code: u16, text: &str) -> Option<&str> {
    let word = text.trim_start().split([' ', '\\']).next()?;
    let mut parts = word.split('.');
    let class: u16 = parts.next()?.parse().ok()?;
    // RFC 3464 section 2.3.4: without leading zeros.
    let number = |part: Option<&str>| {
        part.is_some_and(|part| {
            let digits = (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
            digits && (part == "0" || !part.starts_with('0'))
        })
    };
    let good = class == code / 100 && number(parts.next()) && number(parts.next()) && parts.next().is_none();
    good.then_some(word)
}

/// RFC 5321 section 4.2.3 in the words of RFC 3463. What may mean several things is the general code of its class.
fn of_code(code: u16) -> &'static str {
    match code {
        421 => "4.3.2",
        450 => "4.2.0",
        451 => "4.3.0",
        452 => "4.3.1",
        454 | 432 => "4.7.0",
        500..=504 | 555 => "5.5.0",
        521 | 556 => "5.3.2",
        530 | 534 | 535 | 538 => "5.7.0",
        551 => "5.1.6",
        552 => "5.3.4",
        553 => "5.1.3",
        400..500 => "4.0.0",
        _ => "5.0.0",
    }
}

/// Reasons that no reply stands behind, by how they begin.
fn of_reason(text: &str) -> &'static str {
    const KNOWN: [(&str, &str); 6] = [
        ("peer disconnected", "4.4.2"),
        ("smtp error: response timeout", "4.4.2"),
        ("no remote recipients", "5.1.0"),
        ("invalid address in envelope", "5.1.3"),
        ("cannot open content file", "5.3.0"),
        ("cannot send utf8 message", "5.6.7"),
    ];
    let known = KNOWN.iter().find(|(start, _)| text.starts_with(start));
    known.map_or("5.0.0", |(_, status)| status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_hop_knows_best() {
        for (code, text, status) in [
            (Some(550), "5.1.1 no such user", "5.1.1"),
            (Some(550), "5.7.26\\nunauthenticated", "5.7.26"),
            (Some(450), "4.7.1 greylisted", "4.7.1"),
            (Some(550), "4.7.1 of another class", "5.0.0"),
            (Some(550), "5.01.1 zero", "5.0.0"),
            (Some(550), "5.1.1.1 version", "5.0.0"),
            (Some(550), "5.1 short", "5.0.0"),
            (Some(550), "", "5.0.0"),
            (Some(552), "too big", "5.3.4"),
            (Some(421), "closing", "4.3.2"),
            (Some(499), "odd", "4.0.0"),
            (Some(250), "reset", "5.0.0"),
            (None, "message is too old: 450 later", "4.4.7"),
            (Some(450), "message is too old: later", "4.4.7"),
            (None, "5.1.1 not from a reply", "5.0.0"),
            (None, "whatever", "5.0.0"),
        ] {
            assert_eq!(of(code, text), status, "{code:?} {text:?}");
        }
    }
}
