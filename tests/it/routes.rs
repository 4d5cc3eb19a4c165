//! Where mail goes: several next hops at once, each with a fate of its own, and the way through proxies.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::support::client::SmtpClient;
use crate::support::daemon::{Daemon, Program, forward as run};
use crate::support::hop::{Script, ScriptedHop, Step};
use crate::support::need::{self, require};
use crate::support::spool::TempSpool;
use crate::support::{PATIENCE, free_port, loopback, wait_for};

/// What an envelope says of the way of its message.
#[derive(Default)]
pub(crate) struct Routing<'a> {
    pub(crate) forward_to: &'a str,
    pub(crate) address: &'a str,
    pub(crate) selector: &'a str,
}

/// Puts one message into the spool whose envelope names this destination and account.
pub(crate) fn routed(spool: &TempSpool, id: &str, address: &str, selector: &str) {
    route(spool, id, &Routing { address, selector, ..Routing::default() });
}

/// Puts one message into the spool.
pub(crate) fn route(spool: &TempSpool, id: &str, routing: &Routing<'_>) {
    let recipient = format!("{id}@example.com");
    let envelope = [
        "X-MailRelay-Format: #2821.8",
        "X-MailRelay-Content: 8bit",
        "X-MailRelay-From: a@example.com",
        "X-MailRelay-ToCount: 1",
        &format!("X-MailRelay-To-Remote: {recipient}"),
        "X-MailRelay-Authentication:",
        "X-MailRelay-Client: 127.0.0.1",
        "X-MailRelay-ClientCertificate:",
        "X-MailRelay-MailFromAuthIn:",
        "X-MailRelay-MailFromAuthOut:",
        &with_value("X-MailRelay-ForwardTo:", routing.forward_to),
        &with_value("X-MailRelay-ForwardToAddress:", routing.address),
        &with_value("X-MailRelay-ClientAccountSelector:", routing.selector),
        "X-MailRelay-Utf8MailboxNames: 0",
        "X-MailRelay-End: 1",
        "",
    ];
    std::fs::write(spool.path().join(format!("{id}.content")), b"Subject: x\r\n\r\nbody\r\n").unwrap();
    std::fs::write(spool.path().join(format!("{id}.envelope")), envelope.join("\r\n")).unwrap();
}

fn with_value(name: &str, value: &str) -> String {
    if value.is_empty() { name.to_owned() } else { format!("{name} {value}") }
}

/// Recipients that the hop has accepted, sorted.
pub(crate) fn recipients(hop: &ScriptedHop) -> Vec<String> {
    let mut all: Vec<String> = hop.accepted().iter().map(|delivery| delivery.rcpt[0].clone()).collect();
    all.sort();
    all
}

#[test]
fn a_dead_and_a_hanging_destination_hold_up_nobody() {
    let spool = TempSpool::new();
    let good = ScriptedHop::start(Script::well());
    // Takes connections and says nothing.
    let hanging = TcpListener::bind(loopback(0)).unwrap();
    let dead = format!("127.0.0.1:{}", free_port());
    let hang = hanging.local_addr().unwrap().to_string();
    for number in 0..6 {
        routed(&spool, &format!("a{number}-hang"), &hang, "");
        routed(&spool, &format!("b{number}-dead"), &dead, "");
        routed(&spool, &format!("c{number}-good"), &good.arg(), "");
    }
    let args = ["--spool-dir", spool.arg(), "--forward-to", &dead, "--response-timeout", "600"];
    let forward = Daemon::spawn(Program::Forward, &[&args[..], &["--prompt-timeout", "600"]].concat());
    // While the other one hangs.
    good.wait_accepted(6);
    wait_for("only the others left", PATIENCE, || {
        spool.files().iter().all(|name| !name.contains("good")).then_some(())
    });
    forward.line(&format!("connect failure: cannot connect to {dead}"));
    forward.signal(Signal::SIGTERM);
    drop(hanging);
    assert_eq!(forward.stop().code(), Some(75));
    assert_eq!((spool.ready().len(), spool.busy().len(), spool.bad().len()), (12, 0, 0));
}

