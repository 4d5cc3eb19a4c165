//! One mail address and its form in an envelope.

use std::borrow::Cow;

use idna::AsciiDenyList;

/// An address from a header field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The display name, without quotes and comments.
    pub name: Option<String>,
    /// The local part, without quotes.
    pub local: String,
    /// The domain as written, a domain literal with its brackets; nothing for a bare local part.
    pub domain: Option<String>,
}

/// An address that cannot be put in an envelope: empty, with control characters, beginning or ending with `@`, or
/// with a domain that has no A-label form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("invalid address")]
pub struct InvalidAddress;

impl Address {
    /// The address in its envelope form: the local part quoted when RFC 5321 section 4.1.2 needs it, the domain in
    /// A-labels. A bare local part gets `@` and the default domain, if there is one.
    ///
    /// # Errors
    /// When the result would not be a usable address.
    pub fn envelope_form(&self, default_domain: Option<&str>) -> Result<String, InvalidAddress> {
        let local = quoted_when_needed(&self.local);
        let address = match self.domain.as_deref().or(default_domain) {
            Some(domain) => format!("{local}@{}", a_labels(domain)?),
            None => local.into_owned(),
        };
        check(&address)?;
        Ok(address)
    }

    /// The display name, if it can stand between quotes as it is: no quotes, backslashes or RFC 2047 encoded words.
    #[must_use]
    pub fn plain_name(&self) -> Option<&str> {
        let name = self.name.as_deref()?;
        let plain = !name.contains(|c: char| c == '"' || c == '\\' || c.is_control()) && !name.contains("=?");
        (plain && !name.is_empty()).then_some(name)
    }
}

impl std::fmt::Display for Address {
    /// `local@domain` as written, for messages to people.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&quoted_when_needed(&self.local))?;
        self.domain.as_ref().map_or(Ok(()), |domain| write!(f, "@{domain}"))
    }
}

/// The envelope form of an address that somebody typed: kept as it is, but for the domain, which is put in A-labels,
/// and for a bare name, which gets `@` and the default domain, if there is one.
///
/// # Errors
/// When the text is empty, has control characters, begins or ends with `@`, or has a domain with no A-label form.
pub fn typed_envelope_form(text: &str, default_domain: Option<&str>) -> Result<String, InvalidAddress> {
    check(text)?;
    match (text.rsplit_once('@'), default_domain) {
        (Some((local, domain)), _) => Ok(format!("{local}@{}", a_labels(domain)?)),
        (None, Some(domain)) => Ok(format!("{text}@{}", a_labels(domain)?)),
        (None, None) => Ok(text.to_owned()),
    }
}

/// Whether the local part of an envelope address needs SMTPUTF8 (RFC 6531).
#[must_use]
pub fn has_utf8_local_part(address: &str) -> bool {
    let local = address.rsplit_once('@').map_or(address, |(local, _)| local);
    !local.is_ascii()
}

fn check(text: &str) -> Result<(), InvalidAddress> {
    let bad =
        text.is_empty() || text.starts_with('@') || text.ends_with('@') || text.contains(char::is_control);
    if bad { Err(InvalidAddress) } else { Ok(()) }
}

/// The domain in A-labels (RFC 5890). One that is ASCII already is left alone, letter case and all.
fn a_labels(domain: &str) -> Result<Cow<'_, str>, InvalidAddress> {
    if domain.is_ascii() {
        return Ok(Cow::Borrowed(domain));
    }
    // The deny list keeps letters that map to ASCII specials, such as a full-width `@`, from changing the address.
    idna::domain_to_ascii_cow(domain.as_bytes(), AsciiDenyList::STD3).map_err(|_| InvalidAddress)
}

/// RFC 5321 section 4.1.2: anything but a `Dot-string` has to be a `Quoted-string`.
fn quoted_when_needed(local: &str) -> Cow<'_, str> {
    if local.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atext)) {
        return Cow::Borrowed(local);
    }
    let mut quoted = String::with_capacity(local.len() + 2);
    quoted.push('"');
    for c in local.chars() {
        if c == '"' || c == '\\' {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    Cow::Owned(quoted)
}

/// RFC 5322 section 3.2.3 with RFC 6532 section 3.2.
fn is_atext(c: char) -> bool {
    c.is_ascii_alphanumeric() || !c.is_ascii() || "!#$%&'*+-/=?^_`{|}~".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(local: &str, domain: Option<&str>) -> Address {
        Address { name: None, local: local.into(), domain: domain.map(Into::into) }
    }

    #[test]
    fn quotes_are_kept_only_when_needed() {
        let table = [
            ("joe", "joe@x.com"),
            ("a,b", "\"a,b\"@x.com"),
            ("a b", "\"a b\"@x.com"),
            ("a\"b\\c", "\"a\\\"b\\\\c\"@x.com"),
            (".a", "\".a\"@x.com"),
            ("a..b", "\"a..b\"@x.com"),
            ("", "\"\"@x.com"),
            ("a@b", "\"a@b\"@x.com"),
            ("j\u{f6}rg", "j\u{f6}rg@x.com"),
        ];
        for (local, expected) in table {
            assert_eq!(address(local, Some("x.com")).envelope_form(None).unwrap(), expected);
        }
    }

    #[test]
    fn domains_become_a_labels() {
        let form = |domain| address("joe", Some(domain)).envelope_form(None);
        assert_eq!(form("b\u{fc}cher.example").unwrap(), "joe@xn--bcher-kva.example");
        assert_eq!(form("Example.COM").unwrap(), "joe@Example.COM");
        assert_eq!(form("[1.2.3.4]").unwrap(), "joe@[1.2.3.4]");
        assert_eq!(form("a\u{ff20}b.example"), Err(InvalidAddress));
        assert_eq!(
            typed_envelope_form("joe@b\u{fc}cher.example", None).unwrap(),
            "joe@xn--bcher-kva.example"
        );
    }

    #[test]
    fn a_bare_name_gets_the_default_domain_if_there_is_one() {
        assert_eq!(address("root", None).envelope_form(None).unwrap(), "root");
        assert_eq!(address("root", None).envelope_form(Some("ex.org")).unwrap(), "root@ex.org");
        assert_eq!(typed_envelope_form("root", None).unwrap(), "root");
        assert_eq!(typed_envelope_form("root", Some("ex.org")).unwrap(), "root@ex.org");
    }

    #[test]
    fn typed_addresses_are_taken_literally() {
        assert_eq!(typed_envelope_form("Joe <joe@x>", None).unwrap(), "Joe <joe@x>");
        for bad in ["", "@x", "x@", "a\nb@c", "a\u{7f}@b", "a\u{85}@b"] {
            assert_eq!(typed_envelope_form(bad, None), Err(InvalidAddress), "{bad:?}");
        }
    }

    #[test]
    fn only_the_local_part_asks_for_smtputf8() {
        assert!(has_utf8_local_part("j\u{f6}rg@x"));
        assert!(has_utf8_local_part("j\u{f6}rg"));
        assert!(!has_utf8_local_part("joe@b\u{fc}cher.example"));
    }

    #[test]
    fn plain_names_need_no_escapes() {
        let plain =
            |name: &str| Address { name: Some(name.into()), ..address("a", None) }.plain_name().is_some();
        assert!(plain("Joe Bloggs") && plain("J\u{f6}rg"));
        assert!(!plain("") && !plain("a \"b\"") && !plain("a\\b") && !plain("=?utf-8?q?x?="));
    }
}
