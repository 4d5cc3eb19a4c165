//! What a connection may cost, whatever its client does: the figures of docs/limits.md.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::socket::{getsockopt, sockopt};

use crate::support::PATIENCE;
use crate::support::certs::Authority;
use crate::support::client::SmtpClient;
use crate::support::daemon::Daemon;
use crate::support::need::{self, require};
use crate::support::spool::TempSpool;
use crate::support::wait_for;

/// KiB of a connection that waits for a command, in clear and encrypted.
const IDLE: u64 = 8;
const IDLE_TLS: u64 = 16;
/// KiB of a command line that has not ended.
const LINE: u64 = 4;
/// KiB of one whose client does its worst, the recipients of its message aside.
const BUSY: u64 = 256;
/// KiB of the recipients of one message.
const RECIPIENTS: u64 = 2048;

/// KiB that one more connection takes, when so many clients of a new server have done this and the server has answered.
fn cost(clients: usize, act: impl Fn(&mut SmtpClient)) -> u64 {
    let spool = TempSpool::new();
    let server = Daemon::quiet_server(&spool, &["--server-smtp-config=+chunking"]);
    // What every process needs once is not the client's.
    SmtpClient::connect(server.address()).send("a@example.com", &["b@example.com"], b"x\r\n");
    let before = server.memory();
    let clients: Vec<SmtpClient> = (0..clients)
        .map(|_| {
            let mut client = SmtpClient::connect(server.address());
            act(&mut client);
            client
        })
        .collect();
    let grown = server.memory().saturating_sub(before);
    grown / u64::try_from(clients.len()).unwrap()
}

/// Sends until the server takes no more.
fn flood(client: &mut SmtpClient, bytes: &[u8]) {
    let stream = client.stream();
    stream.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    while stream.write(bytes).is_ok() {}
}

fn begin(client: &mut SmtpClient) {
    for command in ["MAIL FROM:<a@example.com>", "RCPT TO:<b@example.com>"] {
        assert_eq!(client.command(command).code, 250, "{command}");
    }
}

/// A chunk of this size, and its reply.
fn chunk(client: &mut SmtpClient, size: usize) {
    client.write(&[format!("BDAT {size}\r\n").into_bytes(), vec![b'x'; size]].concat()).unwrap();
    assert_eq!(client.reply().unwrap().code, 250);
}

#[test]
fn a_connection_costs_what_the_documentation_says() {
    let idle = cost(400, |_| {});
    let half = cost(200, |client| {
        client.write(&[b"NOOP\r\nNOOP ".to_vec(), vec![b'x'; 4080]].concat()).unwrap();
        assert_eq!(client.reply().unwrap().code, 250);
    });
    let memory = cost(50, |client| {
        begin(client);
        chunk(client, 60_000);
    });
    let disk = cost(50, |client| {
        begin(client);
        (0..3).for_each(|_| chunk(client, 65_535));
    });
    let deaf = cost(5, |client| flood(client, &b"NOOP\r\n".repeat(10_000)));
    eprintln!("KiB: idle {idle}, half a line {half}, content {memory}, on disk {disk}, deaf {deaf}");
    assert!(idle <= IDLE && half <= IDLE + LINE);
    assert!(memory >= 60, "the measure is blind");
    assert!(memory.max(disk).max(deaf) <= BUSY);
}

/// Makes so many secure sessions that wait for a command, says so, and keeps them until standard input ends.
const SECURE: &str = r#"
import smtplib, ssl, sys
port, ca, count = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
context = ssl.create_default_context(cafile=ca)
held = []
for number in range(count):
    server = smtplib.SMTP("localhost", port)
    server.starttls(context=context)
    server.ehlo()
    held.append(server)
print("held", flush=True)
sys.stdin.read()
"#;

#[test]
fn a_secure_connection_costs_what_the_documentation_says() {
    require!(need::program("python3"));
    const COUNT: u64 = 200;
    let (spool, authority) = (TempSpool::new(), Authority::new());
    let pem = authority.issue("server.pem", &["localhost"]);
    let server = Daemon::quiet_server(&spool, &["--server-tls", "--server-tls-certificate", &pem]);
    let port = server.address().port().to_string();
    let hold = |count: u64| {
        let mut python = Command::new(need::path("python3"));
        python.args(["-c", SECURE, &port, &authority.file(), &count.to_string()]);
        let mut python = python.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = [0; 5];
        python.stdout.as_mut().unwrap().read_exact(&mut said).unwrap();
        assert_eq!(&said, b"held\n");
        python
    };
    // What every process needs once is not the client's.
    let mut first = hold(5);
    let before = server.memory();
    let mut held = hold(COUNT);
    let each = server.memory().saturating_sub(before) / COUNT;
    eprintln!("KiB: idle over TLS {each}");
    for python in [&mut first, &mut held] {
        drop(python.stdin.take());
        assert!(python.wait().unwrap().success());
    }
    assert!(each >= 4, "the measure is blind");
    assert!(each <= IDLE_TLS);
}

#[test]
fn recipients_of_any_length_stay_within_their_bound() {
    let long = cost(10, |client| {
        assert_eq!(client.command("MAIL FROM:<a@example.com>").code, 250);
        let command = format!("RCPT TO:<{}@example.com>\r\n", "x".repeat(900));
        let mut refused = 0;
        for _ in 0..20 {
            client.write(command.repeat(100).as_bytes()).unwrap();
            refused += (0..100).filter(|_| client.reply().unwrap().code == 452).count();
        }
        assert!(refused > 1000, "{refused}");
    });
    eprintln!("recipients {long} KiB");
    assert!((500..=RECIPIENTS).contains(&long));
    let spool = TempSpool::new();
    let server = Daemon::quiet_server(&spool, &[]);
    // What was accepted is stored: the envelope has room for it.
    let mut client = SmtpClient::connect(server.address());
    assert_eq!(client.command("MAIL FROM:<a@example.com>").code, 250);
    let to = format!("{}@example.com", "x".repeat(900));
    let accepted = (0..1000).filter(|_| client.command(&format!("RCPT TO:<{to}>")).code == 250).count();
    assert_eq!(client.command("DATA").code, 354);
    client.write(b".\r\n").unwrap();
    assert_eq!(client.reply().unwrap().lines, ["message processed"]);
    assert_eq!(spool.envelope(&spool.ready()[0]).all("To-Remote").len(), accepted);
}

#[test]
fn nolinger_closes_with_a_reset() {
    for (keywords, reset) in [("", false), ("nolinger", true)] {
        let spool = TempSpool::new();
        let server = Daemon::quiet_server(&spool, &["--server-smtp-config", keywords, "--log"]);
        let mut stream = TcpStream::connect(server.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(b"QUIT\r\n").unwrap();
        let mut text = String::new();
        // The last reply arrives in either case.
        match stream.read_to_string(&mut text) {
            Ok(_) => {}
            Err(error) => assert_eq!((error.kind(), reset), (ErrorKind::ConnectionReset, true)),
        }
        assert!(text.ends_with("\r\n221 OK\r\n"), "{text}");
        server.line("smtp connection closed: smtp protocol done");
        let error = || getsockopt(&stream, sockopt::SocketError).unwrap();
        if reset {
            wait_for("the reset", PATIENCE, || (error() != 0).then_some(()));
        } else {
            assert_eq!(error(), 0);
        }
    }
}
