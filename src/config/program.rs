//! Specifications of filters and address verifiers: the syntax that is checked at start-up.
//!
//! Filters and verifiers themselves are not built into this version; the checks are, so that a
//! configuration means the same from the beginning.

use super::address::Remote;
use super::number;

/// Exit codes and milliseconds end below this.
const NUMBER_LIMIT: u64 = 4_294_967;

/// Checks a list of filters, as `--filter` and `--client-filter` take it: parts separated by commas.
///
/// # Errors
/// The reason that completes `invalid filter specification: `.
pub fn check_filters(list: &str) -> Result<(), String> {
    list.split(',').filter(|part| !part.is_empty()).try_for_each(check_filter)
}

/// Checks an address verifier: one value, no list.
///
/// # Errors
/// The reason that completes `invalid verifier specification: `.
pub fn check_verifier(text: &str) -> Result<(), String> {
    match text.split_once(':') {
        Some(("exit", number)) if number::digits(number).is_none() => {
            Err(format!("not a numeric exit code: {number}"))
        }
        Some(("net", address)) => check_address(address),
        Some(("file", "")) => Err("empty file path".to_owned()),
        _ => Ok(()),
    }
}

/// The program file of a filter part or verifier, if it is one: the path behind `file:`, or the whole text
/// when it has no known prefix.
#[must_use]
pub fn path(text: &str) -> Option<&str> {
    const BUILT_IN: [&str; 11] = [
        "exit:",
        "sleepms:",
        "net:",
        "spam:",
        "spam-edit:",
        "deliver:",
        "copy:",
        "split:",
        "mx:",
        "msgid:",
        "account:",
    ];
    if text.is_empty() || BUILT_IN.iter().any(|prefix| text.starts_with(prefix)) {
        return None;
    }
    Some(text.strip_prefix("file:").unwrap_or(text))
}

fn check_filter(part: &str) -> Result<(), String> {
    match part.split_once(':') {
        Some(("exit" | "sleepms", number)) => check_number(number),
        Some(("net" | "spam" | "spam-edit", address)) => check_address(address),
        Some(("file", "")) => Err("empty file path".to_owned()),
        _ => Ok(()),
    }
}

fn check_number(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("numeric value missing".to_owned());
    }
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("invalid numeric value: {text}"));
    }
    match number::digits(text) {
        Some(value) if value < NUMBER_LIMIT => Ok(()),
        _ => Err(format!("numeric value too big: {text}")),
    }
}

fn check_address(text: &str) -> Result<(), String> {
    match Remote::parse(text, None) {
        Ok(Remote::Socks { .. }) => Err(format!("invalid host:service format: {text}")),
        Ok(_) => Ok(()),
        Err(_) if text.is_empty() => Err("invalid host:service format".to_owned()),
        Err(_) => Err(format!("invalid host:service format: {text}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_filters_have_their_reason() {
        for (spec, reason) in [
            ("exit:", "numeric value missing"),
            ("exit:x", "invalid numeric value: x"),
            ("exit:4294967", "numeric value too big: 4294967"),
            ("/bin/true,sleepms:99999999999999999999", "numeric value too big: 99999999999999999999"),
            ("net:", "invalid host:service format"),
            ("net:localhost", "invalid host:service format: localhost"),
            ("net::25", "invalid host:service format: :25"),
            ("spam:localhost:99999", "invalid host:service format: localhost:99999"),
            ("file:", "empty file path"),
        ] {
            assert_eq!(check_filters(spec), Err(reason.to_owned()), "{spec}");
        }
        for good in [
            "",
            ",,",
            "exit:0",
            "sleepms:4294966",
            "net:/run/x",
            "spam-edit:[::1]:783",
            "foo:bar",
            "mx:",
            "copy:a;b",
        ] {
            assert_eq!(check_filters(good), Ok(()), "{good}");
        }
    }

    #[test]
    fn bad_verifiers_have_their_reason() {
        assert_eq!(check_verifier("exit:x"), Err("not a numeric exit code: x".to_owned()));
        assert_eq!(check_verifier("net:x"), Err("invalid host:service format: x".to_owned()));
        assert_eq!(check_verifier("file:"), Err("empty file path".to_owned()));
        for good in ["", "exit:99999999", "net:h:smtp", "account:", "/usr/bin/verify, me"] {
            assert_eq!(check_verifier(good), Ok(()), "{good}");
        }
    }

    #[test]
    fn programs_are_what_has_no_known_prefix() {
        assert_eq!(path("/bin/x"), Some("/bin/x"));
        assert_eq!(path("file:x"), Some("x"));
        assert_eq!(path("foo:bar"), Some("foo:bar"));
        assert_eq!(path("exit:0"), None);
        assert_eq!(path(""), None);
    }
}
