//! Reading keys, certificates and lists of authorities.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use zeroize::Zeroizing;

use super::certificate::Facts;
use super::error::SetupError;
use crate::config::tls::CertificateFiles;

/// Largest file that is read. A system's complete list of authorities has a quarter of a megabyte.
const MAX_FILE: u64 = 8 << 20;

/// Files of a directory of authorities that are looked at.
const MAX_FILES: usize = 10_000;

/// Least size of an RSA key, in bits.
const MIN_RSA_BITS: usize = 2048;

/// A key with its certificates, and what is to be known of the first one.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) key: CertifiedKey,
    pub(super) facts: Facts,
}

/// Authorities, with their certificates as they are in the files.
#[derive(Debug)]
pub(super) struct Authorities {
    pub(super) roots: Arc<RootCertStore>,
    pub(super) certificates: Vec<CertificateDer<'static>>,
}

/// Reads a key and its certificates and checks that they belong together and can be used.
///
/// # Errors
/// What is wrong, with the file.
pub(super) fn identity(files: &CertificateFiles, provider: &CryptoProvider) -> Result<Identity, SetupError> {
    let key = private_key(&files.key)?;
    let chain = certificates(&files.chain)?;
    let facts = chain.first().and_then(|leaf| Facts::read(leaf));
    let facts = facts.ok_or_else(|| SetupError::file(&files.chain, "certificate cannot be parsed"))?;
    if let Some(bits) = facts.rsa_bits.filter(|bits| *bits < MIN_RSA_BITS) {
        return Err(SetupError::file(&files.chain, format!("rsa key too small ({bits} bits)")));
    }
    let key = provider
        .key_provider
        .load_private_key(key)
        .map_err(|_| SetupError::file(&files.key, "private key is damaged or of an unsupported kind"))?;
    // By hand, as rustls refuses to look at version 1 certificates, which openssl(1) makes without being asked.
    if key.public_key().is_some_and(|public| public.as_ref() != facts.public_key) {
        let text = "private key does not belong to the first certificate";
        return Err(SetupError::file(&files.chain, text));
    }
    Ok(Identity { key: CertifiedKey::new(chain, key), facts })
}

/// Reads the authorities of a file, or of every file of a directory. Files of a directory that hold no certificates are
/// passed to `skipped`.
///
/// # Errors
/// There are none.
pub(super) fn authorities(path: &Path, skipped: &mut dyn FnMut(&Path)) -> Result<Authorities, SetupError> {
    if !path.is_dir() {
        return collect(certificates_of_list(path)?, || {
            SetupError::file(path, "no certificate or crl found")
        });
    }
    let mut found = Vec::new();
    for file in files_of(path)? {
        match certificates_of_list(&file) {
            Ok(certificates) if !certificates.is_empty() => found.extend(certificates),
            _ => skipped(&file),
        }
    }
    // A directory made by c_rehash has every certificate twice.
    found.sort_unstable_by(|one, other| one.as_ref().cmp(other.as_ref()));
    found.dedup();
    collect(found, || SetupError::file(path, "no certificate or crl found"))
}

/// The system's authorities; `SSL_CERT_FILE` and `SSL_CERT_DIR` are honoured.
///
/// # Errors
/// There are none.
pub(super) fn system_authorities() -> Result<Authorities, SetupError> {
    let loaded = rustls_native_certs::load_native_certs();
    let why = loaded.errors.first().map(|error| format!(": {error}")).unwrap_or_default();
    collect(loaded.certs, || {
        SetupError::Other(format!("the system's list of certificate authorities is empty{why}"))
    })
}

fn collect(
    certificates: Vec<CertificateDer<'static>>,
    none: impl FnOnce() -> SetupError,
) -> Result<Authorities, SetupError> {
    let mut roots = RootCertStore::empty();
    let (good, _) = roots.add_parsable_certificates(certificates.iter().cloned());
    if good == 0 {
        return Err(none());
    }
    Ok(Authorities { roots: Arc::new(roots), certificates })
}

fn files_of(directory: &Path) -> Result<Vec<PathBuf>, SetupError> {
    let failed = |error: std::io::Error| SetupError::Open {
        what: "ssl certificate",
        file: directory.to_owned(),
        reason: crate::os::reason(&error),
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)?.take(MAX_FILES) {
        let path = entry.map_err(failed)?.path();
        // Through a symbolic link too: that is how distributions fill such directories.
        if fs::metadata(&path).is_ok_and(|metadata| metadata.is_file()) {
            files.push(path);
        }
    }
    files.sort_unstable();
    Ok(files)
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, SetupError> {
    let pem = Zeroizing::new(read(file, "ssl key")?);
    match PrivateKeyDer::from_pem_slice(&pem) {
        _ if is_encrypted(&pem) => Err(SetupError::file(file, "private key is encrypted")),
        Ok(key) => Ok(key),
        Err(_) => Err(SetupError::file(file, "no start line: no private key in the file")),
    }
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, SetupError> {
    let found = certificates_of_list(file)?;
    if found.is_empty() {
        return Err(SetupError::file(file, "no start line: no certificate in the file"));
    }
    Ok(found)
}

fn certificates_of_list(file: &Path) -> Result<Vec<CertificateDer<'static>>, SetupError> {
    let pem = Zeroizing::new(read(file, "ssl certificate")?);
    let sections = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    sections.map_err(|_| SetupError::file(file, "bad base64 decode: certificate cannot be parsed"))
}

/// PKCS#8 keys say so in the first line of their PEM section, others in headers below it (RFC 1421 section 4.6).
fn is_encrypted(pem: &[u8]) -> bool {
    pem.split(|byte| *byte == b'\n').any(|line| {
        line.starts_with(b"-----BEGIN ENCRYPTED PRIVATE KEY") || line.starts_with(b"Proc-Type: 4,ENCRYPTED")
    })
}

fn read(file: &Path, what: &'static str) -> Result<Vec<u8>, SetupError> {
    let failed = |error: std::io::Error| SetupError::Open {
        what,
        file: file.to_owned(),
        reason: crate::os::reason(&error),
    };
    let open = File::open(file).map_err(failed)?;
    let metadata = open.metadata().map_err(failed)?;
    if metadata.is_dir() {
        return Err(SetupError::file(file, "is a directory"));
    }
    let mut content =
        Vec::with_capacity(usize::try_from(metadata.len().min(MAX_FILE)).unwrap_or_default() + 1);
    open.take(MAX_FILE + 1).read_to_end(&mut content).map_err(failed)?;
    if content.len() as u64 > MAX_FILE {
        return Err(SetupError::file(file, "larger than 8 MiB"));
    }
    Ok(content)
}
