//! Certificates as openssl(1) makes them, good, old-fashioned and bad.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::support::certs::Authority;
use crate::support::daemon::{Daemon, Program};
use crate::support::need::{self, require};
use crate::support::spool::TempSpool;

/// A directory in which openssl makes keys and certificates.
struct Workshop(TempDir);

const EC: [&str; 4] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];

impl Workshop {
    fn new() -> Self {
        Self(tempfile::Builder::new().prefix("emailrelay-openssl.").tempdir().unwrap())
    }

    fn openssl(&self, args: &[&str]) -> bool {
        let mut command = Command::new(need::path("openssl"));
        command.current_dir(self.0.path()).args(args);
        command.stdin(Stdio::null()).output().unwrap().status.success()
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    fn arg(&self, file: &str) -> String {
        self.path(file).to_str().unwrap().to_owned()
    }

    /// `NAME.key` and `NAME.csr`.
    fn request(&self, name: &str, key: &[&str]) {
        let (subject, out) = (format!("/CN={name}.example.com"), format!("{name}.csr"));
        let file = format!("{name}.key");
        let args = ["req", "-new", "-nodes", "-subj", &subject, "-keyout", &file, "-out", &out];
        assert!(self.openssl(&[&args, key].concat()), "{name}");
    }

    /// A self-signed certificate; its file with the key.
    fn self_signed(&self, name: &str, key: &[&str], days: &str) -> String {
        let (subject, file, out) =
            (format!("/CN={name}.example.com"), format!("{name}.key"), format!("{name}.crt"));
        let args =
            ["req", "-x509", "-nodes", "-subj", &subject, "-days", days, "-keyout", &file, "-out", &out];
        assert!(self.openssl(&[&args, key].concat()), "{name}");
        self.together(name)
    }

    /// The same of version 1, which has no extensions.
    fn version_1(&self, name: &str) -> String {
        self.request(name, &EC);
        let (csr, key, out) = (format!("{name}.csr"), format!("{name}.key"), format!("{name}.crt"));
        let args = ["x509", "-req", "-in", &csr, "-signkey", &key, "-days", "30", "-out", &out];
        // Newer ones have to be asked for it.
        let asked = ["req", "-x509", "-x509v1", "-in", &csr, "-key", &key, "-days", "30", "-out", &out];
        assert!(self.openssl(&asked) || self.openssl(&args), "{name}");
        let text = Command::new(need::path("openssl"))
            .args(["x509", "-noout", "-text", "-in", &self.arg(&out)])
            .output()
            .unwrap();
        assert!(String::from_utf8_lossy(&text.stdout).contains("Version: 1 (0x0)"), "{name}");
        self.together(name)
    }

    /// A certificate of version 3, signed by `issuer`.
    fn signed(&self, name: &str, issuer: &str) -> String {
        self.request(name, &EC);
        fs::write(self.path("extensions"), "basicConstraints=CA:FALSE\n").unwrap();
        let (csr, out) = (format!("{name}.csr"), format!("{name}.crt"));
        let (ca, key) = (format!("{issuer}.crt"), format!("{issuer}.key"));
        let args = ["x509", "-req", "-in", &csr, "-CA", &ca, "-CAkey", &key, "-CAcreateserial", "-out", &out];
        assert!(self.openssl(&[&args[..], &["-extfile", "extensions"]].concat()), "{name}");
        self.together(name)
    }

    fn together(&self, name: &str) -> String {
        let read = |kind: &str| fs::read_to_string(self.path(&format!("{name}.{kind}"))).unwrap();
        fs::write(self.path(&format!("{name}.pem")), read("key") + &read("crt")).unwrap();
        self.arg(&format!("{name}.pem"))
    }
}

fn server(spool: &TempSpool, pem: &str, more: &[&str]) -> Daemon {
    let options = ["--server-tls-connection", "--server-tls-certificate", pem];
    Daemon::server(spool, &[&options, more].concat())
}

/// Whether a session of `openssl s_client` gets as far as the goodbye.
fn converses(server: &Daemon, more: &[&str]) -> bool {
    let mut client = Command::new(need::path("openssl"));
    client.args(["s_client", "-connect", &server.address().to_string(), "-quiet"]).args(more);
    let mut child =
        client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    // A client that is refused may have gone.
    let _ = std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"EHLO x\r\nQUIT\r\n");
    let output = child.wait_with_output().unwrap();
    String::from_utf8_lossy(&output.stdout).ends_with("\r\n221 OK\r\n")
}

