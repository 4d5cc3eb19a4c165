//! TLS of the server against clients of other projects, and against those that mean no good.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Output, Stdio};

use nix::sys::signal::Signal;

use crate::support::certs::Authority;
use crate::support::client::SmtpClient;
use crate::support::daemon::{Daemon, Program};
use crate::support::need::{self, require};
use crate::support::spool::TempSpool;
use crate::support::{PATIENCE, free_port, loopback, wait_for};

const CONTENT: &[u8] = b"Subject: secret\r\n\r\nbody\r\n";

fn server(spool: &TempSpool, authority: &Authority, more: &[&str]) -> Daemon {
    let pem = authority.issue("server.pem", &["localhost", "127.0.0.1", "mail.example.com"]);
    Daemon::server(spool, &[&["--server-tls-certificate", &pem], more].concat())
}

fn run(command: &mut Command, input: &[u8]) -> Output {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        // A client that is refused may not read it all.
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

fn succeeds(command: &mut Command, input: &[u8]) {
    let output = run(command, input);
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn python(script: &str, args: &[&str]) -> String {
    let mut command = Command::new(need::path("python3"));
    let output = run(command.args(["-c", script]).args(args), b"");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    text
}

#[test]
fn clients_of_other_projects_use_starttls() {
    require!(need::program("swaks"), need::program("curl"), need::program("msmtp"), need::program("python3"));
    let (spool, authority) = (TempSpool::new(), Authority::new());
    let server = server(&spool, &authority, &["--server-tls", "--server-tls-required"]);
    let (address, port) = (server.address().to_string(), server.address().port().to_string());
    let ca = authority.file();
    let envelope = ["--from", "swaks@example.com", "--to", "b@example.com"];
    succeeds(
        Command::new(need::path("swaks"))
            .args(["--server", &address, "--tls", "--silent", "2"])
            .args(envelope),
        b"",
    );
    let url = format!("smtp://{address}");
    let mut curl = Command::new(need::path("curl"));
    curl.args(["-sS", "--ssl-reqd", "--cacert", &ca, &url, "--mail-from", "curl@example.com"]);
    succeeds(curl.args(["--mail-rcpt", "b@example.com", "--upload-file", "-"]), CONTENT);
    let mut msmtp = Command::new(need::path("msmtp"));
    msmtp.args([
        "--file=/dev/null",
        "--host=127.0.0.1",
        &format!("--port={port}"),
        "--from=msmtp@example.com",
    ]);
    msmtp.args(["--tls=on", "--tls-starttls=on", &format!("--tls-trust-file={ca}"), "b@example.com"]);
    succeeds(&mut msmtp, CONTENT);
    python(SMTPLIB, &["starttls", &port, &ca]);
    let from = |name: &String| spool.envelope(name).first("From").to_owned();
    let ready = spool.ready();
    let senders: Vec<String> = ready.iter().map(from).collect();
    assert_eq!(senders, ["swaks", "curl", "msmtp", "python"].map(|who| format!("{who}@example.com")));
    for name in &ready {
        let content = String::from_utf8(spool.content(name)).unwrap();
        assert!(
            content.lines().next().unwrap().contains(" with ESMTPS tls TLS_AES_256_GCM_SHA384 ; "),
            "{content}"
        );
        assert_eq!(spool.envelope(name).first("ClientCertificate"), "");
    }
    server.line("tls protocol established with 127.0.0.1:");
    server.line(" protocol TLSv1.3 cipher TLS_AES_256_GCM_SHA384");
    // In clear there is no mail.
    let mut client = SmtpClient::connect(server.address());
    assert_eq!(client.command("MAIL FROM:<a@b>").lines, ["encryption required: use starttls"]);
}

/// `starttls` or `implicit`, port, authorities.
const SMTPLIB: &str = r#"
import smtplib, ssl, sys
how, port, ca = sys.argv[1:4]
context = ssl.create_default_context(cafile=ca)
if how == "implicit":
    server = smtplib.SMTP_SSL("localhost", int(port), context=context)
else:
    server = smtplib.SMTP("localhost", int(port))
    server.starttls(context=context)
    server.ehlo()
assert "starttls" not in server.esmtp_features
server.sendmail("python@example.com", ["b@example.com"], b"Subject: x\r\n\r\n" + 100000 * b"0123456789abcdef\r\n")
server.quit()
"#;

#[test]
fn clients_of_other_projects_use_implicit_tls() {
    require!(
        need::program("swaks"),
        need::program("curl"),
        need::program("openssl"),
        need::program("python3")
    );
    let (spool, authority) = (TempSpool::new(), Authority::new());
    let server = server(&spool, &authority, &["--server-tls-connection"]);
    let (address, port) = (server.address().to_string(), server.address().port().to_string());
    let ca = authority.file();
    let mut swaks = Command::new(need::path("swaks"));
    swaks.args(["--server", &address, "--tls-on-connect", "--silent", "2", "--from", "a@b", "--to", "c@d"]);
    succeeds(&mut swaks, b"");
    let url = format!("smtps://{address}");
    let mut curl = Command::new(need::path("curl"));
    curl.args([
        "-sS",
        "--cacert",
        &ca,
        &url,
        "--mail-from",
        "a@b",
        "--mail-rcpt",
        "c@d",
        "--upload-file",
        "-",
    ]);
    succeeds(&mut curl, CONTENT);
    python(SMTPLIB, &["implicit", &port, &ca]);
    let mut openssl = Command::new(need::path("openssl"));
    openssl.args([
        "s_client",
        "-connect",
        &address,
        "-CAfile",
        &ca,
        "-verify_return_error",
        "-quiet",
        "-ign_eof",
    ]);
    let output = run(
        &mut openssl,
        b"EHLO x\r\nSTARTTLS\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nx\r\n.\r\nQUIT\r\n",
    );
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("\r\n500 command unrecognized\r\n"), "{text}");
    assert!(text.ends_with("250 message processed\r\n221 OK\r\n"), "{text}");
    assert_eq!(spool.ready().len(), 4);
    // Somebody speaks in clear.
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.write_all(b"EHLO x\r\n").unwrap();
    assert_eq!(rest(&mut stream), b"");
    server.line("warning: tls: tls error: accept: wrong version number");
    server.line("smtp connection closed: peer disconnected: ssl accept: 127.0.0.1:");
}

/// Everything until the end of the connection, however it ends.
fn rest(stream: &mut TcpStream) -> Vec<u8> {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return bytes,
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
            Err(error) => {
                assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
                return bytes;
            }
        }
    }
}

