//! Names: those of protocols and ciphers as OpenSSL spells them, and those in certificates.

use std::net::IpAddr;

use rustls::{CipherSuite, ProtocolVersion};

use super::certificate::Facts;

/// The version as log lines have it, `TLSv1.3`.
pub(super) fn protocol(version: Option<ProtocolVersion>) -> &'static str {
    match version {
        Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
        Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
        _ => "unknown",
    }
}

/// The cipher suite as OpenSSL spells it.
pub(super) fn cipher(suite: Option<CipherSuite>) -> String {
    suite.map_or_else(|| "unknown".to_owned(), |suite| offered(u16::from(suite)))
}

/// The suites that a client of the last twenty years may offer; any other one by its number.
pub(super) fn offered(number: u16) -> String {
    let known = SUITES.iter().find(|(known, _)| *known == number);
    known.map_or_else(|| format!("0x{number:04X}"), |(_, name)| (*name).to_owned())
}

/// Numbers of the IANA registry with OpenSSL's names.
const SUITES: [(u16, &str); 40] = [
    (0x1301, "TLS_AES_128_GCM_SHA256"),
    (0x1302, "TLS_AES_256_GCM_SHA384"),
    (0x1303, "TLS_CHACHA20_POLY1305_SHA256"),
    (0x1304, "TLS_AES_128_CCM_SHA256"),
    (0xc02b, "ECDHE-ECDSA-AES128-GCM-SHA256"),
    (0xc02c, "ECDHE-ECDSA-AES256-GCM-SHA384"),
    (0xc02f, "ECDHE-RSA-AES128-GCM-SHA256"),
    (0xc030, "ECDHE-RSA-AES256-GCM-SHA384"),
    (0xcca8, "ECDHE-RSA-CHACHA20-POLY1305"),
    (0xcca9, "ECDHE-ECDSA-CHACHA20-POLY1305"),
    (0xccaa, "DHE-RSA-CHACHA20-POLY1305"),
    (0x009c, "AES128-GCM-SHA256"),
    (0x009d, "AES256-GCM-SHA384"),
    (0x009e, "DHE-RSA-AES128-GCM-SHA256"),
    (0x009f, "DHE-RSA-AES256-GCM-SHA384"),
    (0xc009, "ECDHE-ECDSA-AES128-SHA"),
    (0xc00a, "ECDHE-ECDSA-AES256-SHA"),
    (0xc013, "ECDHE-RSA-AES128-SHA"),
    (0xc014, "ECDHE-RSA-AES256-SHA"),
    (0xc023, "ECDHE-ECDSA-AES128-SHA256"),
    (0xc024, "ECDHE-ECDSA-AES256-SHA384"),
    (0xc027, "ECDHE-RSA-AES128-SHA256"),
    (0xc028, "ECDHE-RSA-AES256-SHA384"),
    (0x002f, "AES128-SHA"),
    (0x0035, "AES256-SHA"),
    (0x003c, "AES128-SHA256"),
    (0x003d, "AES256-SHA256"),
    (0x0033, "DHE-RSA-AES128-SHA"),
    (0x0039, "DHE-RSA-AES256-SHA"),
    (0x0067, "DHE-RSA-AES128-SHA256"),
    (0x006b, "DHE-RSA-AES256-SHA256"),
    (0x0032, "DHE-DSS-AES128-SHA"),
    (0x0038, "DHE-DSS-AES256-SHA"),
    (0x000a, "DES-CBC3-SHA"),
    (0x0016, "DHE-RSA-DES-CBC3-SHA"),
    (0xc012, "ECDHE-RSA-DES-CBC3-SHA"),
    (0x0005, "RC4-SHA"),
    (0x0004, "RC4-MD5"),
    (0x0041, "CAMELLIA128-SHA"),
    (0x0084, "CAMELLIA256-SHA"),
];

/// Whether the common name counts beside the alternative names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CommonName {
    /// Always: `--client-tls-verify-name` has always been about it.
    Counts,
    /// Only in a certificate without alternative names (RFC 6125 section 6.4.4).
    LastResort,
}