#[test]
fn a_malformed_destination_fails_its_message_alone() {
    let (spool, hop) = (TempSpool::new(), ScriptedHop::start(Script::well()));
    routed(&spool, "a", "rubbish", "");
    routed(&spool, "b", "", "");
    routed(&spool, "c", &hop.arg(), "");
    assert_eq!(run(&spool, &hop.arg(), &[]).0, 0);
    assert_eq!(spool.bad(), ["a.envelope.bad"]);
    let envelope = spool.envelope("a.envelope.bad");
    assert_eq!(envelope.first("Reason"), "invalid host:service format: rubbish");
    assert_eq!(recipients(&hop), ["<b@example.com>", "<c@example.com>"]);
}

#[test]
fn a_refusing_destination_ends_nobody_elses_run() {
    let spool = TempSpool::new();
    let refusing = ScriptedHop::start(Script {
        greeting: Step::ReplyClose("554 5.3.2 go away".to_owned()),
        ..Script::well()
    });
    let good = ScriptedHop::start(Script::well());
    routed(&spool, "a", &refusing.arg(), "");
    routed(&spool, "b", "", "");
    let (code, _) = run(&spool, &good.arg(), &[]);
    assert_eq!(code, 75);
    assert_eq!(spool.ready(), ["a.envelope"]);
    assert_eq!(recipients(&good), ["<b@example.com>"]);
}

#[test]
fn a_lone_message_does_not_wait_behind_a_slow_transfer() {
    // The first message's recipient is something to think about; for the others the hop is well.
    let script = Script { rcpt_for: vec![("a@".to_owned(), Step::Silent)], ..Script::well() };
    let (spool, hop) = (TempSpool::new(), ScriptedHop::start(script));
    routed(&spool, "a", "", "");
    let address = hop.arg();
    let args = ["--spool-dir", spool.arg(), "--forward-to", &address, "--linger", "60"];
    let forward = Daemon::spawn(Program::Forward, &args);
    hop.wait_command("RCPT");
    routed(&spool, "b", "", "");
    std::fs::write(spool.path().join("forward.request"), "").unwrap();
    assert_eq!(hop.wait_accepted(1)[0].rcpt, ["<b@example.com>"]);
    forward.signal(Signal::SIGKILL);
}

/// The table of faults of connecting (spec/07 3.2): each has its text, and leaves the message as it is, byte for byte.
#[test]
fn what_fails_before_the_connection_is_up_touches_no_message() {
    let closed = format!("127.0.0.1:{}", free_port());
    let bind = ["--client-interface", "192.0.2.77"];
    for (address, more, text) in [
        (&*closed, &[][..], format!("connect failure: cannot connect to {closed}")),
        ("/none.s", &[], "connect failure: cannot connect to /none.s: no such file or directory".to_owned()),
        (
            "nosuch.invalid:25",
            &[],
            "dns error: no such host: \"nosuch.invalid\" (name or service not known)".to_owned(),
        ),
        (&*closed, &bind, "socket bind error: cannot assign requested address".to_owned()),
    ] {
        let spool = TempSpool::new();
        routed(&spool, "a", "", "");
        let before = std::fs::read(spool.path().join("a.envelope")).unwrap();
        let (code, lines) = run(&spool, address, more);
        assert_eq!((code, spool.ready().len()), (75, 1), "{address} {more:?}: {lines:#?}");
        assert_eq!(std::fs::read(spool.path().join("a.envelope")).unwrap(), before, "{address}");
        assert!(lines.iter().any(|line| line.ends_with(&format!("smtp client error: {text}"))), "{lines:#?}");
    }
    let (code, lines) = run(&TempSpool::new(), &closed, &["--client-interface", "foo"]);
    assert_eq!(code, 1);
    assert!(lines.iter().any(|line| line.ends_with("invalid network address: foo: 0")), "{lines:#?}");
}