#[test]
fn a_socket_named_smtps_begins_with_a_handshake() {
    require!(need::program("systemd-socket-activate"), need::program("python3"));
    let (spool, authority) = (TempSpool::new(), Authority::new());
    let pem = authority.issue("server.pem", &["localhost"]);
    let port = free_port();
    let mut activate = Command::new(need::path("systemd-socket-activate"));
    activate.args(["--listen", &loopback(port).to_string(), "--fdname=smtps", Program::Smtp.path()]);
    activate.args(["--spool-dir", spool.arg(), "--server-tls", "--server-tls-certificate", &pem]);
    let server = Daemon::start(activate);
    wait_for("the port", PATIENCE, || TcpStream::connect(loopback(port)).ok());
    python(SMTPLIB, &["implicit", &port.to_string(), &authority.file()]);
    assert_eq!(spool.ready().len(), 1);
    drop(server);
}

#[test]
fn client_certificates_are_recorded_required_and_refused() {
    require!(need::program("openssl"));
    let (spool, authority, stranger) = (TempSpool::new(), Authority::new(), Authority::new());
    let ca = authority.file();
    let options = ["--server-tls-connection", "--server-tls-verify", &ca];
    let server = server(&spool, &authority, &options);
    let good = authority.issue("client.pem", &["client.example.com"]);
    let bad = stranger.issue("client.pem", &["client.example.com"]);
    let old = authority.issue_expired("old.pem", &["client.example.com"]);
    let session = |certificate: Option<&str>| {
        let mut openssl = Command::new(need::path("openssl"));
        openssl.args(["s_client", "-connect", &server.address().to_string(), "-quiet", "-ign_eof"]);
        if let Some(file) = certificate {
            openssl.args(["-cert", file, "-key", file]);
        }
        let output =
            run(&mut openssl, b"EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nx\r\n.\r\nQUIT\r\n");
        String::from_utf8_lossy(&output.stdout).contains("250 message processed")
    };
    assert!(session(Some(&good)));
    assert!(!session(Some(&bad)) && !session(Some(&old)) && !session(None));
    server.line("warning: tls: tls error: accept: certificate verify failed: unknown issuer");
    server.line("warning: tls: tls error: accept: certificate verify failed: expired");
    server.line("warning: tls: tls error: accept: peer did not return a certificate");
    let ready = spool.ready();
    assert_eq!(ready.len(), 1);
    let pem = std::fs::read_to_string(good).unwrap().replace("\r\n", "\n");
    let certificate = pem[pem.find("-----BEGIN CERTIFICATE").unwrap()..].trim_end();
    let folded = format!("X-MailRelay-ClientCertificate: {}\r\n", certificate.replace('\n', "\r\n "));
    let envelope = std::fs::read_to_string(spool.path().join(&ready[0])).unwrap();
    assert!(envelope.contains(&folded), "{envelope}");
}

