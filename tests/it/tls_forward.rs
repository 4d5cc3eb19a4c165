//! TLS to the next hop: a real postfix with certificates of every kind, and hops that are none.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::Path;

use crate::support::certs::Authority;
use crate::support::client::SmtpClient;
use crate::support::daemon::{Daemon, Program, forward};
use crate::support::hop::{Script, ScriptedHop};
use crate::support::need::{self, require};
use crate::support::postfix::RealPostfix;
use crate::support::spool::TempSpool;

const CONTENT: &[u8] = b"Subject: secret\r\n\r\n.body\r\n";

fn fill(spool: &TempSpool) {
    let server = Daemon::server(spool, &["--anonymous=content"]);
    SmtpClient::connect(server.address()).send("a@example.com", &["b@example.com"], CONTENT);
    assert!(server.stop().success());
    assert_eq!(spool.ready().len(), 1);
}

/// Postfix with the key and certificate of this file.
fn postfix(pem: &str, more: &str) -> RealPostfix {
    RealPostfix::start_with(&format!(
        "smtpd_tls_chain_files = {pem}\nsmtpd_tls_security_level = encrypt\n{more}"
    ))
}

/// The message waits, untouched, and the log says why.
fn refused(spool: &TempSpool, hop: &str, options: &[&str], why: &[&str]) {
    let (code, log) = forward(spool, hop, options);
    assert_eq!(code, 75, "{options:?} {log:#?}");
    for why in why {
        assert!(log.iter().any(|line| line.contains(why)), "{options:?}: {why:?}: {log:#?}");
    }
    let ready = spool.ready();
    assert_eq!((ready.len(), spool.files().len()), (1, 2), "{options:?} {:?}", spool.files());
    assert_eq!(spool.envelope(&ready[0]).all("NextAttempt").len(), 0, "a session fault touches no message");
}

fn sent(spool: &TempSpool, hop: &str, options: &[&str]) -> Vec<String> {
    let (code, log) = forward(spool, hop, options);
    assert_eq!((code, spool.files()), (0, Vec::new()), "{options:?} {log:#?}");
    assert!(log.iter().any(|line| line.contains(" protocol TLSv1.3 cipher TLS_")), "{log:#?}");
    log
}

const CONNECT_FAILED: &str = "peer disconnected: ssl connect";

#[test]
fn verified_by_file_directory_and_name() {
    require!(need::root(), need::program("postfix"));
    let (authority, stranger) = (Authority::new(), Authority::new());
    let pem = authority.issue("server.pem", &["mail.example.com", "localhost"]);
    let postfix = postfix(&pem, "");
    let (hop, ca) = (postfix.arg(), authority.file());
    let directory = authority.arg("authorities");
    std::fs::create_dir(&directory).unwrap();
    std::fs::copy(&ca, Path::new(&directory).join("any-name")).unwrap();
    let spool = TempSpool::new();
    fill(&spool);
    let verify = |ca: &str| ["--client-tls".to_owned(), "--client-tls-verify".to_owned(), ca.to_owned()];
    let options = verify(&stranger.file());
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let unknown = "tls: tls error: connect: certificate verify failed: unknown issuer";
    refused(&spool, &hop, &options, &[unknown, CONNECT_FAILED]);
    for (authorities, name, good) in [
        (&ca, None, true),
        (&directory, None, true),
        (&ca, Some("MAIL.example.com"), true),
        (&ca, Some("cn.example.com"), true),
        (&ca, Some("other.example.com"), false),
    ] {
        if spool.ready().is_empty() {
            fill(&spool);
        }
        let options = verify(authorities);
        let mut options: Vec<&str> = options.iter().map(String::as_str).collect();
        options.extend(name.iter().flat_map(|name| ["--client-tls-verify-name", name]));
        let checked = name.map(|name| {
            format!(
                "tls: certificate-subject=[/CN=cn.example.com] required-peer-name=[{name}] ok={}",
                u8::from(good)
            )
        });
        if good {
            let log = sent(&spool, &hop, &options);
            let checked = checked.unwrap_or_else(|| "host name is not verified".to_owned());
            assert!(log.iter().any(|line| line.contains(&checked)), "{checked} {log:#?}");
        } else {
            let mismatch = "connect: certificate verify failed: name mismatch";
            refused(&spool, &hop, &options, &[&checked.unwrap(), mismatch, CONNECT_FAILED]);
        }
    }
    assert!(postfix.wait_messages(4).iter().all(|message| message.content == CONTENT));
}

#[test]
fn unverified_is_said_once_and_sent() {
    require!(need::root(), need::program("postfix"));
    let authority = Authority::new();
    let postfix = postfix(&authority.issue_expired("old.pem", &["localhost"]), "");
    let spool = TempSpool::new();
    fill(&spool);
    let expired = "certificate verify failed: expired";
    refused(&spool, &postfix.arg(), &["--client-tls", "--client-tls-verify", &authority.file()], &[expired]);
    let log = sent(&spool, &postfix.arg(), &["--client-tls", "--client-tls-required"]);
    let said: Vec<&String> = log.iter().filter(|line| line.contains("not verified")).collect();
    assert_eq!(said.len(), 1, "{log:#?}");
    assert!(said[0].contains("warning: tls: certificate of 127.0.0.1 not verified: "), "{said:?}");
    fill(&spool);
    let log = sent(&spool, &postfix.arg(), &["--client-tls", "--client-tls-verify", "<none>"]);
    assert!(!log.iter().any(|line| line.contains("not verified")), "{log:#?}");
}