/// Whether the certificate is for `name`, a host name or an address.
pub(super) fn matches(facts: &Facts, name: &str, common_name: CommonName) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    if let Ok(address) = name.parse::<IpAddr>()
        && facts.addresses.contains(&address)
    {
        return true;
    }
    if facts.dns_names.iter().any(|pattern| matches_pattern(pattern, name)) {
        return true;
    }
    let counts = common_name == CommonName::Counts || !facts.has_alternative_names();
    counts && facts.common_names.iter().any(|pattern| matches_pattern(pattern, name))
}

/// Compares without regard to case. `*` stands for exactly one whole label, the leftmost, of a name with at least three
/// (RFC 6125 section 6.4.3).
fn matches_pattern(pattern: &str, name: &str) -> bool {
    let pattern = pattern.strip_suffix('.').unwrap_or(pattern);
    if name.is_empty() {
        return false;
    }
    let Some(base) = pattern.strip_prefix("*.") else { return pattern.eq_ignore_ascii_case(name) };
    let Some((label, rest)) = name.split_once('.') else { return false };
    let address = name.parse::<IpAddr>().is_ok();
    !label.is_empty() && !address && base.contains('.') && base.eq_ignore_ascii_case(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    fn facts(common_names: &[&str], dns_names: &[&str], addresses: &[&str]) -> Facts {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        Facts {
            not_before: UNIX_EPOCH,
            not_after: UNIX_EPOCH,
            public_key: Vec::new(),
            rsa_bits: None,
            subject: String::new(),
            common_names: owned(common_names),
            dns_names: owned(dns_names),
            addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        }
    }

    #[test]
    fn suites_are_spelt_as_openssl_does() {
        assert_eq!(cipher(Some(CipherSuite::TLS13_AES_256_GCM_SHA384)), "TLS_AES_256_GCM_SHA384");
        let suite = CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256;
        assert_eq!(cipher(Some(suite)), "ECDHE-RSA-CHACHA20-POLY1305");
        assert_eq!(offered(0x1234), "0x1234");
        let provider = super::super::provider::provider().unwrap();
        for suite in &provider.cipher_suites {
            assert!(!cipher(Some(suite.suite())).starts_with("0x"), "{suite:?}");
        }
        assert_eq!(protocol(Some(ProtocolVersion::TLSv1_3)), "TLSv1.3");
    }

    #[test]
    fn wildcards_stand_for_one_label() {
        for (pattern, name, good) in [
            ("mail.example.com", "MAIL.Example.com", true),
            ("mail.example.com.", "mail.example.com", true),
            ("*.example.com", "mail.example.com", true),
            ("*.EXAMPLE.com", "mail.example.COM", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", "a.b.example.com", false),
            ("*.example.com", ".example.com", false),
            ("*.com", "example.com", false),
            ("*", "localhost", false),
            ("m*.example.com", "mail.example.com", false),
            ("*.0.0.1", "127.0.0.1", false),
            ("", "", false),
        ] {
            assert_eq!(matches_pattern(pattern, name), good, "{pattern} {name}");
        }
    }

    #[test]
    fn the_common_name_is_the_last_resort_unless_it_was_asked_for() {
        let both = facts(&["old.example.com"], &["new.example.com"], &["192.0.2.1"]);
        assert!(matches(&both, "new.example.com.", CommonName::LastResort));
        assert!(matches(&both, "192.0.2.1", CommonName::LastResort));
        assert!(!matches(&both, "old.example.com", CommonName::LastResort));
        assert!(matches(&both, "old.example.com", CommonName::Counts));
        assert!(matches(&facts(&["old.example.com"], &[], &[]), "old.example.com", CommonName::LastResort));
        assert!(!matches(&facts(&[], &[], &[]), "", CommonName::Counts));
        assert!(!matches(&facts(&["a/CN=b"], &[], &[]), "b", CommonName::Counts));
    }
}
