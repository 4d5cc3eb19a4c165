//! The POP3 server as a program: what is served, what is deleted, who is kept out.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::support::client::SmtpClient;
use crate::support::daemon::{Daemon, Program, forward};
use crate::support::need::{self, require};
use crate::support::pop::PopClient;
use crate::support::sink::SmtpSink;
use crate::support::spool::{TempSpool, list};
use crate::support::{PATIENCE, is_root, wait_for};

/// Accounts of every test.
const ACCOUNTS: &str =
    "server plain alice secret1\nserver plain bob b+20b\nserver plain a/b x\nserver plain .. x\n";

/// A spool with a secrets file beside it.
pub(crate) struct PopSpool {
    pub(crate) spool: TempSpool,
    _dir: TempDir,
    pub(crate) secrets: PathBuf,
}

impl PopSpool {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let secrets = dir.path().join("pop.auth");
        fs::write(&secrets, ACCOUNTS).unwrap();
        Self { spool: TempSpool::new(), _dir: dir, secrets }
    }

    /// Puts a message in, as another program would.
    pub(crate) fn put(&self, name: &str, content: &[u8]) {
        put(self.spool.path(), name, content);
    }

    /// `emailrelay` with POP on a port of the kernel's choice.
    pub(crate) fn serve(&self, more: &[&str]) -> Daemon {
        let secrets = self.secrets.to_str().unwrap();
        Daemon::quiet_server(
            &self.spool,
            &[&["--pop", "--pop-port", "0", "--pop-auth", secrets], more].concat(),
        )
    }
}

/// Puts a message into a directory: content first, then the envelope under its name.
pub(crate) fn put(dir: &Path, name: &str, content: &[u8]) {
    fs::write(dir.join(format!("{name}.content")), content).unwrap();
    fs::write(dir.join("tmp"), "X-MailRelay-Format: #2821.8\r\n").unwrap();
    fs::rename(dir.join("tmp"), dir.join(format!("{name}.envelope"))).unwrap();
}

#[test]
fn mail_is_read_kept_and_deleted() {
    let pop = PopSpool::new();
    let server = pop.serve(&[]);
    let mut smtp = SmtpClient::connect(server.address());
    let letters: [&[u8]; 3] =
        [b"Subject: 1\r\n\r\n.dot\r\n..\r\n", b"Subject: 2\r\n\r\n\xff\0\r\n", b"Subject: 3\r\n\r\n"];
    for letter in letters {
        smtp.send("a@example.com", &["b@example.com"], letter);
    }
    let stored: Vec<Vec<u8>> = pop.spool.ready().iter().map(|name| pop.spool.content(name)).collect();
    let mut client = PopClient::login(server.pop_address(), "alice", "secret1");
    let total: usize = stored.iter().map(Vec::len).sum();
    assert_eq!(client.command("STAT"), format!("+OK 3 {total}"));
    for (at, content) in stored.iter().enumerate() {
        assert_eq!(&client.retrieve(at + 1), content);
    }
    let names: Vec<String> = client.lines("UIDL");
    assert!(names.iter().zip(pop.spool.ready()).all(|(uid, envelope)| {
        uid.split_once(' ').unwrap().1 == envelope.replace(".envelope", ".content")
    }));
    assert_eq!(client.command("DELE 2"), "+OK");
    assert_eq!(pop.spool.ready().len(), 3, "nothing is deleted before QUIT");
    client.quit();
    assert_eq!(pop.spool.files().len(), 4);
    server.line("pop authentication of alice connected from 127.0.0.1:");
    server.line("pop connection closed: pop protocol done: 127.0.0.1:");
    assert!(server.stop().success());
}

#[test]
fn only_quit_deletes() {
    let pop = PopSpool::new();
    (0..3).for_each(|n| pop.put(&format!("m{n}"), b"x\r\n"));
    let server = pop.serve(&[]);
    let mut client = PopClient::login(server.pop_address(), "alice", "secret1");
    assert_eq!(client.command("DELE 1"), "+OK");
    drop(client);
    server.line("pop connection closed: peer disconnected: 127.0.0.1:");
    let mut client = PopClient::login(server.pop_address(), "alice", "secret1");
    assert_eq!(client.command("DELE 1"), "+OK");
    server.signal(Signal::SIGTERM);
    assert_eq!(client.line(), "-ERR [SYS/TEMP] server is shutting down");
    assert_eq!(client.rest(), b"");
    drop(server);
    assert_eq!(pop.spool.ready().len(), 3);
    let server = pop.serve(&["--pop-no-delete"]);
    let mut client = PopClient::login(server.pop_address(), "alice", "secret1");
    assert_eq!(client.command("DELE 1"), "+OK");
    client.quit();
    assert_eq!(pop.spool.ready().len(), 3);
}

