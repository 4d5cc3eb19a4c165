//! Messages that are handed to the SMTP role on its own socket, by callers who may not write the spool.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::support::container::Container;
use crate::support::daemon::{Daemon, Program};
use crate::support::need::{self, require};
use crate::support::relay::Relay;
use crate::support::rootfs::Rootfs;
use crate::support::spool::TempSpool;
use crate::support::{PATIENCE, is_root, wait_for};

/// A user that owns nothing.
const STRANGER: &str = "61234";

/// An SMTP role with a socket named `submit`, and a place that a stranger can read.
struct Handover {
    spool: TempSpool,
    dir: TempDir,
    server: Daemon,
}

/// What a run of a program gave.
#[derive(Debug)]
struct Run {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// Whether connections are taken: the name of a socket is there a moment before.
fn listens(socket: &Path) -> bool {
    // SO_ACCEPTCON among the flags: see proc_net_unix in the kernel's sources.
    let name = socket.to_str().unwrap();
    let sockets = fs::read_to_string("/proc/net/unix").unwrap();
    sockets.lines().any(|line| line.ends_with(name) && line.contains(" 00010000 "))
}

impl Handover {
    fn start(args: &[&str]) -> Self {
        let (spool, dir) = (TempSpool::new(), tempfile::tempdir().unwrap());
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let program = dir.path().join("emailrelay-submit");
        fs::copy(Program::Submit.path(), &program).unwrap();
        for name in ["sendmail", "mailq", "newaliases"] {
            symlink(&program, dir.path().join(name)).unwrap();
        }
        let socket = dir.path().join("submit");
        let mut command = Command::new(need::path("systemd-socket-activate"));
        command.arg("-l").arg(&socket).args([
            "--fdname=submit",
            Program::Smtp.path(),
            "--spool-dir",
            spool.arg(),
        ]);
        command.args(args);
        let server = Daemon::start(command);
        wait_for("the socket", PATIENCE, || listens(&socket).then_some(()));
        fs::set_permissions(&socket, fs::Permissions::from_mode(0o666)).unwrap();
        Self { spool, dir, server }
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("submit")
    }