#[test]
fn unix_domain_next_hops_are_served() {
    let (spool, hop) = (TempSpool::new(), ScriptedHop::start(Script::well()));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hop.s");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let target = hop.address();
    let bridge = std::thread::spawn(move || {
        let (unix, _) = listener.accept().unwrap();
        let tcp = TcpStream::connect(target).unwrap();
        let (mut from, mut to) = (unix.try_clone().unwrap(), tcp.try_clone().unwrap());
        let there = std::thread::spawn(move || std::io::copy(&mut from, &mut to));
        let (mut from, mut to) = (tcp, unix);
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(std::net::Shutdown::Both);
        let _ = there.join();
    });
    routed(&spool, "a", "", "");
    assert_eq!(run(&spool, path.to_str().unwrap(), &["--domain", "relay"]).0, 0);
    assert_eq!(recipients(&hop), ["<a@example.com>"]);
    assert!(hop.commands(0).iter().any(|command| command == "EHLO relay"), "{:?}", hop.commands(0));
    drop(hop);
    bridge.join().unwrap();
}

/// dante as a SOCKS server on a loopback port.
struct Dante {
    child: Child,
    port: u16,
    _dir: TempDir,
}

impl Dante {
    fn start(rules: &str) -> Self {
        Self::start_for(rules, None)
    }

    /// With an account, which is one of the system: the proxy sees files of its own in place of the machine's.
    fn start_for(rules: &str, account: Option<(&str, &str)>) -> Self {
        let method = if account.is_some() { "username" } else { "none" };
        let (dir, port) = (tempfile::tempdir().unwrap(), free_port());
        let file = dir.path().join("danted.conf");
        let text = format!(
            "logoutput: /dev/null\ninternal: 127.0.0.1 port = {port}\nexternal: 127.0.0.1\nsocksmethod: {method}\n\
             clientmethod: none\nuser.privileged: root\nuser.unprivileged: root\n\
             client pass {{ from: 0.0.0.0/0 to: 0.0.0.0/0 }}\n{rules}\n"
        );
        std::fs::write(&file, text).unwrap();
        let mut command = match account {
            Some((user, password)) => with_account(dir.path(), user, password),
            None => Command::new(need::path("danted")),
        };
        let child = command
            .arg("-f")
            .arg(&file)
            .arg("-p")
            .arg(dir.path().join("pid"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        wait_for("danted", PATIENCE, || TcpStream::connect(loopback(port)).ok());
        Self { child, port, _dir: dir }
    }
}

/// The proxy in a mount namespace in which the system has one account more.
fn with_account(dir: &Path, user: &str, password: &str) -> Command {
    let hash = Command::new("openssl").args(["passwd", "-6", password]).output().unwrap();
    let hash = String::from_utf8(hash.stdout).unwrap();
    let mut mounts = String::new();
    for (file, line) in [
        ("passwd", format!("{user}:x:64321:64321::/:/usr/sbin/nologin")),
        ("shadow", format!("{user}:{}:20000:0:99999:7:::", hash.trim())),
    ] {
        let (path, of_the_system) = (dir.join(file), format!("/etc/{file}"));
        let text = std::fs::read_to_string(&of_the_system).unwrap();
        std::fs::write(&path, format!("{text}{line}\n")).unwrap();
        mounts.push_str(&format!("mount --bind {} {of_the_system} && ", path.display()));
    }
    let mut command = Command::new("unshare");
    let program = need::path("danted");
    command.args(["--mount", "sh", "-c", &format!("{mounts}exec {} \"$@\"", program.display()), "danted"]);
    command
}

impl Drop for Dante {
    fn drop(&mut self) {
        let _ = nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(self.child.id().try_into().unwrap()),
            Signal::SIGTERM,
        );
        let _ = self.child.wait();
    }
}

#[test]
fn a_real_proxy_is_passed_and_looks_names_up() {
    // dante knows 4, where the client has to look names up, and 5, but not 4a.
    require!(need::root(), need::program("danted"));
    let dante = Dante::start("socks pass { from: 0.0.0.0/0 to: 0.0.0.0/0 }");
    for host in ["localhost", "127.0.0.1"] {
        let (spool, hop) = (TempSpool::new(), ScriptedHop::start(Script::well()));
        routed(&spool, "a", "", "");
        let address = format!("{host}:{}@socks5:127.0.0.1:{}", hop.address().port(), dante.port);
        let (code, lines) = run(&spool, &address, &[]);
        assert_eq!(code, 0, "{address}: {lines:#?}");
        assert_eq!(recipients(&hop), ["<a@example.com>"]);
    }
    let refusing = Dante::start("socks block { from: 0.0.0.0/0 to: 0.0.0.0/0 }");
    let spool = TempSpool::new();
    routed(&spool, "a", "", "");
    let (code, lines) = run(&spool, &format!("127.0.0.1:25@socks5:127.0.0.1:{}", refusing.port), &[]);
    assert_eq!((code, spool.ready().len()), (75, 1));
    assert!(lines.iter().any(|line| line.contains("socks error: request rejected")), "{lines:#?}");
}

#[test]
fn a_real_proxy_knows_our_account() {
    require!(need::root(), need::program("danted"), need::program("openssl"), need::program("unshare"));
    let rules = "socks pass { from: 0.0.0.0/0 to: 0.0.0.0/0 socksmethod: username }";
    let dante = Dante::start_for(rules, Some(("me", "s3cr et")));
    let (spool, hop) = (TempSpool::new(), ScriptedHop::start(Script::well()));
    let address = format!("localhost:{}@socks5:127.0.0.1:{}", hop.address().port(), dante.port);
    routed(&spool, "a", "", "");
    let (code, lines) = run(&spool, &address, &[]);
    assert_eq!((code, spool.ready().len()), (75, 1), "without the account: {lines:#?}");
    for (password, expected) in [("wrong", (75, 1)), ("s3cr+20et", (0, 0))] {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "client plain me {password} socks:{}", loopback(dante.port)).unwrap();
        let (code, lines) = run(&spool, &address, &["--client-auth", file.path().to_str().unwrap()]);
        assert_eq!((code, spool.ready().len()), expected, "{password}: {lines:#?}");
    }
    assert_eq!(recipients(&hop), ["<a@example.com>"]);
}

