//! Certificates made for one test.

use std::fs;
use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use tempfile::TempDir;

/// An authority with a directory of its own.
pub(crate) struct Authority {
    dir: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("emailrelay-certs.").tempdir().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, format!("Authority {}", dir.path().display()));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        fs::write(dir.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { dir, issuer }
    }

    /// Its own certificate, as an option value.
    pub(crate) fn file(&self) -> String {
        self.arg("ca.pem")
    }

    /// Key and certificate for these names in one new file, as an option value.
    pub(crate) fn issue(&self, file: &str, names: &[&str]) -> String {
        let (params, key) = params(names);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        self.put(file, &(key.serialize_pem() + &certificate.pem()))
    }

    /// The same, out of date for years.
    pub(crate) fn issue_expired(&self, file: &str, names: &[&str]) -> String {
        let (mut params, key) = params(names);
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        self.put(file, &(key.serialize_pem() + &certificate.pem()))
    }

    /// A certificate that nobody but its owner has signed.
    pub(crate) fn self_signed(&self, file: &str, names: &[&str]) -> String {
        let (params, key) = params(names);
        self.put(file, &(key.serialize_pem() + &params.self_signed(&key).unwrap().pem()))
    }

    /// Replaces or makes a file in one step, as certificate managers do.
    pub(crate) fn put(&self, file: &str, text: &str) -> String {
        let path = self.path(file);
        let new = self.path(&format!("{file}.new"));
        fs::write(&new, text).unwrap();
        fs::rename(&new, &path).unwrap();
        self.arg(file)
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join(file)
    }

    pub(crate) fn arg(&self, file: &str) -> String {
        self.path(file).to_str().unwrap().to_owned()
    }
}

fn params(names: &[&str]) -> (CertificateParams, KeyPair) {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(DnType::CommonName, "cn.example.com");
    (params, KeyPair::generate().unwrap())
}
