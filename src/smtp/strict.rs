//! Addresses by the letter of RFC 5321 §4.1.2 and RFC 6531 §3.3: for `strictaddress`.
//!
//! The liberal reading of [`super::path`] comes first; here is only what it lets through and the grammar does not.

use core::net::Ipv6Addr;

use super::path::PathError;

/// Longest local part (RFC 5321 §4.5.3.1.1).
pub const MAX_LOCAL: usize = 64;
/// Longest domain (RFC 5321 §4.5.3.1.2).
pub const MAX_DOMAIN: usize = 255;
/// Longest path, brackets and source route included (RFC 5321 §4.5.3.1.3).
pub const MAX_STRICT_PATH: usize = 256;
/// Longest label of a domain (RFC 1035 §2.3.4).
const MAX_LABEL: usize = 63;
/// The one recipient without a domain, in any case (RFC 5321 §4.5.1).
const POSTMASTER: &str = "postmaster";

/// Checks the address of MAIL, without brackets and source route. `ascii` is the same with its domain in A-labels.
///
/// # Errors
/// [`PathError::LocalPart`], [`PathError::Domain`], or that one of them is too long.
pub fn sender(sent: &str, ascii: &str) -> Result<(), PathError> {
    if sent.is_empty() { Ok(()) } else { mailbox(sent, ascii) }
}

/// Checks the address of RCPT, without brackets and source route.
///
/// # Errors
/// As [`sender`].
pub fn recipient(sent: &str, ascii: &str) -> Result<(), PathError> {
    if sent.is_empty() || sent.eq_ignore_ascii_case(POSTMASTER) { Ok(()) } else { mailbox(sent, ascii) }
}

/// `At-domain *( "," At-domain )`, the source route without its colon.
///
/// # Errors
/// [`PathError::SourceRoute`].
pub fn source_route(route: &str) -> Result<(), PathError> {
    let is_hop = |hop: &str| hop.strip_prefix('@').is_some_and(is_domain);
    if route.split(',').all(is_hop) { Ok(()) } else { Err(PathError::SourceRoute) }
}

fn mailbox(sent: &str, ascii: &str) -> Result<(), PathError> {
    let local_length = local_part(sent).ok_or(PathError::LocalPart)?;
    let domain = |address: &str| {
        address.get(local_length..).and_then(|rest| rest.strip_prefix('@')).map(str::to_owned)
    };
    let (shown, domain) = domain(sent).zip(domain(ascii)).ok_or(PathError::LocalPart)?;
    if local_length > MAX_LOCAL {
        return Err(PathError::LocalTooLong);
    }
    if shown.len().max(domain.len()) > MAX_DOMAIN {
        return Err(PathError::DomainTooLong);
    }
    if is_domain(&domain) || is_literal(&domain) { Ok(()) } else { Err(PathError::Domain) }
}

/// Length of `Dot-string / Quoted-string` at the front; none if there is neither.
fn local_part(text: &str) -> Option<usize> {
    if let Some(quoted) = text.strip_prefix('"') {
        return quoted_string(quoted)?.checked_add(1);
    }
    let local = text.split('@').next()?;
    let is_atom = |atom: &str| !atom.is_empty() && atom.chars().all(is_atext);
    local.split('.').all(is_atom).then_some(local.len())
}

/// Length of `*QcontentSMTP DQUOTE` at the front.
fn quoted_string(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        let printable = matches!(c, ' '..='~');
        match c {
            _ if escaped && !printable => return None,
            _ if escaped => escaped = false,
            '"' => return at.checked_add(1),
            '\\' => escaped = true,
            _ if printable || !c.is_ascii() => {}
            _ => return None,
        }
    }
    None
}

/// `sub-domain *("." sub-domain)`; a sub-domain that is not ASCII was not to be converted.
fn is_domain(text: &str) -> bool {
    text.split('.').all(|label| {
        let inside = |c: char| c.is_ascii_alphanumeric() || c == '-' || !c.is_ascii();
        (1..=MAX_LABEL).contains(&label.len())
            && label.chars().all(inside)
            && !label.starts_with('-')
            && !label.ends_with('-')
    })
}

