//! The SMTP server as a program: what comes in, what is on disk, who is refused.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::support::client::SmtpClient;
use crate::support::daemon::{Daemon, Program};
use crate::support::need::{self, require};
use crate::support::spool::TempSpool;
use crate::support::{PATIENCE, wait_for};

const CONTENT: &[u8] = b"Subject: test\r\n\r\n.leading dot\r\nbody \xe4\r\n";

#[test]
fn an_accepted_message_is_two_files() {
    let spool = TempSpool::new();
    let server = Daemon::server(&spool, &["--domain", "relay.test"]);
    let mut client = SmtpClient::connect(server.address());
    client.send("a@example.com", &["b@example.com", "c@example.net"], CONTENT);
    let files = spool.files();
    assert_eq!(files.len(), 2, "{files:?}");
    assert!(files[0].starts_with("emailrelay.") && files[0].ends_with(".content"), "{files:?}");
    let envelope = spool.envelope(&files[1]);
    assert_eq!(envelope.first("Format"), "#2821.8");
    assert_eq!(envelope.first("From"), "a@example.com");
    assert_eq!(envelope.all("To-Remote"), ["b@example.com", "c@example.net"]);
    assert_eq!(envelope.first("Client"), "127.0.0.1");
    let content = spool.content(&files[1]);
    let (received, rest) = content.split_at(content.len() - CONTENT.len());
    let received = String::from_utf8_lossy(received).into_owned();
    assert_eq!(rest, CONTENT);
    assert!(
        received.starts_with("Received: from client.test ([127.0.0.1]) by relay.test with ESMTP ; "),
        "{received}"
    );
    assert_eq!(client.command("QUIT").lines, ["OK"]);
    assert!(server.stop().success());
}

#[test]
fn what_is_not_finished_leaves_nothing() {
    let spool = TempSpool::new();
    let server = Daemon::server(&spool, &[]);
    let mut client = SmtpClient::connect(server.address());
    client.command("MAIL FROM:<a@example.com>");
    client.command("RCPT TO:<b@example.com>");
    client.command("DATA");
    client.write(&vec![b'x'; 1 << 20]).unwrap();
    client.write(b"\r\n").unwrap();
    wait_for("the content file", PATIENCE, || (spool.files().len() == 1).then_some(()));
    drop(client);
    wait_for("its removal", PATIENCE, || spool.files().is_empty().then_some(()));
}

#[test]
fn a_large_message_is_stored_whole() {
    let spool = TempSpool::new();
    let server = Daemon::server(&spool, &["--anonymous=content"]);
    let content: Vec<u8> = (0..200_000).flat_map(|n| format!(".line {n}\r\n").into_bytes()).collect();
    SmtpClient::connect(server.address()).send("a@example.com", &["b@example.com"], &content);
    assert!(spool.content(&spool.ready()[0]) == content);
}

#[test]
fn a_thousand_clients_at_once_are_all_served() {
    let spool = TempSpool::new();
    let server = Daemon::server(&spool, &[]);
    let address = server.address();
    let mut streams: Vec<TcpStream> = (0..1000).map(|_| TcpStream::connect(address).unwrap()).collect();
    let workers: Vec<_> = streams
        .chunks_mut(50)
        .map(|chunk| chunk.iter().map(|stream| stream.try_clone().unwrap()).collect::<Vec<_>>())
        .map(|chunk| {
            thread::spawn(move || {
                for mut stream in chunk {
                    stream.set_read_timeout(Some(PATIENCE)).unwrap();
                    let dialogue: &[u8] =
                        b"EHLO x\r\nMAIL FROM:<a@b.c>\r\nRCPT TO:<d@e.f>\r\nDATA\r\nhi\r\n.\r\nQUIT\r\n";
                    stream.write_all(dialogue).unwrap();
                    let mut text = String::new();
                    stream.read_to_string(&mut text).unwrap();
                    assert!(text.ends_with("250 message processed\r\n221 OK\r\n"), "{text}");
                }
            })
        })
        .collect();
    for worker in workers {
        worker.join().unwrap();
    }
    assert_eq!(spool.ready().len(), 1000);
    assert!(server.stop().success());
}

#[test]
fn connection_limits_answer_421() {
    let spool = TempSpool::new();
    let server = Daemon::server(&spool, &["--smtp-max-connections", "2"]);
    let first = SmtpClient::connect(server.address());
    let _second = SmtpClient::connect(server.address());
    let third = SmtpClient::try_connect(server.address()).unwrap();
    assert_eq!((third.greeting.code, third.greeting.lines[0].as_str()), (421, "too many connections"));
    assert_eq!(third.rest(), b"");
    drop(first);
    wait_for("a place", PATIENCE, || {
        SmtpClient::try_connect(server.address()).ok().filter(|client| client.greeting.code == 220)
    });
}

