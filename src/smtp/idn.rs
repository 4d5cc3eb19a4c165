//! A-labels of internationalised mail domains (RFC 5890, UTS 46).

use std::borrow::Cow;

use idna::AsciiDenyList;

/// The domain has no A-label form: a label that UTS 46 refuses, or characters no domain may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("domain cannot be converted to A-labels")]
pub struct NoALabel;

/// The domain in A-labels: lower case, composed, punycode. A domain that is all ASCII passes unchanged, its case kept.
///
/// # Errors
/// [`NoALabel`] if a label cannot be converted, or maps to nothing or to a character that has a meaning in addresses.
pub fn to_ascii(domain: &str) -> Result<Cow<'_, str>, NoALabel> {
    if domain.is_ascii() {
        return Ok(Cow::Borrowed(domain));
    }
    // The URL list denies what compatibility mapping may produce out of full-width forms: `@`, `<`, `>`, blanks.
    match idna::domain_to_ascii_cow(domain.as_bytes(), AsciiDenyList::URL) {
        Ok(ascii) if !ascii.is_empty() => Ok(ascii),
        _ => Err(NoALabel),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn converts_lower_cased_and_keeps_ascii() {
        assert_eq!(to_ascii("Example.COM"), Ok("Example.COM".into()));
        assert_eq!(to_ascii("BÜCHER.DE"), Ok("xn--bcher-kva.de".into()));
        assert_eq!(to_ascii("bu\u{308}cher.de"), Ok("xn--bcher-kva.de".into()));
    }

    #[test]
    fn refuses_what_has_no_a_label() {
        for bad in
            ["\u{ad}", "a\u{ff20}b.example", "\u{ff1c}x.example", "x\u{3000}y.example", "xn--\u{fc}.de"]
        {
            assert_eq!(to_ascii(bad), Err(NoALabel), "{bad}");
        }
    }
}