#[test]
fn certificates_of_version_1_serve_and_are_authorities() {
    require!(need::program("openssl"));
    let (spool, shop) = (TempSpool::new(), Workshop::new());
    let (pem, listed) = (shop.version_1("server"), shop.version_1("listed"));
    shop.version_1("authority");
    let signed = shop.signed("signed", "authority");
    let list =
        ["listed", "authority"].map(|name| fs::read_to_string(shop.path(&format!("{name}.crt"))).unwrap());
    fs::write(shop.path("list.pem"), list.concat()).unwrap();
    let server = server(&spool, &pem, &["--server-tls-verify", &shop.arg("list.pem")]);
    let own = shop.arg("server.crt");
    let checked = ["-CAfile", &own, "-verify_return_error", "-ign_eof"];
    for (client, good) in [(&listed, true), (&signed, true), (&pem, false)] {
        for version in ["-tls1_2", "-tls1_3"] {
            let own = ["-cert", client, "-key", client, version];
            assert_eq!(converses(&server, &[&checked[..], &own].concat()), good, "{client} {version}");
        }
    }
    assert!(!converses(&server, &checked));
    server.line("tls: tls error: accept: certificate verify failed: ");
    server.line("tls: tls error: accept: peer did not return a certificate");
}

#[test]
fn weak_and_encrypted_keys_are_refused_by_name() {
    require!(need::program("openssl"));
    let (spool, shop, authority) = (TempSpool::new(), Workshop::new(), Authority::new());
    let weak = shop.self_signed("weak", &["-newkey", "rsa:1024"], "30");
    shop.self_signed("good", &["-newkey", "rsa:2048"], "30");
    let lock = ["pkcs8", "-topk8", "-in", "good.key", "-passout", "pass:x", "-out", "locked.key"];
    assert!(shop.openssl(&lock));
    let (locked, certificate) = (shop.arg("locked.key"), shop.arg("good.crt"));
    for (options, expected) in [
        (vec![&weak], format!("tls error: rsa key too small (1024 bits): file=[{weak}]")),
        (vec![&locked, &certificate], format!("tls error: private key is encrypted: file=[{locked}]")),
    ] {
        let mut args =
            vec!["--no-daemon", "--no-syslog", "--port", "0", "--spool-dir", spool.arg(), "--server-tls"];
        args.extend(["--interface", "127.0.0.1", "--user", "root"]);
        args.extend(options.iter().flat_map(|file| ["--server-tls-certificate", file.as_str()]));
        let mut refused = Daemon::spawn(Program::Emailrelay, &args);
        assert_eq!(refused.wait().code(), Some(1));
        refused.line(&expected);
    }
    // A client's, whether anything is asked of it or not.
    let pem = authority.issue("server.pem", &["localhost"]);
    let listed = shop.arg("weak.crt");
    for verify in [vec![], vec!["--server-tls-verify", listed.as_str()]] {
        let server = server(&spool, &pem, &verify);
        let own = ["-cert", &weak, "-key", &weak, "-cipher", "DEFAULT@SECLEVEL=0", "-ign_eof"];
        assert!(!converses(&server, &own), "{verify:?}");
        server.line("tls: tls error: accept: ");
    }
}

#[test]
fn certificates_that_run_out_are_reported() {
    require!(need::program("openssl"));
    let (shop, authority) = (Workshop::new(), Authority::new());
    let expired = authority.issue_expired("expired.pem", &["localhost"]);
    for (pem, expected) in [
        (shop.self_signed("soon", &EC, "10"), Some("warning: tls: certificate expires in 9 days: file=[")),
        (shop.self_signed("tomorrow", &EC, "1"), Some("warning: tls: certificate expires in 0 days: file=[")),
        (expired, Some("warning: tls: certificate has expired: file=[")),
        (shop.self_signed("later", &EC, "16"), None),
    ] {
        let spool = TempSpool::new();
        let mut server = server(&spool, &pem, &[]);
        if let Some(expected) = expected {
            server.line(&format!("{expected}{}", pem.rsplit_once('/').unwrap().0));
        }
        // It is in use nonetheless: that is for the other side to judge.
        assert!(converses(&server, &["-ign_eof"]), "{pem}");
        server.signal(nix::sys::signal::Signal::SIGTERM);
        assert!(server.wait().success());
        let told = server.lines().iter().filter(|line| line.contains("tls: certificate ")).count();
        assert_eq!(told, usize::from(expected.is_some()), "{pem}");
    }
}