#[test]
fn self_signed_certificates_are_good_where_they_are_listed() {
    require!(need::root(), need::program("postfix"));
    let authority = Authority::new();
    let own = authority.self_signed("own.pem", &["localhost"]);
    let postfix = postfix(&own, "");
    let spool = TempSpool::new();
    fill(&spool);
    refused(
        &spool,
        &postfix.arg(),
        &["--client-tls", "--client-tls-verify", &authority.file()],
        &[CONNECT_FAILED],
    );
    sent(&spool, &postfix.arg(), &["--client-tls", "--client-tls-verify", &own]);
}

#[test]
fn the_system_and_the_name_of_the_hop_decide_by_auto() {
    require!(need::root(), need::program("postfix"));
    let authority = Authority::new();
    let postfix = postfix(&authority.issue("server.pem", &["localhost"]), "");
    let spool = TempSpool::new();
    fill(&spool);
    let run = |hop: &str, authorities: &str| {
        let mut command = Program::Forward.command();
        command.env("SSL_CERT_FILE", authorities).env_remove("SSL_CERT_DIR");
        command.args(["--spool-dir", spool.arg(), "--forward-to", hop, "--verbose"]);
        command.args(["--client-tls", "--client-tls-required", "--client-tls-verify", "<auto>"]);
        let mut forward = Daemon::start(command);
        (forward.wait().code(), forward.lines().join("\n"))
    };
    let (code, log) = run(&postfix.arg(), &authority.file());
    assert_eq!(code, Some(75), "{log}");
    assert!(log.contains("connect: certificate verify failed: name mismatch"), "{log}");
    let (code, log) = run("localhost:1", "/dev/null");
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("tls error: the system's list of certificate authorities is empty"), "{log}");
    let local = format!("localhost:{}", postfix.address().port());
    let (code, log) = run(&local, &authority.file());
    assert_eq!((code, spool.files()), (Some(0), Vec::new()), "{log}");
}

#[test]
fn client_certificates_are_shown_where_they_are_asked_for() {
    require!(need::root(), need::program("postfix"));
    let authority = Authority::new();
    let ca = authority.file();
    let pem = authority.issue("server.pem", &["localhost"]);
    let postfix = postfix(&pem, &format!("smtpd_tls_CAfile = {ca}\nsmtpd_tls_req_ccert = yes\n"));
    let spool = TempSpool::new();
    fill(&spool);
    let (code, log) = forward(&spool, &postfix.arg(), &["--client-tls"]);
    assert_eq!((code, spool.ready().len()), (75, 1), "{log:#?}");
    let client = authority.issue("client.pem", &["client.example.com"]);
    sent(&spool, &postfix.arg(), &["--client-tls", "--client-tls-certificate", &client]);
}

#[test]
fn implicit_tls_is_spoken_from_the_first_byte() {
    require!(need::root(), need::program("postfix"));
    let authority = Authority::new();
    let postfix = postfix(&authority.issue("server.pem", &["localhost"]), "smtpd_tls_wrappermode = yes\n");
    let spool = TempSpool::new();
    fill(&spool);
    sent(&spool, &postfix.arg(), &["--client-tls-connection", "--client-tls-verify", &authority.file()]);
    let clear = ScriptedHop::start(Script::well());
    fill(&spool);
    let wrong = "tls: tls error: connect: wrong version number";
    refused(&spool, &clear.arg(), &["--client-tls-connection"], &[wrong, CONNECT_FAILED]);
    // A hop that does not answer: one limit for connect and handshake.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let hop = silent.local_addr().unwrap().to_string();
    let options = ["--client-tls-connection", "--connection-timeout", "1"];
    refused(&spool, &hop, &options, &["secure connection timeout"]);
}

#[test]
fn a_hop_without_starttls_is_used_only_if_it_may_be() {
    let hop = ScriptedHop::start(Script::well());
    let spool = TempSpool::new();
    fill(&spool);
    let mandated = "smtp error: tls is mandated but the server cannot do starttls";
    refused(&spool, &hop.arg(), &["--client-tls", "--client-tls-required"], &[mandated]);
    let (code, _) = forward(&spool, &hop.arg(), &["--client-tls"]);
    assert_eq!((code, hop.accepted().len()), (0, 1));
}

#[test]
fn bytes_in_clear_behind_220_are_never_read() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let hop = listener.local_addr().unwrap().to_string();
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"220 hop\r\n").unwrap();
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
        lines.next().unwrap().unwrap();
        stream.write_all(b"250-hop\r\n250 STARTTLS\r\n").unwrap();
        assert_eq!(lines.next().unwrap().unwrap(), "STARTTLS");
        stream.write_all(b"220 go\r\n250 par").unwrap();
        lines.map_while(Result::ok).count()
    });
    let spool = TempSpool::new();
    fill(&spool);
    let why = ["plaintext after starttls", "smtp error: unexpected response: plaintext after starttls"];
    refused(&spool, &hop, &["--client-tls"], &why);
    assert_eq!(thread.join().unwrap(), 0);
}
