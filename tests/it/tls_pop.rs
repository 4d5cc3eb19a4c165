//! POP with TLS: STLS and implicit TLS with clients of other projects, and what must not work in clear.

use std::net::TcpListener;
use std::process::{Command, Stdio};

use crate::pop::PopSpool;
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