#[test]
fn each_user_has_a_mailbox_by_name() {
    let pop = PopSpool::new();
    pop.put("main", b"main\r\n");
    let server = pop.serve(&["--pop-by-name", "--verbose"]);
    let mut alice = PopClient::login(server.pop_address(), "alice", "secret1");
    server.line("created pop-by-name sub-directory [alice]");
    assert_eq!(alice.command("STAT"), "+OK 0 0");
    let mut second = PopClient::connect(server.pop_address());
    second.command("USER alice");
    assert_eq!(second.command("PASS secret1"), "-ERR [IN-USE] mailbox is in use");
    alice.quit();
    for dir in ["alice", "bob"] {
        let dir = pop.spool.path().join(dir);
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("shared.envelope"), "").unwrap();
    }
    fs::write(pop.spool.path().join("shared.content"), "shared\r\n").unwrap();
    assert_eq!(second.command("PASS secret1"), "+OK", "the first session has given the mailbox back");
    assert_eq!(second.retrieve(1), b"shared\r\n");
    assert_eq!(second.command("DELE 1"), "+OK");
    second.quit();
    assert!(pop.spool.path().join("shared.content").exists(), "bob needs it");
    let mut bob = PopClient::login(server.pop_address(), "bob", "b b");
    assert_eq!(bob.command("DELE 1"), "+OK");
    bob.quit();
    assert_eq!(pop.spool.files(), ["main.content", "main.envelope"]);
    for name in ["a/b", ".."] {
        let mut client = PopClient::connect(server.pop_address());
        client.command(&format!("USER {name}"));
        assert_eq!(client.command("PASS x"), "-ERR [SYS/PERM] invalid mailbox name");
    }
    fs::write(pop.spool.path().join("carol"), "").unwrap();
    fs::write(&pop.secrets, "server plain carol x\n").unwrap();
    // The file is looked at no more often than once a second.
    wait_for("the new account", PATIENCE, || {
        let mut client = PopClient::connect(server.pop_address());
        client.command("USER carol");
        (client.command("PASS x") == "-ERR [SYS/TEMP] mailbox unavailable").then_some(())
    });
}

#[test]
fn wrong_passwords_are_refused_and_the_third_is_the_last() {
    let pop = PopSpool::new();
    let server = pop.serve(&["--log-format=address"]);
    let mut client = PopClient::connect(server.pop_address());
    client.command("USER alice");
    for _ in 0..2 {
        assert_eq!(client.command("PASS wrong"), "-ERR [AUTH] authentication failed");
    }
    assert_eq!(client.command("PASS wrong"), "-ERR [AUTH] too many failures");
    assert_eq!(client.rest(), b"");
    // What fail2ban looks for.
    let line = server.line("failed authentication of remote client using mechanism [plain]");
    assert!(line.contains("emailrelay: warning: 127.0.0.1; failed authentication"), "{line}");
    assert!(!server.lines().concat().contains("wrong"));
}

/// A thousand logins from this host, good and bad, at once: each has its answer, and nothing is left open.
#[test]
fn a_thousand_logins() {
    let pop = PopSpool::new();
    pop.put("m", b"x\r\n");
    let server = pop.serve(&["--pop-max-connections", "1000"]);
    let address = server.pop_address();
    PopClient::login(address, "alice", "secret1").quit();
    let before = server.descriptors();
    let workers: Vec<_> = (0..10)
        .map(|worker| {
            thread::spawn(move || {
                for round in 0..100 {
                    if (worker + round) % 2 == 0 {
                        PopClient::login(address, "alice", "secret1").quit();
                    } else {
                        let mut client = PopClient::connect(address);
                        client.command("USER alice");
                        assert_eq!(client.command("PASS x"), "-ERR [AUTH] authentication failed");
                    }
                }
            })
        })
        .collect();
    workers.into_iter().for_each(|worker| worker.join().unwrap());
    wait_for("all connections closed", PATIENCE, || (server.descriptors() <= before + 2).then_some(()));
}