#[test]
fn bytes_in_clear_behind_starttls_end_the_session() {
    let (spool, authority) = (TempSpool::new(), Authority::new());
    let server = server(&spool, &authority, &["--server-tls"]);
    for (first, second) in [
        ("STARTTLS\r\nNOOP\r\n", ""),
        ("STARTTLS\r\nNOOP ", ""),
        ("STARTTLS\r\n\r\n", ""),
        ("STARTTLS\r\n", "NOOP\r\n"),
        ("STARTTLS\r\n", "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n"),
    ] {
        let mut client = SmtpClient::connect(server.address());
        client.write(first.as_bytes()).unwrap();
        client.write(second.as_bytes()).unwrap();
        let text = client.rest();
        let text = String::from_utf8_lossy(&text);
        assert!(matches!(&*text, "" | "220 ready to start tls\r\n"), "{first:?} {second:?}: {text:?}");
    }
    let warned = || {
        server.lines().iter().filter(|line| line.contains("plaintext after starttls from 127.0.0.1:")).count()
    };
    wait_for("five warnings", PATIENCE, || (warned() == 5).then_some(()));
    assert_eq!(spool.files(), Vec::<String>::new());
}

#[test]
fn a_handshake_on_a_clear_port_is_told_and_closed() {
    let (spool, authority) = (TempSpool::new(), Authority::new());
    let server = server(&spool, &authority, &["--server-tls"]);
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.write_all(b"\x16\x03\x01\x00\xfa\x01\x00").unwrap();
    rest(&mut stream);
    server.line(
        "received unexpected tls handshake packet from remote client: try enabling implicit tls (smtps)",
    );
}

#[test]
fn what_a_client_lacks_is_in_the_log() {
    require!(need::program("openssl"));
    let (spool, authority) = (TempSpool::new(), Authority::new());
    let server =
        server(&spool, &authority, &["--server-tls-connection", "--tls-config=tlsv1.2,op_no_ticket,foo"]);
    let connect = |more: &[&str]| {
        let mut openssl = Command::new(need::path("openssl"));
        openssl.args(["s_client", "-connect", &server.address().to_string()]).args(more);
        run(&mut openssl, b"QUIT\r\n")
    };
    connect(&["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"]);
    server.line("accept: unsupported protocol: peer offers TLSv1.1 at most");
    connect(&["-tls1_2", "-cipher", "AES128-SHA:AES256-SHA"]);
    server.line("accept: no shared cipher: peer offers AES128-SHA AES256-SHA");
    connect(&["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"]);
    server.line("protocol TLSv1.2 cipher ECDHE-ECDSA-AES128-GCM-SHA256");
    server.line("tls-config: tls configuration items ignored: [foo]");
}