/// `"[" ( IPv4 / "IPv6:" IPv6 ) "]"`. No other tag is registered (RFC 5321 §4.1.3).
fn is_literal(text: &str) -> bool {
    let Some(inner) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) else { return false };
    match inner.split_at_checked(IPV6.len()) {
        Some((tag, address)) if tag.eq_ignore_ascii_case(IPV6) => address.parse::<Ipv6Addr>().is_ok(),
        _ => is_ipv4(inner),
    }
}

const IPV6: &str = "IPv6:";

/// `Snum 3("." Snum)`, which unlike the library's parser allows leading zeros.
fn is_ipv4(text: &str) -> bool {
    let is_snum = |part: &str| part.len() <= 3 && !part.starts_with('+') && part.parse::<u8>().is_ok();
    text.split('.').count() == 4 && text.split('.').all(is_snum)
}

/// `atext` of RFC 5322 §3.2.3, widened by RFC 6531 §3.3.
fn is_atext(c: char) -> bool {
    c.is_ascii_alphanumeric() || !c.is_ascii() || "!#$%&'*+-/=?^_`{|}~".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(address: &str) -> Result<(), PathError> {
        sender(address, address)
    }

    #[test]
    fn the_grammar_is_accepted() {
        for good in [
            "",
            "a@b",
            "a.b.c@d.e",
            "!#$%&'*+-/=?^_`{|}~@x",
            "\"a b@c\\\"\\\\\"@d",
            "\"\"@x",
            "\"\u{fc}\"@x",
            "j\u{f6}rg@x",
            "a@b\u{fc}cher.de",
            "a@1.2",
            "a@[127.0.0.1]",
            "a@[001.02.3.255]",
            "a@[IPv6:::1]",
            "a@[ipv6:2001:db8::1.2.3.4]",
            "a@x-y.z9",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        assert_eq!(recipient("PostMaster", "PostMaster"), Ok(()));
    }

    #[test]
    fn everything_else_is_refused() {
        for bad in [
            "a",
            "postmaster",
            " a@b",
            "a b@c",
            "a..b@c",
            ".a@b",
            "a.@b",
            "\"a@b",
            "\"a\"b@c",
            "a\"b@c",
            "a\\b@c",
            "(c)a@b",
            "<a@b",
            "a,b@c",
            "\"a\\\u{fc}\"@b",
            "a:b@c",
        ] {
            assert_eq!(check(bad), Err(PathError::LocalPart), "{bad}");
        }
        for bad in [
            "a@b@c",
            "a@b..c",
            "a@.b",
            "a@b.",
            "a@-b",
            "a@b-",
            "a@b_c",
            "a@b c",
            "a@[]",
            "a@[1.2.3]",
            "a@[1.2.3.256]",
            "a@[1.2.3.+4]",
            "a@[1.2.3.4",
            "a@[IPv6:1.2.3.4]",
            "a@[x:y]",
            "a@[::1]",
            "a@b/c",
        ] {
            assert_eq!(check(bad), Err(PathError::Domain), "{bad}");
        }
    }

    #[test]
    fn the_limits_are_those_of_the_standard() {
        let local = "x".repeat(MAX_LOCAL);
        assert_eq!(check(&format!("{local}@b")), Ok(()));
        assert_eq!(check(&format!("{local}x@b")), Err(PathError::LocalTooLong));
        let label = "x".repeat(MAX_LABEL);
        let domain = [&*label, &label, &label, &label].join(".");
        assert_eq!(check(&format!("a@{domain}")), Ok(()));
        assert_eq!(check(&format!("a@{domain}.x")), Err(PathError::DomainTooLong));
        assert_eq!(check(&format!("a@{label}x")), Err(PathError::Domain));
    }

    #[test]
    fn a_source_route_is_a_list_of_domains() {
        for good in ["@a", "@a,@b.c"] {
            assert_eq!(source_route(good), Ok(()), "{good}");
        }
        for bad in ["@", "a", "@a,", "@a,b", "@a, @b", "@a_b", "@[1.2.3.4]"] {
            assert_eq!(source_route(bad), Err(PathError::SourceRoute), "{bad}");
        }
    }
}