#[test]
fn commands_behind_long_replies_are_answered_in_order() {
    let pop = PopSpool::new();
    let line = [&[b'x'; 70][..], b"\r\n"].concat();
    let letter = line.repeat(40_000);
    pop.put("big", &letter);
    let server = pop.serve(&[]);
    let mut client = PopClient::login(server.pop_address(), "alice", "secret1");
    let before = server.memory();
    client.write(&[&b"RETR 1\r\n".repeat(20)[..], b"NOOP\r\n"].concat());
    // Nobody reads for a while: the server must not gather what it cannot send.
    thread::sleep(Duration::from_millis(300));
    assert!(server.memory() < before + 4096, "{} KiB, then {}", before, server.memory());
    for _ in 0..20 {
        assert_eq!(client.line(), format!("+OK {} octets", letter.len()));
        assert_eq!(client.body(), letter);
    }
    assert_eq!(client.line(), "+OK");
    client.quit();
}

#[test]
fn a_client_that_dies_in_the_middle_loses_nothing() {
    let pop = PopSpool::new();
    pop.put("big", &b"line of text\r\n".repeat(500_000));
    (0..200).for_each(|n| pop.put(&format!("m{n:03}"), b"x\r\n"));
    let server = pop.serve(&[]);
    // In the middle of RETR.
    let mut client = PopClient::login(server.pop_address(), "alice", "secret1");
    client.write(b"DELE 2\r\nRETR 1\r\n");
    assert_eq!(client.line(), "+OK");
    client.line();
    drop(client);
    server.line("pop connection closed: peer disconnected");
    assert_eq!(pop.spool.ready().len(), 201);
    // In the middle of QUIT: each message is there with both files or with none.
    let mut client = PopClient::login(server.pop_address(), "alice", "secret1");
    let deletes: String = (2..=201).map(|n| format!("DELE {n}\r\n")).collect();
    client.write(format!("{deletes}QUIT\r\n").as_bytes());
    drop(client);
    wait_for("the end of the session", PATIENCE, || {
        (server.lines().iter().filter(|line| line.contains("pop connection closed")).count() == 2)
            .then_some(())
    });
    let (ready, contents) = (pop.spool.ready(), pop.spool.ending(".content"));
    assert_eq!(ready.len(), contents.len());
    assert!(ready.len() == 1 || ready.len() == 201, "{}", ready.len());
    assert!(server.stop().success());
}

/// Two POP users and a forwarder on one spool: every message goes to at least one of them, whole.
#[test]
fn two_clients_and_a_forwarder_share_a_spool() {
    require!(need::program("smtp-sink"));
    let pop = PopSpool::new();
    let server = pop.serve(&[]);
    let mut smtp = SmtpClient::connect(server.address());
    let total = 150;
    for n in 0..total {
        smtp.send(
            "a@example.com",
            &["b@example.com"],
            format!("Subject: {n}\r\n\r\nbody {n}\r\n").as_bytes(),
        );
    }
    let address = server.pop_address();
    let users: Vec<_> = (0..2)
        .map(|user| {
            thread::spawn(move || {
                let mut got = Vec::new();
                for _ in 0..30 {
                    let mut client = PopClient::login(address, "alice", "secret1");
                    let count = client.lines("LIST").len();
                    let mut marked = Vec::new();
                    for number in (1..=count).filter(|n| n % 7 == user) {
                        let first = client.command(&format!("RETR {number}"));
                        if first.starts_with("+OK") {
                            marked.push(client.body());
                            assert_eq!(client.command(&format!("DELE {number}")), "+OK");
                        } else {
                            assert_eq!(first, "-ERR [SYS/TEMP] message is gone");
                        }
                    }
                    let last = client.command("QUIT");
                    assert!(last == "+OK signing off" || last.starts_with("-ERR [SYS/PERM] some"), "{last}");
                    got.extend(marked);
                }
                got
            })
        })
        .collect();
    let sink = SmtpSink::start(&[]);
    let (_, log) = forward(&pop.spool, &sink.arg(), &[]);
    assert!(!log.iter().any(|line| line.contains("cannot open content file")), "{log:#?}");
    let got: Vec<Vec<u8>> = users.into_iter().flat_map(|user| user.join().unwrap()).collect();
    let _ = forward(&pop.spool, &sink.arg(), &[]);
    let sent = sink.messages();
    for n in 0..total {
        let ends = |content: &[u8], end: String| content.ends_with(end.as_bytes());
        let read = got.iter().any(|content| ends(content, format!("\r\nbody {n}\r\n")));
        // The sink writes LF.
        let forwarded = sent.iter().any(|message| ends(&message.content, format!("\nbody {n}\n")));
        assert!(read || forwarded, "{n}");
    }
    assert!(pop.spool.files().is_empty(), "{:?}", pop.spool.files());
}

