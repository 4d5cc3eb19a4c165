//! TLS: what each side is to do, and the keywords of `--tls-config`.

use std::path::PathBuf;

/// When a connection becomes secure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsStart {
    /// By STARTTLS or STLS (`--server-tls`, `--client-tls`).
    OnCommand,
    /// From the first byte (`--server-tls-connection`, `--client-tls-connection`; RFC 8314).
    AtOnce,
}

/// Where key and certificates are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The file with the private key.
    pub key: PathBuf,
    /// The file with the certificates, the owner's first. May be the same.
    pub chain: PathBuf,
}

/// How certificates of the other side are checked (`--server-tls-verify`, `--client-tls-verify`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Verify {
    /// The option is absent: a certificate is taken if there is one, and nothing depends on it.
    #[default]
    Absent,
    /// `<none>`: not asked for, not looked at.
    None,
    /// `<default>`: the chain must lead to the system's authorities.
    System,
    /// `<auto>`: the system's authorities, and the name of the next hop.
    SystemAndName,
    /// The chain must lead to a certificate in this file, or in a file of this directory.
    Authorities(PathBuf),
}

/// A protocol version that exists in this product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246).
    V1_2,
    /// TLS 1.3 (RFC 8446).
    V1_3,
}

/// `--tls-config`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TlsKeywords {
    /// `tlsv1.2`, `tlsv1.3`: the least version.
    pub min: TlsVersion,
    /// `-tlsv1.2`, `-tlsv1.3`: the highest version.
    pub max: TlsVersion,
    /// `noverify`: as if all verification were `<none>`.
    pub no_verify: bool,
    /// `op_no_ticket`: no tickets, neither for TLS 1.3 nor for resumption.
    pub no_tickets: bool,
    /// `op_no_resumption`: every connection makes a full handshake.
    pub no_resumption: bool,
    /// `op_server_preference`: our order of ciphers counts, not the client's.
    pub server_preference: bool,
    /// `verifyhost`: with `--client-tls-verify` the next hop's name is checked too.
    pub verify_host: bool,
}

impl Default for TlsKeywords {
    fn default() -> Self {
        Self {
            min: TlsVersion::V1_2,
            max: TlsVersion::V1_3,
            no_verify: false,
            no_tickets: false,
            no_resumption: false,
            server_preference: false,
            verify_host: false,
        }
    }
}

/// TLS of the servers of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTls {
    /// When it begins.
    pub start: TlsStart,
    /// `--server-tls-required`: no logins and no mail in clear.
    pub required: bool,
    /// `--server-tls-certificate`.
    pub certificate: CertificateFiles,
    /// `--server-tls-verify`.
    pub verify: Verify,
    /// `--tls-config`.
    pub keywords: TlsKeywords,
}

/// TLS of forwarding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientTls {
    /// When it begins.
    pub start: TlsStart,
    /// `--client-tls-required`: nothing is sent in clear.
    pub required: bool,
    /// `--client-tls-certificate`.
    pub certificate: Option<CertificateFiles>,
    /// `--client-tls-verify`.
    pub verify: Verify,
    /// `--client-tls-verify-name`: a name that must be in the certificate.
    pub verify_name: Option<String>,
    /// `--client-tls-server-name`: the name in the handshake (SNI); `None`: the next hop's, if it has one.
    pub server_name: Option<String>,
    /// `--tls-config`.
    pub keywords: TlsKeywords,
}

/// Keywords, and what is to be said about them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParsedKeywords {
    /// The settings.
    pub settings: TlsKeywords,
    /// Warnings, for the log.
    pub warnings: Vec<String>,
}

/// Versions that are no longer spoken by anything that is safe to speak to.
const GONE: [&str; 3] = ["sslv3", "tlsv1.0", "tlsv1.1"];

/// Keywords of other TLS libraries and of older versions, which change nothing here.
const WITHOUT_EFFECT: [&str; 6] = ["op_all", "openssl", "mbedtls", "ignoreextra", "noisy", "nopsa"];

