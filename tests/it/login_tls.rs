//! Logins over TLS: what is offered when, real clients, and our own forwarder bound to the TLS session.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::login::Accounts;
use crate::support::client::SmtpClient;
use crate::support::daemon::{Daemon, forward};
use crate::support::need::{self, require};
use crate::support::script::Scripts;
use crate::support::spool::TempSpool;

/// A key and its own certificate, in one file.
struct Certificate {
    _directory: tempfile::TempDir,
    path: PathBuf,
}

impl Certificate {
    fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("emailrelay-cert.").tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(vec!["relay.test".to_owned()]).unwrap();
        let path = directory.path().join("relay.pem");
        fs::write(&path, format!("{}{}", made.signing_key.serialize_pem(), made.cert.pem())).unwrap();
        Self { _directory: directory, path }
    }

    fn server(&self, accounts: &Accounts, spool: &TempSpool, args: &[&str]) -> Daemon {
        let tls = ["--server-tls", "--server-tls-certificate", self.path.to_str().unwrap()];
        accounts.server(spool, &[&tls, args].concat())
    }
}

const ACCOUNTS: &str = "server plain alice pass1\nclient plain alice pass1\n";

#[test]
fn nothing_is_offered_or_taken_in_clear_where_tls_is_required() {
    let (spool, accounts, certificate) = (TempSpool::new(), Accounts::new(ACCOUNTS), Certificate::new());
    let server = certificate.server(&accounts, &spool, &["--server-tls-required"]);
    let mut client = SmtpClient::connect(server.address());
    let offered = client.command("EHLO x").lines;
    assert!(
        offered.contains(&"STARTTLS".to_owned()) && !offered.iter().any(|line| line.starts_with("AUTH")),
        "{offered:?}"
    );
    let refused = client.command("AUTH PLAIN AGFsaWNlAHBhc3Mx");
    assert_eq!((refused.code, refused.lines), (530, vec!["encryption required: use starttls".to_owned()]));
    let refused = client.command("MAIL FROM:<a@example.com>");
    assert_eq!(
        (refused.code, refused.lines),
        (530, vec!["authentication required: use starttls".to_owned()])
    );
    assert!(!server.lines().iter().any(|line| line.contains("AGFsaWNlAHBhc3Mx")));
}

/// A client of another project, by one mechanism, over STARTTLS.
type Peer = fn(&Daemon, &TempSpool, mechanism: &str, password: &str) -> Command;

fn swaks(server: &Daemon, _: &TempSpool, mechanism: &str, password: &str) -> Command {
    let (address, mut command) = (server.address(), Command::new(need::path("swaks")));
    command.args(["--server", &address.ip().to_string(), "--port", &address.port().to_string(), "--tls"]);
    command.args(["--from", "a@example.com", "--to", "b@example.com", "--helo", "client.test"]);
    command.args(["--auth", mechanism, "--auth-user", "alice", "--auth-password", password]);
    command
}

fn curl(server: &Daemon, spool: &TempSpool, mechanism: &str, password: &str) -> Command {
    let (letter, mut command) = (letter(spool), Command::new(need::path("curl")));
    command.args(["--silent", "--show-error", "--max-time", "30", "--ssl-reqd", "--insecure"]);
    command.args(["--url", &format!("smtp://{}", server.address()), "--mail-from", "a@example.com"]);
    command.args(["--mail-rcpt", "b@example.com", "--upload-file"]).arg(letter);
    command.args(["--user", &format!("alice:{password}"), "--login-options", &format!("AUTH={mechanism}")]);
    command
}

fn msmtp(server: &Daemon, spool: &TempSpool, mechanism: &str, password: &str) -> Command {
    let (address, letter) = (server.address(), letter(spool));
    let script = "exec \"$0\" --file=/dev/null --tls=on --tls-certcheck=off --timeout=30 --host=\"$1\" --port=\"$2\" --auth=\"$3\" \
                  --user=alice --passwordeval=\"echo $4\" --from=a@example.com b@example.com < \"$5\"";
    let mut command = Command::new("sh");
    command.args(["-c", script]).arg(need::path("msmtp"));
    command
        .args([&address.ip().to_string(), &address.port().to_string(), &mechanism.to_lowercase(), password])
        .arg(letter);
    command
}

fn python(server: &Daemon, _: &TempSpool, mechanism: &str, password: &str) -> Command {
    let (address, mut command) = (server.address(), Command::new(need::path("python3")));
    command.args([
        "-c",
        SMTPLIB,
        &address.ip().to_string(),
        &address.port().to_string(),
        mechanism,
        password,
    ]);
    command
}

const SMTPLIB: &str = r#"
import smtplib, ssl, sys
host, port, mechanism, password = sys.argv[1:]
context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
server = smtplib.SMTP(host, int(port), local_hostname="client.test", timeout=30)
server.starttls(context=context)
server.ehlo()
server.user, server.password = "alice", password
method = {"PLAIN": server.auth_plain, "LOGIN": server.auth_login, "CRAM-MD5": server.auth_cram_md5}[mechanism]
server.auth(mechanism, method)
server.sendmail("a@example.com", ["b@example.com"], "Subject: x\r\n\r\nx\r\n")
server.quit()
"#;

fn letter(spool: &TempSpool) -> PathBuf {
    let path = spool.path().join("letter");
    fs::write(&path, "Subject: x\r\n\r\nx\r\n").unwrap();
    path
}

