//! Signatures in handshakes, also for certificates that rustls does not look at: those of version 1, which openssl(1) makes
//! without being asked.
//!
//! That the other side has the key of its certificate is checked in every mode. What the certificate is worth is the
//! business of the verifiers.

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{
    WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
    verify_tls13_signature_with_raw_key,
};
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error};
use x509_parser::asn1_rs::{Any, FromDer as _};

use super::certificate::Facts;

/// Checks the signature of a TLS 1.2 handshake.
pub(super) fn verify_1_2(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, Error> {
    if ParsedCertificate::try_from(certificate).is_ok() {
        return verify_tls12_signature(message, certificate, signed, algorithms);
    }
    let spki = public_key(certificate)?;
    let (algorithm, key) = split(&spki).ok_or(CertificateError::BadEncoding)?;
    let candidates = algorithms.mapping.iter().find(|(scheme, _)| *scheme == signed.scheme);
    let good = candidates.into_iter().flat_map(|(_, candidates)| *candidates).any(|candidate| {
        candidate.public_key_alg_id().as_ref() == algorithm
            && candidate.verify_signature(key, message, signed.signature()).is_ok()
    });
    if good { Ok(HandshakeSignatureValid::assertion()) } else { Err(CertificateError::BadSignature.into()) }
}

/// Checks the signature of a TLS 1.3 handshake.
pub(super) fn verify_1_3(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, Error> {
    if ParsedCertificate::try_from(certificate).is_ok() {
        return verify_tls13_signature(message, certificate, signed, algorithms);
    }
    let spki = SubjectPublicKeyInfoDer::from(public_key(certificate)?);
    verify_tls13_signature_with_raw_key(message, &spki, signed, algorithms)
}

fn public_key(certificate: &CertificateDer<'_>) -> Result<Vec<u8>, Error> {
    let facts = Facts::read(certificate).ok_or(CertificateError::BadEncoding)?;
    Ok(facts.public_key)
}

/// Algorithm and key of a SubjectPublicKeyInfo (RFC 5280 section 4.1): a sequence of a sequence and a bit string.
fn split(spki: &[u8]) -> Option<(&[u8], &[u8])> {
    let (_, whole) = Any::from_der(spki).ok()?;
    let (rest, algorithm) = Any::from_der(whole.data).ok()?;
    let (_, key) = Any::from_der(rest).ok()?;
    // The first byte of a bit string is the number of bits that its last byte lacks.
    Some((algorithm.data, key.data.strip_prefix(&[0])?))
}
