//! POP with TLS: STLS and implicit TLS with clients of other projects, and what must not work in clear.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use emailrelay::sasl::client::{Credentials, Exchange, Proof};
use emailrelay::sasl::encoding::{base64, from_base64};
use emailrelay::sasl::{Mechanism, Secret};
use rustls::pki_types::pem::PemObject as _;

use crate::pop::PopSpool;
use crate::support::PATIENCE;
use crate::support::activate;
use crate::support::certs::Authority;
use crate::support::daemon::Program;
use crate::support::need::{self, require};
use crate::support::pop::PopClient;

const LETTER: &[u8] = b"From: a@example.com\r\nSubject: one\r\n\r\n.dot\r\n";

fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(need::path(program)).args(args).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{program} {args:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn clients_of_other_projects_use_stls() {
    require!(need::program("curl"), need::program("python3"));
    let authority = Authority::new();
    let (pem, ca) = (authority.issue("pop.pem", &["localhost"]), authority.file());
    let pop = PopSpool::new();
    pop.put("one", LETTER);
    let server = pop.serve(&["--server-tls", "--server-tls-certificate", &pem, "--server-tls-required"]);
    let port = server.pop_address().port().to_string();
    let url = format!("pop3://localhost:{port}/1");
    for login in ["AUTH=PLAIN", "AUTH=CRAM-MD5", "AUTH=SCRAM-SHA-256"] {
        let options =
            ["-sS", "-4", "--ssl-reqd", "--cacert", &ca, "--user", "alice:secret1", "--login-options"];
        if login.contains("SCRAM") && !run("curl", &["--version"]).contains("SCRAM") {
            continue;
        }
        assert_eq!(run("curl", &[&options[..], &[login, &url]].concat()).as_bytes(), LETTER, "{login}");
    }
    run("python3", &["-c", POPLIB, "stls", &port, &ca]);
    assert!(pop.spool.files().is_empty());
    // In clear nobody logs in.
    let mut client = PopClient::connect(server.pop_address());
    assert_eq!(client.greeting, "+OK POP3 server ready");
    for line in ["USER alice", "PASS secret1", "APOP alice x", "AUTH PLAIN AGFsaWNlAHNlY3JldDE="] {
        assert_eq!(client.command(line), "-ERR must use STLS before authentication");
    }
    let capabilities = client.lines("CAPA");
    assert!(capabilities.contains(&"STLS".to_owned()) && !capabilities.contains(&"USER".to_owned()));
    // Nor does anything in clear behind STLS count.
    client.write(b"STLS\r\nUSER mallory\r\n");
    assert_eq!(client.line(), "+OK");
    assert_eq!(client.rest(), b"");
    server.line("plaintext after st");
}

#[test]
fn clients_of_other_projects_use_implicit_tls() {
    require!(need::program("curl"), need::program("python3"));
    let authority = Authority::new();
    let (pem, ca) = (authority.issue("pop.pem", &["localhost"]), authority.file());
    let pop = PopSpool::new();
    pop.put("one", LETTER);
    let server = pop.serve(&["--server-tls", "--server-tls-certificate", &pem, "--pop-tls-connection"]);
    let port = server.pop_address().port().to_string();
    let url = format!("pop3s://localhost:{port}/1");
    let one = run("curl", &["-sS", "-4", "--cacert", &ca, "--user", "alice:secret1", &url]);
    assert_eq!(one.as_bytes(), LETTER);
    run("python3", &["-c", POPLIB, "implicit", &port, &ca]);
    assert!(pop.spool.files().is_empty());
}

#[test]
fn a_socket_named_pops_begins_with_a_handshake() {
    require!(need::program("curl"));
    let authority = Authority::new();
    let (pem, ca) = (authority.issue("pop.pem", &["localhost"]), authority.file());
    let pop = PopSpool::new();
    pop.put("one", LETTER);
    let secrets = pop.secrets.to_str().unwrap();
    let options = ["--spool-dir", pop.spool.arg(), "--pop-auth", secrets];
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut refused = activate::start(Program::Pop, &listener, "pops", &options);
    assert_eq!(refused.wait().code(), Some(1), "not in clear");
    let tls = ["--server-tls", "--server-tls-certificate", &pem];
    let _daemon = activate::start(Program::Pop, &listener, "pops", &[&options[..], &tls].concat());
    let url = format!("pop3s://localhost:{port}/1");
    let one = run("curl", &["-sS", "-4", "--cacert", &ca, "--user", "alice:secret1", &url]);
    assert_eq!(one.as_bytes(), LETTER);
}

/// What `mpop` and `fetchmail` are told besides, and the port.
struct Kind<'a> {
    mpop: &'a str,
    fetchmail: &'a str,
    port: u16,
    ca: &'a str,
}