#[test]
fn bad_files_and_keywords_end_the_start() {
    let (spool, authority) = (TempSpool::new(), Authority::new());
    let good = authority.issue("server.pem", &["x"]);
    let other = authority.issue("other.pem", &["x"]);
    let text = std::fs::read_to_string(&good).unwrap();
    let (key, certificate) = text.split_at(text.find("-----BEGIN CERTIFICATE").unwrap());
    let (key, certificate) = (authority.put("key", key), authority.put("crt", certificate));
    let empty = authority.put("empty", "");
    let missing = authority.arg("missing");
    let start = |options: &[&str]| {
        let mut args =
            vec!["--no-daemon", "--no-syslog", "--interface", "127.0.0.1", "--port", "0", "--spool-dir"];
        args.extend([spool.arg(), "--user", "root", "--server-tls"]);
        args.extend(options);
        let mut server = Daemon::spawn(Program::Emailrelay, &args);
        (server.wait().code(), server.lines().join("\n"))
    };
    let one = "--server-tls-certificate";
    for (options, expected) in [
        (vec![one, &missing], "tls error: cannot open ssl key file: no such file or directory: file=["),
        (
            vec![one, &key, one, &missing],
            "tls error: cannot open ssl certificate file: no such file or directory",
        ),
        (vec![one, &empty], "tls error: no start line: no private key in the file: file=["),
        (vec![one, &certificate, one, &key], "tls error: no start line: no private key in the file: file=["),
        (
            vec![one, &key, one, &other],
            "tls error: private key does not belong to the first certificate: file=[",
        ),
        (vec![one, &good, "--server-tls-verify", &empty], "tls error: no certificate or crl found: file=["),
        (vec![one, &good, "--tls-config=-tlsv1.1"], "tls-config: maximum protocol tlsv1.1 is not supported"),
        (vec![one, ""], "usage error: the --server-tls-certificate value must not be empty"),
    ] {
        let (code, log) = start(&options);
        assert_eq!(code, Some(1), "{options:?} {log}");
        assert!(log.contains(expected), "{options:?}: {log}");
    }
    drop(certificate);
}