/// Reads `--tls-config`: keywords separated by commas, case-sensitive.
///
/// # Errors
/// A combination that would leave no protocol version.
pub fn keywords(text: &str) -> Result<ParsedKeywords, String> {
    let mut settings = TlsKeywords::default();
    let mut warnings = Vec::new();
    let mut ignored = Vec::new();
    let items: Vec<&str> = text.split(',').map(str::trim).filter(|item| !item.is_empty()).collect();
    for item in &items {
        match *item {
            "tlsv1.2" => settings.min = TlsVersion::V1_2,
            "tlsv1.3" => settings.min = TlsVersion::V1_3,
            "-tlsv1.2" => settings.max = TlsVersion::V1_2,
            "-tlsv1.3" => settings.max = TlsVersion::V1_3,
            "noverify" => settings.no_verify = true,
            "op_no_ticket" => settings.no_tickets = true,
            "op_no_resumption" => settings.no_resumption = true,
            "op_server_preference" => settings.server_preference = true,
            "verifyhost" => settings.verify_host = true,
            old if GONE.contains(&old) => {
                warnings.push(format!("tls-config: {old} is not supported: using tlsv1.2 as the minimum"));
            }
            item if item.strip_prefix('-').is_some_and(|version| GONE.contains(&version)) => {
                let version = item.trim_start_matches('-');
                return Err(format!(
                    "tls-config: maximum protocol {version} is not supported: use tlsv1.2 or tlsv1.3"
                ));
            }
            other if WITHOUT_EFFECT.contains(&other) => {}
            other => ignored.push(other),
        }
    }
    if settings.min > settings.max {
        return Err("tls-config: minimum tlsv1.3 is above maximum tlsv1.2".to_owned());
    }
    if settings.no_verify {
        warnings.push("tls-config: certificate verification is switched off".to_owned());
    }
    if !ignored.is_empty() && !items.contains(&"ignoreextra") {
        warnings.push(format!("tls-config: tls configuration items ignored: [{}]", ignored.join(",")));
    }
    Ok(ParsedKeywords { settings, warnings })
}

/// The one or two files of a certificate option: key and chain together, or first the key's.
#[must_use]
pub fn certificate_files(list: &[PathBuf]) -> Option<CertificateFiles> {
    let key = list.first()?.clone();
    let chain = list.get(1).cloned().unwrap_or_else(|| key.clone());
    Some(CertificateFiles { key, chain })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> ParsedKeywords {
        keywords(text).unwrap()
    }

    #[test]
    fn versions_are_bounds() {
        assert_eq!(parse("").settings, TlsKeywords::default());
        assert_eq!(parse("tlsv1.3").settings.min, TlsVersion::V1_3);
        assert_eq!(parse("-tlsv1.2").settings.max, TlsVersion::V1_2);
        assert_eq!(
            keywords("tlsv1.3,-tlsv1.2").unwrap_err(),
            "tls-config: minimum tlsv1.3 is above maximum tlsv1.2"
        );
    }

    #[test]
    fn old_versions_are_raised_or_refused() {
        for old in ["sslv3", "tlsv1.0", "tlsv1.1"] {
            let parsed = parse(old);
            assert_eq!(parsed.settings.min, TlsVersion::V1_2);
            let warning = format!("tls-config: {old} is not supported: using tlsv1.2 as the minimum");
            assert_eq!(parsed.warnings, [warning]);
            let error =
                format!("tls-config: maximum protocol {old} is not supported: use tlsv1.2 or tlsv1.3");
            assert_eq!(keywords(&format!("-{old}")).unwrap_err(), error);
        }
    }

    #[test]
    fn what_is_unknown_is_reported_unless_told_not_to() {
        let parsed = parse("foo,op_all, openssl,mbedtls,noisy,nopsa,123,TLSv1.3");
        assert_eq!(parsed.warnings, ["tls-config: tls configuration items ignored: [foo,123,TLSv1.3]"]);
        assert!(parse("foo,ignoreextra").warnings.is_empty());
        assert_eq!(parse("noverify").warnings, ["tls-config: certificate verification is switched off"]);
        let all = parse("op_no_ticket,op_no_resumption,op_server_preference,verifyhost").settings;
        assert!(all.no_tickets && all.no_resumption && all.server_preference && all.verify_host);
    }

    #[test]
    fn one_file_holds_both_or_the_key_comes_first() {
        let files = |list: &[&str]| certificate_files(&list.iter().map(PathBuf::from).collect::<Vec<_>>());
        assert_eq!(files(&[]), None);
        assert_eq!(files(&["a"]), Some(CertificateFiles { key: "a".into(), chain: "a".into() }));
        assert_eq!(files(&["k", "c"]), Some(CertificateFiles { key: "k".into(), chain: "c".into() }));
    }
}