#[test]
fn the_log_tells_the_story_of_a_delivery() {
    let spool = TempSpool::new();
    let server = Daemon::server(&spool, &["--verbose", "--domain=test.example.com"]);
    let mut client = SmtpClient::connect(server.address());
    client.command("EHLO client.test");
    client.send("a@example.com", &["b@example.com"], CONTENT);
    client.command("QUIT");
    let ready = spool.ready();
    let id = ready[0].trim_end_matches(".envelope");
    for text in [
        "info: smtp connection from 127.0.0.1:",
        "info: tx>>: \"220 test.example.com -- E-MailRelay V",
        "info: rx<<: \"MAIL FROM:<a@example.com>\"",
        &format!("info: new content file [{id}.content]"),
        "info: tx>>: \"250 sender <a@example.com> OK\"",
        "info: rx<<: [message content not logged]",
        "info: rx<<: \".\"",
        &format!("info: new envelope file [{id}.envelope.new]"),
        &format!("info: message stored [{id}]: from=<a@example.com>"),
        "info: tx>>: \"250 message processed\"",
        "info: smtp connection closed: smtp protocol done: 127.0.0.1:",
    ] {
        server.line(text);
    }
}

#[test]
fn running_out_of_descriptors_ends_nothing() {
    let spool = TempSpool::new();
    let mut command = std::process::Command::new("sh");
    let script = "ulimit -n 64 && exec \"$0\" \"$@\"";
    command.args([
        "-c",
        script,
        Program::Emailrelay.path(),
        "--no-daemon",
        "--log",
        "--no-syslog",
        "--user",
        "root",
    ]);
    command.args([
        "--interface",
        "127.0.0.1",
        "--port",
        "0",
        "--spool-dir",
        spool.arg(),
        "--smtp-max-connections",
        "1000",
    ]);
    let server = Daemon::start(command);
    let address = server.address();
    let crowd: Vec<TcpStream> = (0..500).filter_map(|_| TcpStream::connect(address).ok()).collect();
    server.line("too many open files");
    drop(crowd);
    server.line("accepting resumed");
    let mut client = wait_for("service", PATIENCE, || {
        SmtpClient::try_connect(address).ok().filter(|client| client.greeting.code == 220)
    });
    client.command("EHLO client.test");
    client.send("a@example.com", &["b@example.com"], CONTENT);
    assert!(server.stop().success());
}

#[test]
fn a_missing_spool_directory_answers_452_and_comes_back() {
    let spool = TempSpool::new();
    let server = Daemon::server(&spool, &[]);
    let mut client = SmtpClient::connect(server.address());
    let away = spool.path().with_extension("away");
    std::fs::rename(spool.path(), &away).unwrap();
    std::fs::create_dir(spool.path()).unwrap();
    std::fs::remove_dir(spool.path()).unwrap();
    std::fs::remove_dir(&away).unwrap();
    let reply = client.try_send("a@example.com", &["b@example.com"], CONTENT).unwrap();
    assert_eq!(reply.code, 452, "{reply:?}");
    assert_eq!(client.command("NOOP").code, 250);
}

#[test]
fn a_full_disk_answers_452_and_leaves_nothing() {
    require!(need::root());
    let dir = tempfile::tempdir().unwrap();
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"])
        .arg(dir.path())
        .status()
        .unwrap();
    assert!(mounted.success());
    let spool = dir.path().to_str().unwrap().to_owned();
    let args =
        ["--no-daemon", "--log", "--no-syslog", "--user", "root", "--interface", "127.0.0.1", "--port", "0"];
    let mut command = Program::Emailrelay.command();
    let server = Daemon::start({
        command.args(args).args(["--spool-dir", &spool]);
        command
    });
    let mut client = SmtpClient::connect(server.address());
    let big: Vec<u8> = b"0123456789abcdef\r\n".repeat(40_000);
    let reply = client.try_send("a@example.com", &["b@example.com"], &big).unwrap();
    let left = crate::support::spool::list(dir.path());
    let small = client.try_send("a@example.com", &["b@example.com"], CONTENT).unwrap();
    drop(client);
    let stopped = server.stop();
    std::process::Command::new("umount").arg(dir.path()).status().unwrap();
    assert_eq!(reply.code, 452, "{reply:?}");
    assert_eq!(left, Vec::<String>::new());
    assert_eq!(small.code, 250, "{small:?}");
    assert!(stopped.success());
}

#[test]
fn unix_and_abstract_sockets_serve() {
    let spool = TempSpool::new();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("smtp.s");
    let interface = format!("127.0.0.1,{}", path.display());
    let server = {
        let args = [
            "--no-daemon",
            "--log",
            "--no-syslog",
            "--user",
            "root",
            "--port",
            "0",
            "--interface",
            &interface,
        ];
        let mut command = Program::Emailrelay.command();
        command.args(args).args(["--spool-dir", spool.arg()]);
        Daemon::start(command)
    };
    server.line(&format!("smtp server on {}", path.display()));
    let mut stream = UnixStream::connect(&path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
        .write_all(b"EHLO x\r\nMAIL FROM:<a@b.c>\r\nRCPT TO:<d@e.f>\r\nDATA\r\nhi\r\n.\r\nQUIT\r\n")
        .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.contains("250 message processed"), "{text}");
    assert_eq!(spool.envelope(&spool.ready()[0]).first("Client"), "/");
    assert!(server.stop().success());
    assert!(!path.exists());
}

