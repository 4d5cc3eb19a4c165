//! Specifications of address verifiers: the syntax that is checked at start-up.

use super::{filter, number};

/// Checks an address verifier: one value, no list.
///
/// # Errors
/// The reason that completes `invalid verifier specification: `.
pub fn check_verifier(text: &str) -> Result<(), String> {
    match text.split_once(':') {
        Some(("exit", number)) if number::digits(number).is_none() => {
            Err(format!("not a numeric exit code: {number}"))
        }
        Some(("net", address)) => filter::address(address).map(drop),
        Some(("file", "")) => Err("empty file path".to_owned()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_verifiers_have_their_reason() {
        assert_eq!(check_verifier("exit:x"), Err("not a numeric exit code: x".to_owned()));
        assert_eq!(check_verifier("net:x"), Err("invalid host:service format: x".to_owned()));
        assert_eq!(check_verifier("file:"), Err("empty file path".to_owned()));
        for good in ["", "exit:99999999", "net:h:smtp", "account:", "/usr/bin/verify, me"] {
            assert_eq!(check_verifier(good), Ok(()), "{good}");
        }
    }
}