/// A proxy that expects each of these requests, answers it, and then passes everything on to `target`, if there is one. It returns
/// when the connection has ended.
fn proxy(
    target: Option<SocketAddr>,
    exchange: Vec<(&'static [u8], &'static [u8])>,
) -> (SocketAddr, JoinHandle<()>) {
    let proxy = TcpListener::bind(loopback(0)).unwrap();
    let address = proxy.local_addr().unwrap();
    let bridge = std::thread::spawn(move || {
        let (mut client, _) = proxy.accept().unwrap();
        for (request, answer) in exchange {
            let mut sent = vec![0; request.len()];
            client.read_exact(&mut sent).unwrap();
            assert_eq!(sent.escape_ascii().to_string(), request.escape_ascii().to_string());
            client.write_all(answer).unwrap();
        }
        let Some(target) = target else { return };
        let tcp = TcpStream::connect(target).unwrap();
        let (mut from, mut to) = (client.try_clone().unwrap(), tcp.try_clone().unwrap());
        let there = std::thread::spawn(move || std::io::copy(&mut from, &mut to));
        let _ = std::io::copy(&mut tcp.try_clone().unwrap(), &mut client);
        let _ = client.shutdown(std::net::Shutdown::Both);
        let _ = there.join();
    });
    (address, bridge)
}

#[test]
fn version_4a_gives_the_proxy_the_name() {
    let (spool, hop) = (TempSpool::new(), ScriptedHop::start(Script::well()));
    let request = b"\x04\x01\0\x19\0\0\0\x01\0far.example.com\0";
    let (address, bridge) = proxy(Some(hop.address()), vec![(request, b"\0\x5a\0\0\0\0\0\0")]);
    routed(&spool, "a", "", "");
    assert_eq!(run(&spool, &format!("far.example.com:25@{address}"), &[]).0, 0);
    assert_eq!(recipients(&hop), ["<a@example.com>"]);
    drop(hop);
    bridge.join().unwrap();
}

/// A secrets file with our account at this proxy.
fn account_at(proxy: SocketAddr) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "client plain me s3cr+20et socks:{proxy}").unwrap();
    file
}

const METHODS: (&[u8], &[u8]) = (b"\x05\x02\0\x02", b"\x05\x02");
const WHO_WE_ARE: &[u8] = b"\x01\x02me\x07s3cr et";