#[test]
fn a_stop_lets_the_message_in_hand_finish() {
    let spool = TempSpool::new();
    let server = Daemon::server(&spool, &[]);
    let mut idle = SmtpClient::connect(server.address());
    let mut client = SmtpClient::connect(server.address());
    client.command("MAIL FROM:<a@example.com>");
    client.command("RCPT TO:<b@example.com>");
    client.command("DATA");
    server.signal(Signal::SIGTERM);
    let bye = idle.reply().unwrap();
    assert_eq!(bye.code, 421, "{bye:?}");
    client.write(b"hello\r\n.\r\n").unwrap();
    assert_eq!(client.reply().unwrap().code, 250);
    assert_eq!(client.reply().unwrap().code, 421);
    let mut server = server;
    assert!(server.wait().success());
    assert_eq!(spool.ready().len(), 1);
}

#[test]
fn inherited_sockets_are_used_by_name_and_by_number() {
    require!(need::program("systemd-socket-activate"));
    let ways: [&[&str]; 3] = [&[], &["--interface", "fd:smtp"], &["--interface", "fd#3"]];
    for way in ways {
        let spool = TempSpool::new();
        let port = crate::support::free_port();
        let mut command = std::process::Command::new(need::path("systemd-socket-activate"));
        command.args(["-l", &format!("127.0.0.1:{port}"), "--fdname=smtp", Program::Smtp.path()]);
        command.args(["--spool-dir", spool.arg(), "--idle-exit", "1"]).args(way);
        let mut server = Daemon::start(command);
        let address = crate::support::loopback(port);
        wait_for("the listening socket", PATIENCE, || TcpStream::connect(address).ok());
        let mut client = SmtpClient::connect(address);
        client.send("a@example.com", &["b@example.com"], CONTENT);
        wait_for("the request for forwarding", Duration::from_secs(10), || {
            spool.files().contains(&"forward.request".to_owned()).then_some(())
        });
        client.command("QUIT");
        drop(client);
        server.line("idle");
        assert!(server.wait().success());
    }
}

#[test]
fn a_client_in_the_middle_of_a_message_cannot_hold_a_stop_up() {
    let spool = TempSpool::new();
    let mut server = Daemon::server(&spool, &["--stop-timeout", "1"]);
    let mut client = SmtpClient::connect(server.address());
    for command in ["MAIL FROM:<a@example.com>", "RCPT TO:<b@example.com>", "DATA"] {
        client.command(command);
    }
    client.write(&vec![b'x'; 1 << 20]).unwrap();
    wait_for("the content file", PATIENCE, || (spool.files().len() == 1).then_some(()));
    let began = Instant::now();
    server.signal(Signal::SIGTERM);
    assert!(server.wait().success());
    assert!((1..10).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    assert_eq!(spool.files(), Vec::<String>::new());
}

/// A second address of the loopback interface, gone with the test.
struct SecondAddress;

const SECOND: &str = "127.77.0.1";

impl SecondAddress {
    fn change(verb: &str) -> bool {
        let args = ["addr", verb, &format!("{SECOND}/32"), "dev", "lo"];
        std::process::Command::new(need::path("ip")).args(args).status().unwrap().success()
    }
}

impl Drop for SecondAddress {
    fn drop(&mut self) {
        Self::change("del");
    }
}

#[test]
fn addresses_of_named_interfaces_are_followed() {
    require!(need::root(), need::program("ip"));
    let (spool, port) = (TempSpool::new(), crate::support::free_port());
    let mut command = Program::Emailrelay.command();
    command.args(["--no-daemon", "--log", "--no-syslog", "--user", "root", "--port", &port.to_string()]);
    command.args(["--interface", "lo-ipv4", "--spool-dir", spool.arg()]);
    let server = Daemon::start(command);
    server.line(&format!("smtp server on 127.0.0.1:{port}"));
    let address = format!("{SECOND}:{port}").parse().unwrap();
    assert!(TcpStream::connect(address).is_err());
    assert!(SecondAddress::change("add"));
    let second = SecondAddress;
    server.line(&format!("new smtp server on {SECOND}:{port}"));
    SmtpClient::connect(address).send("a@example.com", &["b@example.com"], CONTENT);
    drop(second);
    server.line(&format!("deleting smtp server on {SECOND}:{port}"));
    wait_for("the end of the listener", PATIENCE, || TcpStream::connect(address).is_err().then_some(()));
    assert!(server.stop().success());
}

#[test]
fn an_interface_that_is_not_there_is_waited_for() {
    let spool = TempSpool::new();
    let mut command = Program::Emailrelay.command();
    command.args(["--no-daemon", "--log", "--no-syslog", "--user", "root", "--port", "0"]);
    command.args(["--interface", "nosuchif0", "--spool-dir", spool.arg()]);
    let server = Daemon::start(command);
    server.line("no addresses bound to named network interface \"nosuchif0\"");
    server.line("smtp server: nothing to do: waiting for interface \"nosuchif0\"");
    assert!(!server.lines().iter().any(|line| line.contains("smtp server on")), "{:?}", server.lines());
    assert!(server.stop().success());
}
