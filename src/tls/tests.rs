//! Both sides against each other over sockets, with certificates made here.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use super::*;
use crate::config::tls::{CertificateFiles, ClientTls, ServerTls, TlsStart, Verify};
use crate::log::{Context, Server};
use crate::net::stream::Stream;

/// An authority, and a directory for what it signs.
pub(crate) struct Shop {
    pub(crate) directory: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Shop {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        // Two authorities of one name would make a stranger's certificate look damaged.
        let name = format!("Authority {}", directory.path().display());
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        fs::write(directory.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { directory, issuer }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn authority(&self) -> PathBuf {
        self.path("ca.pem")
    }

    /// A signed certificate for these names with its key in one file, changed as wanted.
    fn signed(&self, file: &str, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> PathBuf {
        let (params, key) = params(names, change);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        self.write(file, &[key.serialize_pem(), certificate.pem()].concat())
    }

    fn self_signed(
        &self,
        file: &str,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> PathBuf {
        let (params, key) = params(names, change);
        self.write(file, &[key.serialize_pem(), params.self_signed(&key).unwrap().pem()].concat())
    }

    pub(crate) fn write(&self, file: &str, text: &str) -> PathBuf {
        let path = self.path(file);
        fs::write(&path, text).unwrap();
        path
    }

    pub(crate) fn server(&self) -> ServerTls {
        server(&self.signed("server.pem", &["mail.example.com", "*.wild.example.com"], |_| {}))
    }
}

fn params(names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> (CertificateParams, KeyPair) {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(DnType::CommonName, "cn.example.com");
    change(&mut params);
    (params, KeyPair::generate().unwrap())
}

fn files(path: &Path) -> CertificateFiles {
    CertificateFiles { key: path.to_owned(), chain: path.to_owned() }
}

fn server(path: &Path) -> ServerTls {
    ServerTls {
        start: TlsStart::OnCommand,
        required: false,
        certificate: files(path),
        verify: Verify::Absent,
        keywords: TlsKeywords::default(),
    }
}

fn client(verify: Verify) -> ClientTls {
    ClientTls {
        start: TlsStart::OnCommand,
        required: false,
        certificate: None,
        verify,
        verify_name: None,
        server_name: None,
        keywords: TlsKeywords::default(),
    }
}

const LIMIT: Option<Duration> = Some(Duration::from_secs(40));

fn acceptor(settings: &ServerTls) -> Arc<Acceptor> {
    Acceptor::new(settings, LIMIT, Context::default()).unwrap()
}

fn connector(settings: &ClientTls) -> Arc<Connector> {
    Connector::new(settings, Context::default()).unwrap()
}

type Side = Result<(Stream, Secured), HandshakeError>;

/// A handshake between both sides: what the server sees, what the client sees.
async fn meet(acceptor: &Acceptor, connector: &Connector, host: &str) -> (Side, Side) {
    let (one, other) = UnixStream::pair().unwrap();
    let (peer, context) = (Endpoint::Unix(None), Context::default());
    tokio::join!(
        acceptor.accept(Server::Smtp, one.into(), &peer, &context),
        connector.connect(other.into(), host, &peer, None),
    )
}

async fn meets(settings: &ServerTls, client: &ClientTls, host: &str) -> (Side, Side) {
    meet(&acceptor(settings), &connector(client), host).await
}

fn reason(side: Side) -> String {
    side.unwrap_err().to_string()
}

#[tokio::test]
async fn both_sides_agree_and_carry_bytes() {
    let shop = Shop::new();
    let (server, client) = meets(&shop.server(), &client(Verify::Absent), "x").await;
    let ((mut server, one), (mut client, other)) = (server.unwrap(), client.unwrap());
    assert_eq!((one.protocol, one.cipher.as_str()), ("TLSv1.3", "TLS_AES_256_GCM_SHA384"));
    assert_eq!((other.protocol, one.certificate), (one.protocol, None));
    let pem = fs::read_to_string(shop.path("server.pem")).unwrap().replace("\r\n", "\n");
    assert!(pem.ends_with(&other.certificate.unwrap()));
    server.write_all(b"220 x\r\n").await.unwrap();
    server.shutdown().await.unwrap();
    let mut read = Vec::new();
    client.read_to_end(&mut read).await.unwrap();
    assert_eq!(read, b"220 x\r\n");
}

#[tokio::test]
async fn versions_are_kept_to() {
    let shop = Shop::new();
    let (mut old, mut new) = (shop.server(), client(Verify::None));
    old.keywords.max = TlsVersion::V1_2;
    let (server, _) = meets(&old, &new, "x").await;
    let server = server.unwrap().1;
    assert_eq!((server.protocol, server.cipher.as_str()), ("TLSv1.2", "ECDHE-ECDSA-AES256-GCM-SHA384"));
    new.keywords.min = TlsVersion::V1_3;
    let (server, client) = meets(&old, &new, "x").await;
    assert_eq!(reason(server), "accept: unsupported protocol: peer offers TLSv1.3 at most");
    assert_eq!(reason(client), "connect: peer alert: protocol_version");
}

#[tokio::test]
async fn chains_are_checked_with_and_without_names() {
    let shop = Shop::new();
    let settings = shop.server();
    let listed = client(Verify::Authorities(shop.authority()));
    let good = |settings: ClientTls, host: &'static str| {
        let acceptor = acceptor(&shop.server());
        async move { meet(&acceptor, &connector(&settings), host).await.1.map(|_| ()) }
    };
    assert_eq!(good(listed.clone(), "other.example.net").await, Ok(()));
    let named = |name: &str| ClientTls { verify_name: Some(name.to_owned()), ..listed.clone() };
    for name in ["mail.example.com", "MAIL.example.com", "a.wild.example.com", "cn.example.com"] {
        assert_eq!(good(named(name), "x").await, Ok(()), "{name}");
    }
    let error = good(named("example.com"), "mail.example.com").await.unwrap_err();
    assert_eq!(error.to_string(), "connect: certificate verify failed: name mismatch");
    let mut host = listed.clone();
    host.keywords.verify_host = true;
    assert_eq!(good(host.clone(), "mail.example.com").await, Ok(()));
    assert!(good(host.clone(), "cn.example.com").await.is_err());
    host.server_name = Some("b.wild.example.com".to_owned());
    assert_eq!(good(host, "192.0.2.1").await, Ok(()));

    let stranger = Shop::new();
    let (server, client) = meets(&settings, &client(Verify::Authorities(stranger.authority())), "x").await;
    assert_eq!(reason(client), "connect: certificate verify failed: unknown issuer");
    // On a unix socket the alert is lost if the other side closes with bytes unread.
    let seen = ["accept: peer alert: unknown_ca", "accept: unexpected eof while reading"];
    assert!(seen.contains(&reason(server).as_str()));
}

#[tokio::test]
async fn dates_are_checked_also_of_listed_leaves() {
    let shop = Shop::new();
    let past = |params: &mut CertificateParams| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    };
    let old = shop.signed("old.pem", &["x"], past);
    let error = meets(&server(&old), &client(Verify::Authorities(shop.authority())), "x").await.1;
    assert_eq!(reason(error), "connect: certificate verify failed: expired");
    for (name, is_ca) in [("own.pem", IsCa::NoCa), ("own-ca.pem", IsCa::Ca(BasicConstraints::Unconstrained))]
    {
        let own = shop.self_signed(name, &["x"], |params| params.is_ca = is_ca);
        assert!(
            meets(&server(&own), &client(Verify::Authorities(own.clone())), "x").await.1.is_ok(),
            "{name}"
        );
    }
    let own = shop.self_signed("past.pem", &["x"], past);
    let error = meets(&server(&own), &client(Verify::Authorities(own.clone())), "x").await.1;
    assert_eq!(reason(error), "connect: certificate verify failed: expired");
}

#[tokio::test]
async fn clients_are_recorded_or_required_as_set() {
    let shop = Shop::new();
    let mut with = client(Verify::None);
    with.certificate = Some(files(&shop.signed("client.pem", &["client"], |_| {})));
    let mut settings = shop.server();
    assert!(meets(&settings, &with, "x").await.0.unwrap().1.certificate.is_some());
    settings.verify = Verify::None;
    assert_eq!(meets(&settings, &with, "x").await.0.unwrap().1.certificate, None);
    settings.verify = Verify::Authorities(shop.authority());
    assert!(meets(&settings, &with, "x").await.0.unwrap().1.certificate.is_some());
    let (server, _) = meets(&settings, &client(Verify::None), "x").await;
    assert_eq!(reason(server), "accept: peer did not return a certificate");
    with.certificate = Some(files(&shop.self_signed("stranger.pem", &["client"], |_| {})));
    let (server, _) = meets(&settings, &with, "x").await;
    assert_eq!(reason(server), "accept: certificate verify failed: unknown issuer");
    settings.keywords.no_verify = true;
    assert_eq!(meets(&settings, &with, "x").await.0.unwrap().1.certificate, None);
}

#[tokio::test]
async fn a_directory_of_authorities_needs_no_hashed_names() {
    let shop = Shop::new();
    let directory = shop.path("authorities");
    fs::create_dir(&directory).unwrap();
    let error = Connector::new(&client(Verify::Authorities(directory.clone())), Context::default());
    let shown = directory.display();
    assert_eq!(
        error.unwrap_err().to_string(),
        format!("tls error: no certificate or crl found: file=[{shown}]")
    );
    fs::write(directory.join("README"), "nothing").unwrap();
    fs::copy(shop.authority(), directory.join("mine.pem")).unwrap();
    fs::copy(shop.authority(), directory.join("0a1b2c3d.0")).unwrap();
    let settings = client(Verify::Authorities(directory));
    assert!(meets(&shop.server(), &settings, "x").await.1.is_ok());
}

#[test]
fn bad_files_are_named_with_what_is_wrong() {
    let shop = Shop::new();
    let good = fs::read_to_string(shop.server().certificate.key).unwrap();
    let split = good.find("-----BEGIN CERTIFICATE").unwrap();
    let (key, certificate) = (shop.write("key", &good[..split]), shop.write("crt", &good[split..]));
    let other = shop.signed("other.pem", &["other"], |_| {});
    let encrypted = shop.write(
        "encrypted",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    let old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES\n\nMIIB\n-----END RSA PRIVATE KEY-----\n";
    let encrypted_old = shop.write("encrypted-old", old);
    let junk = shop.write("junk", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let empty = shop.write("empty", "");
    let missing = shop.path("missing");
    for (key, chain, text, file) in [
        (&missing, &certificate, "cannot open ssl key file: no such file or directory", &missing),
        (&key, &missing, "cannot open ssl certificate file: no such file or directory", &missing),
        (&certificate, &certificate, "no start line: no private key in the file", &certificate),
        (&key, &key, "no start line: no certificate in the file", &key),
        (&empty, &empty, "no start line: no private key in the file", &empty),
        (&encrypted, &certificate, "private key is encrypted", &encrypted),
        (&encrypted_old, &certificate, "private key is encrypted", &encrypted_old),
        (&key, &junk, "certificate cannot be parsed", &junk),
        (&key, &other, "private key does not belong to the first certificate", &other),
    ] {
        let mut settings = shop.server();
        settings.certificate = CertificateFiles { key: key.clone(), chain: chain.clone() };
        let error = Acceptor::new(&settings, LIMIT, Context::default()).unwrap_err();
        assert_eq!(error.to_string(), format!("tls error: {text}: file=[{}]", file.display()));
    }
}

#[tokio::test]
async fn what_is_not_tls_is_told_from_what_ends() {
    let shop = Shop::new();
    let acceptor = acceptor(&shop.server());
    for (bytes, expected) in [
        (&b"EHLO x\r\n"[..], "accept: wrong version number"),
        (b"", "accept: unexpected eof while reading"),
        (b"\x16\x03\x01\x02\x00\x01", "accept: unexpected eof while reading"),
        (b"\x16\x03\x01\x00\x05\x02\x00\x00\x01\x00", "accept: bad record"),
    ] {
        let (one, mut other) = UnixStream::pair().unwrap();
        other.write_all(bytes).await.unwrap();
        other.shutdown().await.unwrap();
        let done =
            acceptor.accept(Server::Smtp, one.into(), &Endpoint::Unix(None), &Context::default()).await;
        let error = done.unwrap_err();
        assert_eq!(error.to_string(), expected, "{bytes:?}");
        assert_eq!(error.clear_text, bytes.starts_with(b"EHLO"));
    }
}

#[tokio::test(start_paused = true)]
async fn silence_is_limited() {
    let shop = Shop::new();
    let acceptor = acceptor(&shop.server());
    let (one, _other) = UnixStream::pair().unwrap();
    let began = tokio::time::Instant::now();
    let done = acceptor.accept(Server::Smtp, one.into(), &Endpoint::Unix(None), &Context::default()).await;
    assert!(done.unwrap_err().timed_out);
    assert_eq!(began.elapsed(), LIMIT.unwrap());
}

#[tokio::test]
async fn a_bad_new_file_keeps_the_old_certificate() {
    let shop = Shop::new();
    let settings = shop.server();
    let acceptor = acceptor(&settings);
    let any = connector(&client(Verify::None));
    let shown = async || meet(&acceptor, &any, "x").await.1.unwrap().1.certificate.unwrap();
    let first = shown().await;
    shop.write("server.pem", "nothing");
    acceptor.reload(&settings);
    assert_eq!(shown().await, first);
    shop.server();
    acceptor.reload(&settings);
    assert_ne!(shown().await, first);
}