/// Keeps the message, or deletes it.
fn mpop(kind: &Kind<'_>, auth: &str, keep: bool) -> String {
    let dir = tempfile::tempdir().unwrap();
    for sub in ["new", "cur", "tmp"] {
        fs::create_dir_all(dir.path().join("inbox").join(sub)).unwrap();
    }
    let (rc, keep) = (dir.path().join("mpoprc"), if keep { "on" } else { "off" });
    let Kind { mpop, port, ca, .. } = kind;
    let text = format!(
        "account default\nhost localhost\nport {port}\ntls on\n{mpop}\ntls_trust_file {ca}\nuser alice\npassword secret1\n\
         auth {auth}\nkeep {keep}\ndelivery maildir {dir}/inbox\nuidls_file {dir}/uidls\n",
        dir = dir.path().display()
    );
    fs::write(&rc, text).unwrap();
    fs::set_permissions(&rc, fs::Permissions::from_mode(0o600)).unwrap();
    run("mpop", &["-C", rc.to_str().unwrap(), "-a"]);
    let got = crate::support::spool::list(&dir.path().join("inbox/new"));
    fs::read_to_string(dir.path().join("inbox/new").join(&got[0])).unwrap()
}

fn fetchmail(kind: &Kind<'_>, auth: &str, keep: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let (rc, Kind { fetchmail, port, ca, .. }) = (dir.path().join("fetchmailrc"), kind);
    let text = format!(
        "poll localhost protocol pop3 port {port} auth {auth} uidl user alice password secret1 {fetchmail} sslcertck sslcertfile {ca} \
         {keep} mda \"cat >> {}/mail\"\n",
        dir.path().display()
    );
    fs::write(&rc, text).unwrap();
    fs::set_permissions(&rc, fs::Permissions::from_mode(0o600)).unwrap();
    let mut command = Command::new(need::path("fetchmail"));
    command.env("HOME", dir.path()).env("FETCHMAILHOME", dir.path()).arg("-f").arg(&rc);
    command.args(["-i", dir.path().join("ids").to_str().unwrap(), "--nosyslog"]);
    let output = command.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert_eq!(output.status.code(), Some(0), "{auth}: {said}");
    fs::read_to_string(dir.path().join("mail")).unwrap()
}

#[test]
fn mpop_and_fetchmail_keep_and_delete_by_both_kinds_of_tls() {
    require!(need::program("mpop"), need::program("fetchmail"));
    let authority = Authority::new();
    let (pem, ca) = (authority.issue("pop.pem", &["localhost"]), authority.file());
    for (option, starttls, sslproto) in [
        ("--server-tls-required", "on", "sslproto 'tls1.2+'"),
        ("--pop-tls-connection", "off", "ssl sslproto 'tls1.2+'"),
    ] {
        let pop = PopSpool::new();
        let server = pop.serve(&["--server-tls", "--server-tls-certificate", &pem, option]);
        let mpop_says = format!("tls_starttls {starttls}");
        let port = server.pop_address().port();
        let kind = Kind { mpop: &mpop_says, fetchmail: sslproto, port, ca: &ca };
        pop.put("one", LETTER);
        for auth in ["user", "plain", "cram-md5", "scram-sha-256", "login"] {
            assert!(mpop(&kind, auth, true).contains("Subject: one"), "{option} {auth}");
        }
        assert_eq!(pop.spool.ready().len(), 1, "{option}: all was to be kept");
        mpop(&kind, "scram-sha-256", false);
        assert!(pop.spool.files().is_empty(), "{option}");
        pop.put("two", LETTER);
        for auth in ["password", "cram-md5"] {
            assert!(fetchmail(&kind, auth, "keep").contains("Subject: one"), "{option} {auth}");
        }
        assert_eq!(pop.spool.ready().len(), 1, "{option}: all was to be kept");
        fetchmail(&kind, "password", "no keep");
        assert!(pop.spool.files().is_empty(), "{option}");
        // Nothing of it went in clear.
        assert!(
            server.lines().iter().any(|line| line.contains("pop authentication of alice connected from "))
        );
    }
}

