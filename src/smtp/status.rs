//! Enhanced status codes (RFC 3463): which one a reply has when the client was told that replies have them (RFC 2034).

/// How a reply gets its enhanced status code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Status {
    /// The one that fits most replies with this code.
    #[default]
    ByCode,
    /// This one.
    Is(&'static str),
    /// None at all: greetings, and what EHLO and HELO answer (RFC 2034 §4).
    Never,
}

impl Status {
    /// The code to put in front of `text`; none where there is none to put, or the text brings its own.
    pub(super) fn code(self, reply: u16, text: &str) -> Option<&'static str> {
        if has_own(reply, text) {
            return None;
        }
        match self {
            Self::ByCode => by_code(reply),
            Self::Is(status) => Some(status),
            Self::Never => None,
        }
    }
}

/// RFC 5321 §4.2.3 and the IANA registry of enhanced status codes, which names the replies they usually go with.
fn by_code(reply: u16) -> Option<&'static str> {
    let exact = match reply {
        235 => "2.7.0",
        421 => "4.3.2",
        432 => "4.7.12",
        450 => "4.2.0",
        451 | 452 => "4.3.0",
        454 => "4.7.0",
        500 => "5.5.2",
        501 | 504 | 555 => "5.5.4",
        502 | 503 => "5.5.1",
        530 => "5.7.0",
        534 => "5.7.9",
        535 => "5.7.8",
        538 => "5.7.11",
        552 => "5.3.4",
        553 => "5.1.0",
        _ => return by_class(reply / 100),
    };
    Some(exact)
}

fn by_class(class: u16) -> Option<&'static str> {
    match class {
        2 => Some("2.0.0"),
        4 => Some("4.0.0"),
        5 => Some("5.0.0"),
        _ => None,
    }
}

/// The text begins with a status code of the reply's class: those of filters and verifiers may (RFC 2034 §4).
fn has_own(reply: u16, text: &str) -> bool {
    let word = text.split(' ').next().unwrap_or_default();
    let mut parts = word.split('.');
    let number = |part: Option<&str>| {
        part.is_some_and(|p| (1..=3).contains(&p.len()) && p.bytes().all(|b| b.is_ascii_digit()))
    };
    let class = parts.next().and_then(|class| class.parse().ok());
    class == Some(reply / 100) && number(parts.next()) && number(parts.next()) && parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_may_bring_its_own() {
        for own in ["5.7.1 spam", "5.7.1", "5.123.456 x"] {
            assert_eq!(Status::ByCode.code(554, own), None, "{own}");
        }
        for other in ["4.7.1 spam", "5.7 spam", "5.7.1.2 x", "5.7.1x", "5.1234.1 x", "5..1 x", "", "x 5.7.1"]
        {
            assert_eq!(Status::ByCode.code(554, other), Some("5.0.0"), "{other}");
        }
    }

    #[test]
    fn intermediate_replies_and_greetings_have_none() {
        assert_eq!(Status::ByCode.code(354, "go on"), None);
        assert_eq!(Status::Never.code(220, "greeting"), None);
        assert_eq!(Status::Is("2.1.0").code(250, "sender OK"), Some("2.1.0"));
    }
}