#[test]
fn renewed_certificates_fail_no_session() {
    require!(need::program("python3"));
    let (spool, authority) = (TempSpool::new(), Authority::new());
    let server = server(&spool, &authority, &["--server-tls"]);
    let port = server.address().port().to_string();
    let mut load = Command::new(need::path("python3"));
    load.args(["-c", LOAD, &port, &authority.file()]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut load = load.spawn().unwrap();
    for round in 0..20 {
        authority.issue("server.pem", &["localhost"]);
        server.signal(Signal::SIGHUP);
        let seen = || {
            server.lines().iter().filter(|line| line.contains("using renewed certificate")).count() > round
        };
        wait_for("the renewed certificate", PATIENCE, || seen().then_some(()));
    }
    // Without a signal, and a bad one in between.
    authority.put("server.pem", "nothing");
    server.line("certificate not renewed, the old one stays in use: tls error: no start line");
    authority.issue("server.pem", &["localhost"]);
    let count = || server.lines().iter().filter(|line| line.contains("using renewed certificate")).count();
    wait_for("the file to be seen", PATIENCE, || (count() > 20).then_some(()));
    drop(load.stdin.take());
    let output = load.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let sent: usize = text.trim().parse().unwrap_or_else(|_| panic!("{text}"));
    assert!(output.status.success() && sent > 20, "{sent}");
    assert_eq!(spool.ready().len(), sent);
    // Some sessions have seen different certificates; the last one is in use now.
    python(SMTPLIB, &["starttls", &port, &authority.file()]);
}

/// Sessions one after the other on four threads until standard input ends; prints how many messages were taken.
const LOAD: &str = r#"
import smtplib, ssl, sys, threading
port, ca = int(sys.argv[1]), sys.argv[2]
context = ssl.create_default_context(cafile=ca)
stop, sent, lock = threading.Event(), [0], threading.Lock()
failed = []
def work():
    while not stop.is_set() and not failed:
        try:
            server = smtplib.SMTP("localhost", port)
            server.starttls(context=context)
            server.sendmail("a@example.com", ["b@example.com"], b"Subject: x\r\n\r\nx\r\n")
            server.quit()
            with lock: sent[0] += 1
        except Exception as error:
            failed.append(error)
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads: thread.start()
sys.stdin.read()
stop.set()
for thread in threads: thread.join()
if failed: raise failed[0]
print(sent[0])
"#;

#[test]
fn broken_handshakes_hurt_nobody_else() {
    require!(need::program("python3"));
    let (spool, authority) = (TempSpool::new(), Authority::new());
    let server = server(&spool, &authority, &["--server-tls-connection", "--connection-timeout", "2"]);
    let address = server.address();
    let hello = first_flight();
    let mut silent = TcpStream::connect(address).unwrap();
    // A disconnect after every part of a handshake, and garbage in its place.
    for cut in (0..hello.len()).step_by(61) {
        TcpStream::connect(address).unwrap().write_all(&hello[..cut]).unwrap();
    }
    for (at, noise) in [(5, 0xff), (9, 0xff), (44, 0xff), (0, 0x17), (hello.len() - 1, 0x55)] {
        let mut bytes = hello.clone();
        bytes[at] ^= noise;
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(&bytes).unwrap();
        stream.write_all(&[0x55; 2000]).unwrap();
        rest(&mut stream);
    }
    python(SMTPLIB, &["implicit", &address.port().to_string(), &authority.file()]);
    assert_eq!(rest(&mut silent), b"");
    server.line("smtp connection closed: tls handshake timeout: ");
    server.line("tls: tls error: accept: unexpected eof while reading");
    assert!(!server.lines().iter().any(|line| line.contains("panic")), "{:#?}", server.lines());
    assert_eq!(spool.ready().len(), 1);
}

/// The bytes with which a client begins, recorded from one.
fn first_flight() -> Vec<u8> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let client = std::thread::spawn(move || {
        let script = "import socket,ssl,sys\nc=ssl.create_default_context()\ntry: c.wrap_socket(socket.create_connection(('127.0.0.1',int(sys.argv[1]))),server_hostname='localhost')\nexcept OSError: pass";
        Command::new(need::path("python3")).args(["-c", script, &port]).output().unwrap()
    });
    let (mut stream, _) = listener.accept().unwrap();
    let mut bytes = vec![0; 16 * 1024];
    let count = stream.read(&mut bytes).unwrap();
    drop(stream);
    client.join().unwrap();
    bytes.truncate(count);
    assert!(bytes.starts_with(&[0x16, 3]) && count > 100, "{count}");
    bytes
}

#[test]
fn a_thousand_half_open_handshakes_leave_memory_and_service() {
    require!(need::program("python3"));
    let (spool, authority) = (TempSpool::new(), Authority::new());
    let options = ["--server-tls-connection", "--smtp-max-connections", "1500"];
    let server = server(&spool, &authority, &options);
    let address = server.address();
    let port = address.port().to_string();
    python(SMTPLIB, &["implicit", &port, &authority.file()]);
    let before = server.memory();
    let hello = first_flight();
    let half: Vec<TcpStream> = (0..1000)
        .map(|number| {
            let mut stream = TcpStream::connect(address).unwrap();
            // Every second one says nothing at all.
            stream.write_all(if number % 2 == 0 { &hello[..hello.len() / 2] } else { b"" }).unwrap();
            stream
        })
        .collect();
    // 256 of them have the places for handshakes, and have to give them up for who waits.
    python(SMTPLIB, &["implicit", &port, &authority.file()]);
    let grown = server.memory().saturating_sub(before);
    assert!(grown < 24 * 1024, "{grown} KiB for 1000 half-open handshakes");
    drop(half);
    python(SMTPLIB, &["implicit", &port, &authority.file()]);
    assert_eq!(spool.ready().len(), 3);
}
