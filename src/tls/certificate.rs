//! What a certificate says of itself: whose it is, until when, and how large its key is. Nothing here is verification.

use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::oid_registry::{
    OID_X509_COMMON_NAME, OID_X509_COUNTRY_NAME, OID_X509_LOCALITY_NAME, OID_X509_ORGANIZATION_NAME,
    OID_X509_ORGANIZATIONAL_UNIT, OID_X509_STATE_OR_PROVINCE_NAME, Oid,
};
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

/// Characters in a line of PEM.
const PEM_LINE: usize = 64;

/// Facts about one certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Facts {
    /// First second of its validity.
    pub(super) not_before: SystemTime,
    /// Last second of its validity.
    pub(super) not_after: SystemTime,
    /// The public key with its algorithm, in DER.
    pub(super) public_key: Vec<u8>,
    /// Bits of an RSA key.
    pub(super) rsa_bits: Option<usize>,
    /// The subject as one line in OpenSSL's old form, `/O=Example/CN=mail.example.com`.
    pub(super) subject: String,
    /// Common names in the subject.
    pub(super) common_names: Vec<String>,
    /// DNS names among the subject's alternative names; `None` without any such extension.
    pub(super) dns_names: Vec<String>,
    /// Addresses among them.
    pub(super) addresses: Vec<IpAddr>,
}

impl Facts {
    /// Reads a certificate; `None` when it is none.
    pub(super) fn read(der: &[u8]) -> Option<Self> {
        let (rest, certificate) = X509Certificate::from_der(der).ok()?;
        if !rest.is_empty() {
            return None;
        }
        let validity = certificate.validity();
        let rsa_bits = match certificate.public_key().parsed() {
            Ok(PublicKey::RSA(key)) => Some(significant_bits(key.modulus)),
            _ => None,
        };
        let (dns_names, addresses) = alternative_names(&certificate);
        Some(Self {
            not_before: time(validity.not_before.timestamp()),
            not_after: time(validity.not_after.timestamp()),
            public_key: certificate.public_key().raw.to_vec(),
            rsa_bits,
            subject: subject(certificate.subject()),
            common_names: certificate.subject().iter_common_name().filter_map(text).collect(),
            dns_names,
            addresses,
        })
    }

    /// Whether `now` lies within its validity.
    pub(super) fn is_valid_at(&self, now: SystemTime) -> bool {
        self.not_before <= now && now <= self.not_after
    }

    /// Whether it has names other than in its subject: then those count and the common name does not (RFC 6125 section 6.4.4).
    pub(super) fn has_alternative_names(&self) -> bool {
        !self.dns_names.is_empty() || !self.addresses.is_empty()
    }
}

/// The certificate as PEM, with a line end behind every line.
pub(super) fn to_pem(der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let mut pem = "-----BEGIN CERTIFICATE-----\n".to_owned();
    for line in body.as_bytes().chunks(PEM_LINE) {
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}

fn alternative_names(certificate: &X509Certificate<'_>) -> (Vec<String>, Vec<IpAddr>) {
    let (mut dns, mut addresses) = (Vec::new(), Vec::new());
    let Ok(Some(extension)) = certificate.subject_alternative_name() else { return (dns, addresses) };
    for name in &extension.value.general_names {
        match name {
            GeneralName::DNSName(name) => dns.push((*name).to_owned()),
            GeneralName::IPAddress(bytes) => addresses.extend(address(bytes)),
            _ => {}
        }
    }
    (dns, addresses)
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(v4.into());
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}

fn subject(name: &X509Name<'_>) -> String {
    let mut line = String::new();
    for attribute in name.iter_attributes() {
        let value = text(attribute).unwrap_or_default();
        line.push_str(&format!("/{}={value}", key(attribute.attr_type())));
    }
    line
}

/// The short names that OpenSSL uses; any other attribute by its number.
fn key(oid: &Oid<'_>) -> String {
    let known = [
        (OID_X509_COMMON_NAME, "CN"),
        (OID_X509_COUNTRY_NAME, "C"),
        (OID_X509_LOCALITY_NAME, "L"),
        (OID_X509_STATE_OR_PROVINCE_NAME, "ST"),
        (OID_X509_ORGANIZATION_NAME, "O"),
        (OID_X509_ORGANIZATIONAL_UNIT, "OU"),
    ];
    let name = known.iter().find(|(known, _)| known == oid).map(|(_, name)| (*name).to_owned());
    name.unwrap_or_else(|| oid.to_id_string())
}

/// The value of an attribute. The string types of X.520 are ASCII, UTF-8 or, by custom, Latin-1 (T61String).
fn text(attribute: &AttributeTypeAndValue<'_>) -> Option<String> {
    if let Ok(text) = attribute.as_str() {
        return Some(text.to_owned());
    }
    let bytes = attribute.attr_value().data;
    let pair = |pair: &[u8]| pair.iter().fold(0, |unit, byte| unit << 8 | u16::from(*byte));
    let utf16 = bytes.chunks_exact(2).map(pair);
    match attribute.attr_value().tag().0 {
        // BMPString.
        30 => String::from_utf16(&utf16.collect::<Vec<_>>()).ok(),
        _ => Some(bytes.iter().map(|byte| char::from(*byte)).collect()),
    }
}

fn significant_bits(modulus: &[u8]) -> usize {
    let start = modulus.iter().position(|byte| *byte != 0).unwrap_or(modulus.len());
    let rest = modulus.get(start..).unwrap_or_default();
    let unused = rest.first().map_or(0, |first| first.leading_zeros() as usize);
    rest.len() * 8 - unused
}

fn time(seconds: i64) -> SystemTime {
    u64::try_from(seconds).map_or(UNIX_EPOCH, |seconds| UNIX_EPOCH + Duration::from_secs(seconds))
}
