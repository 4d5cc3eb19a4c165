//! A real spamd: `spam:`, `spam-edit:`, and the program that pipes through spamc.

use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use super::{line, server};
use crate::support::client::SmtpClient;
use crate::support::need::{self, require};
use crate::support::spool::TempSpool;
use crate::support::{PATIENCE, free_port, loopback, package, wait_for};

/// SpamAssassin's test string: every installation takes it for spam.
const GTUBE: &[u8] = b"From: a@example.com\r\nTo: b@example.net\r\nSubject: offer\r\nDate: Thu, 26 Nov 2026 12:00:00 +0000\r\n\
Message-ID: <1@example.com>\r\n\r\nXJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X\r\n";

const HAM: &[u8] = b"From: a@example.com\r\nTo: b@example.net\r\nSubject: lunch\r\nDate: Thu, 26 Nov 2026 12:00:00 +0000\r\n\
Message-ID: <2@example.com>\r\n\r\nShall we have lunch on Friday?\r\n.. and a dot\r\n";

/// spamd with local tests only, without rights, on a port of its own.
struct Spamd {
    child: Child,
    port: u16,
    _home: tempfile::TempDir,
}

impl Spamd {
    fn start() -> Self {
        let home = tempfile::tempdir().unwrap();
        let port = free_port();
        let mut command = Command::new(need::path("spamd"));
        command
            .args(["--local", "--max-children=2", "--min-children=1", "--nouser-config", "--syslog=stderr"])
            .args(["--listen=127.0.0.1", &format!("--port={port}")])
            .arg(format!("--helper-home-dir={}", home.path().display()))
            .env("HOME", home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if crate::support::is_root() {
            command.arg("--username=nobody");
            let owner = nix::unistd::User::from_name("nobody").unwrap().unwrap();
            nix::unistd::chown(home.path(), Some(owner.uid), None).unwrap();
        }
        let child = command.spawn().unwrap();
        let spamd = Self { child, port, _home: home };
        // It compiles its rules first.
        wait_for("spamd", PATIENCE * 4, || TcpStream::connect(loopback(port)).ok());
        spamd
    }
}

impl Drop for Spamd {
    fn drop(&mut self) {
        // Its children end with it.
        let pid = nix::unistd::Pid::from_raw(self.child.id().try_into().unwrap());
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        let _ = self.child.wait();
    }
}

#[test]
fn spam_is_refused_or_marked_and_the_rest_passes() {
    require!(need::program("spamd"), need::program("spamc"));
    let spamd = Spamd::start();
    let address = format!("127.0.0.1:{}", spamd.port);
    let send = |filter: &str, content: &[u8]| {
        let spool = TempSpool::new();
        let server = server(&spool, &[filter]);
        let mut client = SmtpClient::connect(server.address());
        let reply = client.try_send("a@example.com", &["b@example.net"], content).unwrap();
        client.command("QUIT");
        server.line("smtp connection closed");
        let stored = spool.ready().first().map(|name| String::from_utf8(spool.content(name)).unwrap());
        (line(&reply), stored, server.lines(), spool.files().len())
    };

    for option in ["", ";check", ";user=nobody"] {
        let (reply, stored, log, _) = send(&format!("spam:{address}{option}"), GTUBE);
        assert_eq!((reply.as_str(), stored), ("452 rejected", None), "{option}");
        assert!(log.iter().any(|line| line.contains("rejected by filter: [spam: True ; ")), "{log:#?}");
        let (reply, stored, ..) = send(&format!("spam:{address}{option}"), HAM);
        assert_eq!(reply, "250 message processed", "{option}");
        assert!(stored.unwrap().ends_with("lunch on Friday?\r\n.. and a dot\r\n"));
    }
    assert_eq!(send(&format!("spam:{address};code=550"), GTUBE).0, "550 rejected");
    let (reply, ..) = send(&format!("spam:{address};max=10"), GTUBE);
    assert_eq!(reply, "250 message processed");

    let (reply, stored, _, files) = send(&format!("spam-edit:{address}"), GTUBE);
    let text = stored.unwrap();
    assert_eq!((reply.as_str(), files), ("250 message processed", 2));
    assert!(text.contains("X-Spam-Flag: YES") && text.contains("GTUBE-STANDARD"), "{text}");
    let (_, stored, ..) = send(&format!("spam-edit:{address}"), HAM);
    let text = stored.unwrap();
    assert!(text.contains("X-Spam-Status: No") && text.contains("lunch on Friday?"), "{text}");

    let script = package().join("examples/filters/spam-pipe.sh");
    let pipe = format!("exec:{} -d 127.0.0.1 -p {}", script.display(), spamd.port);
    let (reply, stored, _, files) = send(&pipe, GTUBE);
    assert_eq!((reply.as_str(), files), ("250 message processed", 2));
    assert!(stored.unwrap().contains("X-Spam-Flag: YES"));
}

/// Without spamd: answers that are none, and what is made of them.
#[test]
fn answers_that_are_none_refuse_for_now_and_leave_the_content() {
    use std::io::{Read as _, Write as _};
    for (answer, edit, reply) in [
        ("SPAMD/1.1 76 Bad header line\r\n\r\n", false, "452 rejected"),
        ("HTTP/1.1 200 OK\r\n\r\n", true, "452 rejected"),
        ("SPAMD/1.1 0 EX_OK\r\nSpam: False ; 1 / 5\r\n\r\n", false, "452 rejected"),
        ("SPAMD/1.1 0 EX_OK\r\nContent-length: 9\r\nSpam: False ; 1 / 5\r\n\r\nshort", true, "452 rejected"),
        ("SPAMD/1.1 0 EX_OK\r\nContent-length: 2\r\nSpam: False ; 1 / 5\r\n\r\nlonger", true, "452 rejected"),
        (
            "SPAMD/1.1 0 EX_OK\r\nContent-length: 9\r\nSpam: False ; 1 / 5\r\n\r\nshort",
            false,
            "250 message processed",
        ),
        (
            "SPAMD/1.1 0 EX_OK\r\nContent-length: 5\r\nSpam: True ; 9 / 5\r\n\r\nno lf",
            true,
            "250 message processed",
        ),
        ("", true, "452 rejected"),
    ] {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let text = answer.to_owned();
        let asked = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"hello content\r\n") {
                let mut chunk = [0; 1024];
                let count = stream.read(&mut chunk).unwrap();
                request.extend_from_slice(&chunk[..count]);
            }
            stream.write_all(text.as_bytes()).unwrap();
            String::from_utf8(request).unwrap()
        });
        let spool = TempSpool::new();
        let kind = if edit { "spam-edit" } else { "spam" };
        let server = server(&spool, &[&format!("{kind}:{address}"), "--anonymous=content"]);
        assert_eq!(line(&super::send(&server)), reply, "{answer}");
        let request = asked.join().unwrap();
        let length = super::CONTENT.len();
        assert!(
            request.starts_with(&format!("PROCESS SPAMC/1.4\r\nContent-length: {length}\r\n\r\nSubject: "))
        );
        if reply.starts_with('4') {
            server.line("spamd interaction failed: ");
            assert!(spool.files().is_empty(), "{:?}", spool.files());
        } else if edit {
            assert_eq!(spool.content(&spool.ready()[0]), b"no lf");
        }
    }
}