fn logs_in(program: &str, mechanisms: &[&str], peer: Peer) {
    let (accounts, certificate) = (Accounts::new(ACCOUNTS), Certificate::new());
    for mechanism in mechanisms {
        for (password, good) in [("pass1", true), ("pass2", false)] {
            let spool = TempSpool::new();
            let server = certificate.server(&accounts, &spool, &["--server-tls-required"]);
            let output = peer(&server, &spool, mechanism, password).stdin(Stdio::null()).output().unwrap();
            let text = [&output.stdout[..], &output.stderr].concat();
            let what = format!("{program} {mechanism} {password}: {}", String::from_utf8_lossy(&text));
            assert_eq!(output.status.success(), good, "{what}");
            let done = if good { "successful" } else { "failed" };
            server.line(&format!(
                "{done} authentication of remote client using mechanism [{}]",
                mechanism.to_lowercase()
            ));
            assert_eq!(spool.ready().len(), usize::from(good), "{what}");
            if good {
                let content = String::from_utf8(spool.content(&spool.ready()[0])).unwrap();
                assert!(content.contains(" with ESMTPSA "), "{what}: {content}");
            }
        }
    }
}

#[test]
fn swaks_logs_in_over_tls() {
    require!(need::program("swaks"));
    logs_in("swaks", &["PLAIN", "LOGIN", "CRAM-MD5"], swaks);
}

#[test]
fn curl_logs_in_over_tls() {
    require!(need::program("curl"));
    logs_in("curl", &["PLAIN", "LOGIN", "CRAM-MD5"], curl);
}

#[test]
fn msmtp_logs_in_over_tls() {
    require!(need::program("msmtp"));
    logs_in("msmtp", &["PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256"], msmtp);
}

#[test]
fn python_logs_in_over_tls() {
    require!(need::program("python3"));
    logs_in("python3", &["PLAIN", "LOGIN", "CRAM-MD5"], python);
}

#[test]
fn our_own_forwarder_logs_in_over_tls_by_the_strongest_mechanism_and_by_those_that_are_for_tls_only() {
    let (accounts, certificate) = (Accounts::new(ACCOUNTS), Certificate::new());
    for (config, mechanism) in [("", "scram-sha-256-plus"), ("m:;a:plain", "plain"), ("a:login", "login")] {
        let (spool, arrived) = (TempSpool::new(), TempSpool::new());
        let source = Daemon::server(&spool, &["--anonymous=content"]);
        SmtpClient::connect(source.address()).send("a@example.com", &["b@example.com"], b"x\r\n");
        assert!(source.stop().success());
        let hop = certificate.server(&accounts, &arrived, &["--server-tls-required"]);
        let options = ["--client-tls", "--client-auth", accounts.arg(), "--client-auth-config", config];
        let (code, log) = forward(&spool, &hop.address().to_string(), &options);
        assert_eq!(code, 0, "{mechanism}: {log:#?}");
        let expected = format!(
            "successful authentication with remote server over tls using mechanism [{mechanism}] and plaintext secret for [alice] from line 2"
        );
        assert!(log.iter().any(|line| line.ends_with(&expected)), "{mechanism}: {log:#?}");
        assert!(!log.iter().any(|line| line.contains("without tls")), "{log:#?}");
        assert_eq!(arrived.envelope(&arrived.ready()[0]).first("Authentication"), "alice");
    }
}

/// With `--immediate`: over TLS, by the account that the message names, and with a wrong password the client hears that it failed.
#[test]
fn a_client_that_waits_is_sent_on_with_login_and_tls() {
    let accounts = Accounts::new(
        "server plain alice pass1\nserver plain bob pass2\nclient plain alice pass1\nclient plain bob pass2 second\n\
         client plain alice wrong third\n",
    );
    let (certificate, arrived, scripts) = (Certificate::new(), TempSpool::new(), Scripts::new());
    let hop = certificate.server(&accounts, &arrived, &["--server-tls-required"]);
    // The selector is the local part of the recipient.
    let select = scripts.shell(
        "select",
        "to=$(sed -n 's/^X-MailRelay-To-Remote: \\([a-z]*\\)@.*/\\1/p' \"$2\"); [ \"$to\" = first ] && exit 0\n\
         sed -i \"s/^X-MailRelay-ClientAccountSelector:.*/X-MailRelay-ClientAccountSelector: $to\\r/\" \"$2\"",
    );
    let spool = TempSpool::new();
    let next = hop.address().to_string();
    let options =
        ["--client-tls", "--client-tls-required", "--client-auth", accounts.arg(), "--filter", &select];
    let relay = Daemon::server(
        &spool,
        &[&["--immediate", "--forward-to", &next, "--anonymous=content"], &options[..]].concat(),
    );
    let mut client = SmtpClient::connect(relay.address());
    for (recipient, code, login) in [("first", 250, "alice"), ("second", 250, "bob"), ("third", 452, "")] {
        let before = arrived.ready();
        let reply =
            client.try_send("a@example.com", &[&format!("{recipient}@example.com")], b"x\r\n").unwrap();
        assert_eq!(reply.code, code, "{recipient}: {reply:?}");
        let new: Vec<String> = arrived.ready().into_iter().filter(|name| !before.contains(name)).collect();
        assert_eq!(new.len(), usize::from(code == 250), "{recipient}");
        if let Some(name) = new.first() {
            assert_eq!(arrived.envelope(name).first("Authentication"), login);
        }
    }
    assert!(spool.files().is_empty(), "{:?}", spool.files());
    assert!(!relay.lines().iter().any(|line| line.contains("wrong") || line.contains("pass1")));
}