#[test]
fn a_large_mailbox_opens_in_no_time() {
    let pop = PopSpool::new();
    let first = pop.spool.path().join("first");
    fs::File::create(&first).unwrap().write_all(b"Subject: x\r\n\r\nx\r\n").unwrap();
    let total = 20_000;
    for n in 0..total {
        fs::hard_link(&first, pop.spool.path().join(format!("emailrelay.1.1.{n}.content"))).unwrap();
        fs::hard_link(&first, pop.spool.path().join(format!("emailrelay.1.1.{n}.envelope"))).unwrap();
    }
    let server = pop.serve(&[]);
    // A list is shared once the time stamp of the directory tells whether it is still true.
    wait_for("a directory at rest", PATIENCE, || {
        let changed = fs::metadata(pop.spool.path()).unwrap().ctime();
        (changed + 3 < Timestamp::now().as_second()).then_some(())
    });
    let before = server.memory();
    let mut clients: Vec<PopClient> =
        (0..4).map(|_| PopClient::login(server.pop_address(), "alice", "secret1")).collect();
    for client in &mut clients {
        assert_eq!(client.command("STAT"), format!("+OK {total} {}", total * 17));
        assert_eq!(client.lines("UIDL").len(), total);
    }
    // Four sessions with one list of forty bytes a message.
    assert!(server.memory() < before + 8 * 1024, "{} KiB, then {}", before, server.memory());
}

#[test]
fn mistakes_end_the_start_with_a_reason() {
    let pop = PopSpool::new();
    let secrets = pop.secrets.to_str().unwrap();
    let missing = format!("{secrets}.missing");
    fs::write(format!("{secrets}.bad"), "server plain alice\n").unwrap();
    let bad = format!("{secrets}.bad");
    let fails = |args: &[&str], text: &str| {
        let mut all =
            vec!["--spool-dir", pop.spool.arg(), "--no-daemon", "--no-smtp", "--log", "--no-syslog"];
        if is_root() {
            all.extend(["--user", "root"]);
        }
        all.extend(args);
        let mut daemon = Daemon::spawn(Program::Emailrelay, &all);
        assert_eq!(daemon.wait().code(), Some(1));
        let lines = daemon.lines().join("\n");
        assert!(lines.contains(text), "{args:?}: {lines}");
    };
    fails(&["--pop-port", "0"], "pop options require --pop");
    fails(&["--pop", "--pop-port", "foo", "--pop-auth", secrets], "invalid value for --pop-port: \"foo\"");
    fails(
        &["--pop", "--pop-port", "0", "--pop-auth", &missing],
        &format!("cannot read secrets file: {missing}"),
    );
    fails(&["--pop", "--pop-port", "0", "--pop-auth", &bad], "invalid secrets file");
}

#[test]
fn the_role_program_serves_sockets_of_the_service_manager() {
    let pop = PopSpool::new();
    pop.put("m", b"x\r\n");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let secrets = pop.secrets.to_str().unwrap();
    let mut daemon = crate::support::activate::start(
        Program::Pop,
        &listener,
        "pop",
        &["--spool-dir", pop.spool.arg(), "--pop-auth", secrets, "--idle-exit", "1"],
    );
    let mut client = PopClient::login(address, "alice", "secret1");
    assert_eq!(client.retrieve(1), b"x\r\n");
    client.quit();
    // Nothing to do for a second: the socket stays, the program ends.
    assert!(daemon.wait().success());
    assert!(list(pop.spool.path()).len() == 2);
}