#[test]
fn a_proxy_may_want_user_and_password() {
    let (spool, hop) = (TempSpool::new(), ScriptedHop::start(Script::well()));
    let request = b"\x05\x01\0\x03\x0ffar.example.com\0\x19";
    let exchange = vec![METHODS, (WHO_WE_ARE, &b"\x01\0"[..]), (request, b"\x05\0\0\x01\x7f\0\0\x01\0\x19")];
    let (address, bridge) = proxy(Some(hop.address()), exchange);
    let file = account_at(address);
    routed(&spool, "a", "", "");
    let options = ["--client-auth", file.path().to_str().unwrap()];
    let (code, lines) = run(&spool, &format!("far.example.com:25@socks5:{address}"), &options);
    assert_eq!(code, 0, "{lines:#?}");
    assert_eq!(recipients(&hop), ["<a@example.com>"]);
    assert!(
        !hop.commands(0).iter().any(|command| command.starts_with("AUTH")),
        "that account is the proxy's"
    );
    drop(hop);
    bridge.join().unwrap();
}

#[test]
fn a_proxy_that_refuses_the_login_touches_no_message_and_no_password_is_logged() {
    let spool = TempSpool::new();
    let (address, bridge) = proxy(None, vec![METHODS, (WHO_WE_ARE, b"\x01\x01")]);
    let file = account_at(address);
    routed(&spool, "a", "", "");
    let options = ["--debug", "--client-auth", file.path().to_str().unwrap()];
    let (code, lines) = run(&spool, &format!("far.example.com:25@socks5:{address}"), &options);
    assert_eq!((code, spool.ready().len()), (75, 1), "{lines:#?}");
    assert!(lines.iter().any(|line| line.contains("socks error: authentication failed")), "{lines:#?}");
    assert!(!lines.iter().any(|line| line.contains("s3cr")), "{lines:#?}");
    bridge.join().unwrap();
}

#[test]
fn version_4a_has_a_user_and_no_password() {
    let (spool, hop) = (TempSpool::new(), ScriptedHop::start(Script::well()));
    let request = b"\x04\x01\0\x19\0\0\0\x01me\0far.example.com\0";
    let (address, bridge) = proxy(Some(hop.address()), vec![(request, b"\0\x5a\0\0\0\0\0\0")]);
    let file = account_at(address);
    routed(&spool, "a", "", "");
    let options = ["--client-auth", file.path().to_str().unwrap()];
    let (code, lines) = run(&spool, &format!("far.example.com:25@{address}"), &options);
    assert_eq!(code, 0, "{lines:#?}");
    assert_eq!(recipients(&hop), ["<a@example.com>"]);
    drop(hop);
    bridge.join().unwrap();
}

#[test]
fn a_silent_proxy_costs_the_time_for_connecting() {
    let (spool, proxy) = (TempSpool::new(), TcpListener::bind(loopback(0)).unwrap());
    routed(&spool, "a", "", "");
    let address = format!("hop.test:25@{}", proxy.local_addr().unwrap());
    let (code, lines) = run(&spool, &address, &["--connection-timeout", "1"]);
    assert_eq!((code, spool.ready().len()), (75, 1));
    assert!(lines.iter().any(|line| line.contains("socks error: timed out after 1s")), "{lines:#?}");
}

#[test]
fn the_local_address_is_chosen() {
    let (spool, hop) = (TempSpool::new(), ScriptedHop::start(Script::well()));
    let server = Daemon::server(&spool, &[]);
    SmtpClient::connect(server.address()).send("a@example.com", &["b@example.com"], b"x\r\n");
    assert!(server.stop().success());
    let (code, _) = run(&spool, &hop.arg(), &["--client-interface", "127.0.0.9", "--domain", "nodot"]);
    assert_eq!(code, 0);
    assert!(hop.commands(0).iter().any(|command| command == "EHLO [127.0.0.9]"), "{:?}", hop.commands(0));
    let spool = TempSpool::new();
    routed(&spool, "a", "", "");
    let (code, lines) = run(&spool, &hop.arg(), &["--client-interface", "::1"]);
    assert_eq!((code, spool.ready().len()), (75, 1));
    assert!(lines.iter().any(|line| line.contains("invalid address family")), "{lines:#?}");
}