/// A connection in TLS by rustls, with what a login can be bound to. None of the clients above can do that.
fn bound(port: u16, ca: &str, version: &'static rustls::SupportedProtocolVersion) -> (Tls, Vec<u8>) {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(rustls::pki_types::CertificateDer::from_pem_file(ca).unwrap()).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = "localhost".try_into().unwrap();
    let connection = rustls::ClientConnection::new(std::sync::Arc::new(config), name).unwrap();
    let socket = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut stream = BufReader::new(rustls::StreamOwned::new(connection, socket));
    assert!(line(&mut stream).starts_with("+OK POP3 server ready"));
    let exporter =
        stream.get_ref().conn.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(&[]));
    (stream, exporter.unwrap().to_vec())
}

type Tls = BufReader<rustls::StreamOwned<rustls::ClientConnection, std::net::TcpStream>>;

fn line(stream: &mut Tls) -> String {
    let mut line = String::new();
    stream.read_line(&mut line).unwrap();
    line.trim_end_matches("\r\n").to_owned()
}

fn say(stream: &mut Tls, text: &str) -> String {
    stream.get_mut().write_all(format!("{text}\r\n").as_bytes()).unwrap();
    line(stream)
}

fn list(stream: &mut Tls, command: &str) -> Vec<String> {
    assert_eq!(&say(stream, command)[..3], "+OK");
    std::iter::from_fn(|| Some(line(stream)).filter(|line| line != ".")).collect()
}

#[test]
fn a_login_is_bound_to_the_session_of_tls() {
    let authority = Authority::new();
    let (pem, ca) = (authority.issue("pop.pem", &["localhost"]), authority.file());
    let pop = PopSpool::new();
    let tls = ["--server-tls", "--server-tls-certificate", &pem, "--pop-tls-connection", "--verbose"];
    let server = pop.serve(&tls);
    let port = server.pop_address().port();
    let alice =
        Credentials { user: "alice".to_owned(), proof: Proof::Password(Secret::new(b"secret1".to_vec())) };
    let login = |stream: &mut Tls, exporter: &[u8]| {
        let mechanism = Mechanism::ScramSha256Plus;
        let mut exchange = Exchange::new(mechanism, &alice, "client-nonce", Some(exporter)).unwrap();
        let initial = base64(exchange.initial().unwrap().expose());
        let mut reply = say(stream, &format!("AUTH SCRAM-SHA-256-PLUS {initial}"));
        while let Some(challenge) = reply.strip_prefix("+ ") {
            let response = exchange.respond(&from_base64(challenge.as_bytes()).unwrap()).unwrap();
            reply = say(stream, &base64(response.expose()));
        }
        (reply, exchange.is_satisfied())
    };
    let (mut stream, exporter) = bound(port, &ca, &rustls::version::TLS13);
    assert_eq!(list(&mut stream, "AUTH")[..2], ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"]);
    assert!(list(&mut stream, "CAPA").iter().any(|line| line.starts_with("SASL SCRAM-SHA-256-PLUS ")));
    assert_eq!(login(&mut stream, &exporter), ("+OK".to_owned(), true));
    server.line("using mechanism [scram-sha-256-plus]");
    // Somebody between the two, with a session of his own to each.
    let (mut stream, exporter) = bound(port, &ca, &rustls::version::TLS13);
    let other = exporter.iter().map(|byte| !byte).collect::<Vec<_>>();
    assert_eq!(login(&mut stream, &other), ("-ERR [AUTH] authentication failed".to_owned(), false));
    // TLS 1.2 has nothing to bind to without further conditions.
    let (mut stream, _) = bound(port, &ca, &rustls::version::TLS12);
    assert_eq!(list(&mut stream, "AUTH")[0], "SCRAM-SHA-256");
    assert_eq!(say(&mut stream, "AUTH SCRAM-SHA-256-PLUS"), "-ERR invalid mechanism");
}

const POPLIB: &str = r#"
import poplib, ssl, sys
how, port, ca = sys.argv[1], int(sys.argv[2]), sys.argv[3]
context = ssl.create_default_context(cafile=ca)
if how == "stls":
    server = poplib.POP3("127.0.0.1", port)
    server.host = "localhost"
    server.stls(context)
else:
    server = poplib.POP3_SSL("localhost", port, context=context)
assert "STLS" not in server.capa()
server.user("alice"); server.pass_("secret1")
assert server.retr(1)[1][-1] == b".dot"
server.dele(1)
server.quit()
"#;