    /// Runs `emailrelay-submit` on the socket, as a stranger if we are root.
    fn submit(&self, args: &[&str], input: &[u8]) -> Run {
        let program = self.dir.path().join("emailrelay-submit");
        let mut command = if is_root() {
            let mut command = Command::new(need::path("setpriv"));
            command.args(["--reuid", STRANGER, "--regid", STRANGER, "--clear-groups", "--no-new-privs"]);
            command.arg(program);
            command
        } else {
            Command::new(program)
        };
        run(command.arg("--socket").arg(self.socket()).args(args), input)
    }
}

/// The id that the envelope must show.
fn stranger() -> String {
    if is_root() { STRANGER.to_owned() } else { nix::unistd::getuid().to_string() }
}

fn run(command: &mut Command, input: &[u8]) -> Run {
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.unwrap();
    // A program that refuses its options reads nothing.
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Run { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

#[test]
fn a_stranger_hands_messages_over_and_the_envelope_says_who_it_was() {
    require!(need::program("systemd-socket-activate"), need::program("setpriv"));
    let secrets = tempfile::NamedTempFile::new().unwrap();
    fs::write(secrets.path(), "server plain bob right\n").unwrap();
    // Who is known already need not log in.
    let relay =
        Handover::start(&["--domain=test.example", "--server-auth", secrets.path().to_str().unwrap()]);
    // Everything that DATA would change or refuse, and more than one chunk.
    let body = "From: me@example.com\nTo: you@example.com\nBcc: hidden@example.com\n\n.\n..\nbare\rcr\n\n"
        .to_owned()
        + &"x".repeat(200_000);
    let sent = relay.submit(&["-v", "--from-auth-in="], body.as_bytes());
    assert_eq!((sent.code, sent.stderr.as_str()), (Some(0), ""));
    let ready = relay.spool.ready();
    let id = ready[0].trim_end_matches(".envelope");
    assert_eq!(sent.stdout, format!("/var/spool/emailrelay/{id}.content\n"));
    let envelope = relay.spool.envelope(&ready[0]);
    assert_eq!(envelope.first("Client"), format!("/uid={}", stranger()));
    assert_eq!((envelope.first("From"), envelope.first("MailFromAuthIn")), ("me@example.com", "<>"));
    assert_eq!(envelope.all("To-Remote"), ["you@example.com", "hidden@example.com"]);
    let content = String::from_utf8(relay.spool.content(&ready[0])).unwrap();
    let (received, rest) = content.split_once("\r\n").unwrap();
    assert!(
        received.contains(&format!("([/uid={}]) by test.example with ESMTP ; ", stranger())),
        "{received}"
    );
    let expected = body.replace("Bcc: hidden@example.com\n", "").replace('\n', "\r\n") + "\r\n";
    assert!(rest == expected, "byte for byte but for the Received line");
    relay.server.line(&format!("smtp connection from /uid={},gid=", stranger()));

    // One message for each Bcc recipient.
    let split = relay.submit(&["-bn"], b"From: me@x\nTo: a@x\nBcc: b@x, c@x\n\nhello\n");
    assert_eq!((split.code, split.stdout.lines().count()), (Some(0), 3), "{split:?}");
    assert_eq!(relay.spool.ready().len(), 4);
    assert!(relay.spool.files().contains(&"forward.request".to_owned()), "somebody forwards it");
}

#[test]
fn what_the_server_refuses_is_the_callers_to_know() {
    require!(need::program("systemd-socket-activate"), need::program("setpriv"));
    let relay = Handover::start(&["--size=1000", "--smtp-max-recipients=1"]);
    let big = relay.submit(&["-f", "me@x", "you@y"], &b"x\n".repeat(1000));
    assert_eq!(big.code, Some(65), "{big:?}");
    assert!(big.stderr.contains("message refused: 552 message size exceeds"), "{big:?}");
    let many = relay.submit(&["-f", "me@x", "a@y", "b@y"], b"\n");
    assert_eq!(many.code, Some(75), "{many:?}");
    assert!(many.stderr.contains("452 too many recipients"), "{many:?}");
    let forged = relay.submit(&["-f", "me@x", "-a", "admin", "a@y"], b"\n");
    assert_eq!(forged.code, Some(77), "{forged:?}");
    let syntax = relay.submit(&["-f", "me@x", "a@y> b"], b"\n");
    assert_eq!(syntax.code, Some(65), "{syntax:?}");
    assert_eq!(relay.spool.ready().len(), 0);
    assert_eq!(relay.spool.ending(".content").len(), 0, "nothing half stored");
    let gone =
        run(Command::new(Program::Submit.path()).args(["--socket", "/nonexistent/submit", "a@y"]), b"\n");
    assert_eq!(gone.code, Some(75));
    assert!(
        gone.stderr.contains("cannot connect to /nonexistent/submit: no such file or directory"),
        "{gone:?}"
    );
    // Commands cannot be smuggled in.
    let evil = relay.submit(&["-f", "me@x\r\nRCPT TO:<evil@y>", "a@y"], b"\n");
    assert_eq!(evil.code, Some(65), "{evil:?}");
}

#[test]
fn whoever_connects_gets_smtp_and_nothing_else() {
    require!(need::program("systemd-socket-activate"));
    let relay = Handover::start(&[]);
    let mut stream = UnixStream::connect(relay.socket()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 2 LAST\r\nhiQUIT\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let ready = relay.spool.ready();
    let id = ready[0].trim_end_matches(".envelope");
    assert!(text.ends_with(&format!("\r\n250 message processed: {id}\r\n221 OK\r\n")), "{text}");
}

#[test]
fn names_without_a_message() {
    let dir = tempfile::tempdir().unwrap();
    let called = |name: &str, args: &[&str]| {
        let path = dir.path().join(name);
        if !path.exists() {
            symlink(Program::Submit.path(), &path).unwrap();
        }
        run(Command::new(path).args(args), b"")
    };
    assert_eq!(called("newaliases", &[]).code, Some(0));
    assert_eq!(called("sendmail", &["-bi"]).code, Some(0));
    let daemon = called("sendmail", &["-bd", "-q30m"]);
    assert_eq!(
        (daemon.code, daemon.stderr.as_str()),
        (Some(64), "sendmail: error: -bd is for the servers: see emailrelay-smtp.socket\n")
    );
    assert_eq!(called("sendmail", &["-Z"]).code, Some(64));
}

/// A service as locked down as they come, that runs a script.
pub(crate) fn locked_down(container: &Container, script: &str) -> i32 {
    let properties = [
        "DynamicUser=yes",
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        "ProtectHome=yes",
        "PrivateTmp=yes",
        "PrivateDevices=yes",
        "PrivateNetwork=yes",
        "CapabilityBoundingSet=",
        "RestrictAddressFamilies=AF_UNIX",
        "SystemCallFilter=@system-service",
        "MemoryDenyWriteExecute=yes",
    ];
    let mut command = vec!["systemd-run", "--wait", "--pipe", "-q", "--unit=locked.service"];
    for property in &properties {
        command.extend(["-p", property]);
    }
    command.extend(["sh", "-euc", script]);
    container.try_run(&command).code
}

#[test]
fn sendmail_works_for_everybody_in_a_booted_system() {
    require!(Rootfs::missing());
    let relay = Relay::enabled_with(
        "forward-to 127.0.0.1:2526\nretry-first 1\nretry-max 2\ndomain = relay.example.com\n",
    );
    let container = &relay.container;
    container.systemctl(&["enable", "--now", "emailrelay-submit.socket"]);
    container.sh("ln -sf /usr/local/bin/emailrelay-submit /usr/local/sbin/sendmail; ln -sf /usr/local/bin/emailrelay-submit /usr/local/bin/mailq");
    assert_eq!(
        container.sh("stat -c %a /run/emailrelay/submit /usr/local/bin/emailrelay-submit"),
        "666\n755"
    );

    // Root writes the spool, a user and a locked-down service do not; all get the same mail.
    let message =
        r"printf 'To: you@example.com\nBcc: also@example.com\nSubject: from %s\n\nHello\n.\nworld\n' ";
    container.sh(&format!("{message} root | sendmail -t -oi -F 'Root, the first'"));
    container.sh(&format!("{message} nobody | setpriv --reuid nobody --regid nogroup --clear-groups --no-new-privs /usr/local/sbin/sendmail -i -t third@example.com"));
    assert_eq!(
        locked_down(container, &format!("{message} locked | /usr/local/sbin/sendmail -t -f app@example.com")),
        0
    );
    let sent = relay.hop().wait_accepted(3);
    for (subject, from, client) in [
        ("root", "root@relay.example.com", None),
        ("nobody", "nobody@relay.example.com", Some("([/uid=65534])")),
        ("locked", "app@example.com", Some("([/uid=6")),
    ] {
        let wire = |sent: &[u8]| String::from_utf8_lossy(sent).into_owned();
        let mail = sent
            .iter()
            .find(|mail| wire(&mail.content).contains(&format!("Subject: from {subject}\r\n")))
            .unwrap();
        let text = wire(&mail.content);
        assert_eq!(mail.mail.split(' ').next(), Some(&*format!("<{from}>")), "{text}");
        assert_eq!(mail.rcpt.len(), if subject == "nobody" { 3 } else { 2 }, "{:?}", mail.rcpt);
        assert!(!text.contains("Bcc") && text.contains("\r\n\r\nHello\r\n.\r\nworld\r\n"), "{text}");
        assert!(
            text.contains("Message-ID: <")
                && text.contains("Date: ")
                && text.contains("@relay.example.com>\r\n"),
            "{text}"
        );
        client.into_iter().for_each(|client| assert!(text.contains(client), "{text}"));
        if subject == "root" {
            assert!(text.contains("From: \"Root, the first\" <root@relay.example.com>\r\n"), "{text}");
        }
    }
    // The whole way of the one that no server has received is in the journal as well.
    let stored = container.journal(&["-o", "cat", "-t", "emailrelay-submit", "EMAILRELAY_PEER=/uid=0"]);
    let (_, id) = stored.split_once("message stored [").unwrap_or_else(|| panic!("{stored}"));
    let field = format!("EMAILRELAY_MSGID={}", id.split_once(']').unwrap().0);
    let way = wait_for("the end of the way", PATIENCE, || {
        let way = container.journal(&["-o", "cat", "--facility=mail", &field]);
        way.contains("message forwarded [").then_some(way)
    });
    assert!(way.starts_with("message stored ["), "{way}");
    let journal = container.journal(&["-o", "cat", "EMAILRELAY_PEER=/uid=65534"]);
    assert!(journal.contains("smtp connection from /uid=65534,gid=65534,pid="), "{journal}");

    // SMTP on standard input, and what waits.
    let dialogue = r"printf 'EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\nSubject: by hand\r\n\r\n.\r\nQUIT\r\n'";
    let said = container
        .sh(&format!("{dialogue} | setpriv --reuid nobody --regid nogroup --clear-groups sendmail -bs"));
    assert!(said.contains("250 message processed: emailrelay."), "{said}");
    relay.hop().wait_accepted(4);
    assert_eq!(container.sh("mailq"), "Mail queue is empty");
    container.systemctl(&[
        "stop",
        "emailrelay-forward.path",
        "emailrelay-forward.timer",
        "emailrelay-forward.service",
    ]);
    container.sh("printf 'it waits\nfor all\n' | sendmail -f me@example.com you@example.com");
    let content = container.sh("cat /var/spool/emailrelay/*.content").replace('\r', "");
    assert!(content.ends_with("\n\nit waits\nfor all"), "{content}");
    let listed = container.sh("sendmail -bp");
    let words: Vec<&str> = listed.split_whitespace().collect();
    assert!(words.contains(&"me@example.com") && words.contains(&"you@example.com"), "{listed}");
    assert!(listed.ends_with("-- 1 Kbytes in 1 Request."), "{listed}");
    let stranger = container.try_run(&["setpriv", "--reuid", "nobody", "--clear-groups", "mailq"]);
    assert_eq!(stranger.code, 75, "{stranger:?}");
}

#[test]
fn make_install_sendmail_takes_no_name_from_others() {
    require!(need::program("make"));
    let dir = tempfile::tempdir().unwrap();
    let make = |target: &str| {
        let mut make = Command::new("make");
        make.current_dir(crate::support::package()).args(["-s", target]);
        make.arg(format!("PREFIX={}", dir.path().display())).arg("DESTDIR=");
        run(&mut make, b"").code
    };
    let link = |name: &str| fs::read_link(dir.path().join(name)).ok();
    for folder in ["bin", "sbin"] {
        fs::create_dir(dir.path().join(folder)).unwrap();
    }
    fs::write(dir.path().join("bin/mailq"), "another program's").unwrap();
    assert_ne!(make("install-sendmail"), Some(0));
    assert_eq!(fs::read(dir.path().join("bin/mailq")).unwrap(), b"another program's");
    fs::remove_file(dir.path().join("bin/mailq")).unwrap();
    let _ = fs::remove_file(dir.path().join("sbin/sendmail"));
    assert_eq!(make("install-sendmail"), Some(0));
    assert_eq!(link("sbin/sendmail").as_deref(), Some(Path::new(&dir.path().join("bin/emailrelay-submit"))));
}
