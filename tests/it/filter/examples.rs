//! The scripts in `examples/filters` and the configurations beside them, each doing what it says.

use super::{line, server};
use std::collections::BTreeSet;

use crate::pop::PopSpool;
use crate::support::client::SmtpClient;
use crate::support::daemon::{Daemon, forward};
use crate::support::hop::{Script, ScriptedHop};
use crate::support::pop::PopClient;
use crate::support::script::Scripts;
use crate::support::spool::TempSpool;
use crate::support::{PATIENCE, package, wait_for};

fn example(name: &str) -> String {
    package().join("examples/filters").join(name).to_str().unwrap().to_owned()
}

/// The reply, and the content if there is any.
fn run(name: &str, content: &[u8]) -> (String, Option<String>, Daemon, TempSpool) {
    let spool = TempSpool::new();
    let server = server(&spool, &[&example(name)]);
    let mut client = SmtpClient::connect(server.address());
    let reply = client.try_send("a@example.com", &["b@example.net"], content).unwrap();
    let stored = spool.ready().first().map(|name| String::from_utf8(spool.content(name)).unwrap());
    (line(&reply), stored, server, spool)
}

#[test]
fn a_signature_is_added_where_that_is_safe() {
    let (reply, stored, _server, spool) = run("add-signature.sh", b"Subject: x\r\n\r\nhello\r\n");
    assert_eq!((reply.as_str(), spool.files().len()), ("250 message processed", 2));
    assert!(stored.unwrap().ends_with("\r\nhello\r\n-- \r\nSent by way of example.com\r\n"));
    let (_, stored, ..) =
        run("add-signature.sh", b"Content-Type: Multipart/mixed; boundary=x\r\n\r\n--x--\r\n");
    assert!(stored.unwrap().ends_with("--x--\r\n"));
}

#[test]
fn clients_are_refused_by_address() {
    let spool = TempSpool::new();
    let server = server(&spool, &[&example("reject-by-client.sh")]);
    let mut client = SmtpClient::connect(server.address());
    client.send("a@example.com", &["b@example.net"], b"x\r\n");
    // Another address of this host.
    let socket = socket_from("127.0.0.13", server.address());
    let mut other = SmtpClient::over(socket);
    let reply = other.try_send("a@example.com", &["b@example.net"], b"x\r\n").unwrap();
    assert_eq!(line(&reply), "554 5.7.1 no mail from your network");
    server.line("rejected by filter: [client 127.0.0.13 is on the list]");
    assert_eq!(spool.ready().len(), 1);
}

fn socket_from(local: &str, remote: std::net::SocketAddr) -> std::net::TcpStream {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, socket};
    use std::os::fd::AsRawFd as _;
    let made = socket(AddressFamily::Inet, SockType::Stream, SockFlag::empty(), None).unwrap();
    let address = |text: std::net::SocketAddr| match text {
        std::net::SocketAddr::V4(v4) => SockaddrIn::from(v4),
        std::net::SocketAddr::V6(_) => panic!("IPv4 here"),
    };
    bind(made.as_raw_fd(), &address(format!("{local}:0").parse().unwrap())).unwrap();
    connect(made.as_raw_fd(), &address(remote)).unwrap();
    made.into()
}

#[test]
fn mail_of_unknown_clients_is_dropped() {
    let spool = TempSpool::new();
    let server = server(&spool, &[&example("check-ipaddress.sh")]);
    SmtpClient::connect(server.address()).send("a@example.com", &["b@example.net"], b"x\r\n");
    assert_eq!(spool.files().len(), 2);
    let mut other = SmtpClient::over(socket_from("127.0.0.13", server.address()));
    let reply = other.try_send("a@example.com", &["b@example.net"], b"x\r\n").unwrap();
    assert_eq!((line(&reply).as_str(), spool.files().len()), ("250 message processed", 2));
}

#[test]
fn hidden_recipients_stay_hidden() {
    let spool = TempSpool::new();
    let server = server(&spool, &[&example("bcc-check.sh")]);
    let mut client = SmtpClient::connect(server.address());
    let mut reply = |to: &[&str], header: &str| {
        let content = format!("Subject: x\r\n{header}\r\nBcc: in@the.body\r\n");
        line(&client.try_send("a@example.com", to, content.as_bytes()).unwrap())
    };
    let one = &["b@example.net"];
    for header in
        ["", "Bcc:\r\n", "bcc : B@Example.net\r\n", "Bcc: Bob\r\n <b@example.net>,\r\n", "X-Bcc: c@d\r\n"]
    {
        assert_eq!(reply(one, header), "250 message processed", "{header:?}");
    }
    for (to, header) in [
        (&one[..], "Bcc: c@example.net\r\n"),
        (one, "Bcc: b@example.net\r\n , c@example.net\r\n"),
        (one, "Bcc: b@example.net\r\nTo: x@y\r\nBCC: c@example.net\r\n"),
        (&["b@example.net", "c@example.net"], "Bcc: b@example.net\r\n"),
        (&["b@example.net", "c@example.net"], "Bcc: b@example.net, c@example.net\r\n"),
    ] {
        assert_eq!(reply(to, header), "550 5.7.1 bcc error", "{header:?}");
    }
    server.line("rejected by filter: [the Bcc header is not for the one recipient]");
    assert_eq!(spool.ready().len(), 5);
}

#[test]
fn one_sender_stands_in_all_messages() {
    let sent = b"Subject: x\r\nFROM: a@b\r\n (folded)\r\nTo: c@d,\r\n\te@f\r\nSender: g@h\r\n\
        Reply-to: i@j\r\nX-From: \xe9\r\n\r\nFrom: the body\r\n\xff\r\n";
    let spool = TempSpool::new();
    let server = server(&spool, &[&example("set-from.sh")]);
    SmtpClient::connect(server.address()).send("a@example.com", &["b@example.net"], sent);
    let stored = spool.content(&spool.ready()[0]);
    let office = "Our Office <office@example.com>\r\n";
    let head = format!("From: {office}Reply-To: {office}Received: ");
    assert!(stored.starts_with(head.as_bytes()), "{}", String::from_utf8_lossy(&stored));
    let tail = b"Subject: x\r\nTo: c@d,\r\n\te@f\r\nX-From: \xe9\r\n\r\nFrom: the body\r\n\xff\r\n";
    assert!(stored.ends_with(tail), "{}", String::from_utf8_lossy(&stored));
    // All of it is header.
    let (_, stored, ..) = run("set-from.sh", b"Sender: x@y\r\nSubject: y\r\n");
    assert!(stored.unwrap().ends_with("Subject: y\r\n"));
}

#[test]
fn test_mail_is_accepted_and_dropped() {
    let (reply, _, server, spool) = run("drop-test-mail.sh", b"X-Test-Only: yes\r\n\r\nx\r\n");
    assert_eq!((reply.as_str(), spool.files().len()), ("250 message processed", 0));
    server.line(": ok(abandon) response=[]");
    let (_, stored, ..) = run("drop-test-mail.sh", b"Subject: x\r\n\r\nX-Test-Only: in the body\r\n");
    assert!(stored.is_some());
}

#[test]
fn urgent_mail_goes_at_once() {
    let (_, _, server, _) = run("forward-urgent.sh", b"Priority: urgent\r\n\r\nx\r\n");
    server.line(": ok +rescan response=[]");
    let (_, _, server, _) = run("forward-urgent.sh", b"Subject: x\r\n\r\nPriority: urgent\r\n");
    server.line(": ok response=[]");
}

#[test]
fn a_domain_goes_to_a_server_of_its_own() {
    let spool = TempSpool::new();
    let (usual, internal) = (ScriptedHop::start(Script::well()), ScriptedHop::start(Script::well()));
    // As the script has it, with the address of the test's server.
    let scripts = Scripts::new();
    let text = std::fs::read_to_string(example("one-recipient-domain.sh")).unwrap();
    let filter = scripts.file("filter", &text.replace("127.0.0.1:2525", &internal.arg()), 0o755);
    let server = Daemon::server(&spool, &[]);
    let mut client = SmtpClient::connect(server.address());
    client.send("a@example.com", &["b@internal.example"], b"x\r\n");
    client.send("a@example.com", &["b@example.net"], b"x\r\n");
    drop(client);
    assert!(server.stop().success());
    assert_eq!(forward(&spool, &usual.arg(), &["--client-filter", &filter]).0, 0);
    assert_eq!(usual.accepted()[0].rcpt, ["<b@example.net>"]);
    assert_eq!(internal.accepted()[0].rcpt, ["<b@internal.example>"]);
    assert!(spool.files().is_empty());
}

/// A configuration of `examples/` with these texts in the place of others, which must be there.
fn configuration(scripts: &Scripts, name: &str, changes: &[(&str, &str)]) -> String {
    let mut text = std::fs::read_to_string(package().join("examples").join(name)).unwrap();
    for (from, to) in changes {
        assert!(text.contains(from), "{name}: {from}");
        text = text.replace(from, to);
    }
    scripts.file(name, &text, 0o644)
}

#[test]
fn one_message_goes_with_each_poll() {
    let (spool, scripts, hop) = (TempSpool::new(), Scripts::new(), ScriptedHop::start(Script::well()));
    let changes = [("smtp.example.com:25", hop.arg()), ("poll 60", "poll 1".to_owned())];
    let changes: Vec<_> = changes.iter().map(|(from, to)| (*from, to.as_str())).collect();
    let relay = Daemon::server(&spool, &[&configuration(&scripts, "rate-limit.conf", &changes)]);
    let mut client = SmtpClient::connect(relay.address());
    (0..3).for_each(|_| client.send("a@example.com", &["b@example.net"], b"x\r\n"));
    let connections: BTreeSet<usize> = hop.wait_accepted(3).iter().map(|one| one.connection).collect();
    assert_eq!(connections.len(), 3, "each run had one message");
    wait_for("empty spool", PATIENCE, || spool.files().is_empty().then_some(()));
    assert_eq!(relay.lines().iter().filter(|line| line.contains(": ok +break response=[]")).count(), 3);
}

#[test]
fn every_pop_user_gets_every_message() {
    let (pop, scripts) = (PopSpool::new(), Scripts::new());
    let secrets = pop.secrets.to_str().unwrap();
    let example = configuration(&scripts, "pop-users.conf", &[("/etc/emailrelay-pop.auth", secrets)]);
    let relay = Daemon::server(&pop.spool, &[&example, "--pop-port", "0"]);
    let users = [("alice", "secret1"), ("bob", "b b")];
    let login = |(user, password)| PopClient::login(relay.pop_address(), user, password);
    for user in users {
        login(user).quit();
    }
    SmtpClient::connect(relay.address()).send("a@example.com", &["c@example.net"], b"Subject: all\r\n\r\n");
    assert_eq!(pop.spool.files().len(), 1, "the content, once: {:?}", pop.spool.files());
    for (at, user) in users.into_iter().enumerate() {
        let mut client = login(user);
        assert!(client.retrieve(1).ends_with(b"Subject: all\r\n\r\n"));
        assert_eq!(client.command("DELE 1"), "+OK");
        client.quit();
        assert_eq!(pop.spool.files().len(), 1 - at, "it goes with the last one");
    }
}

/// The same with forwarding: what is sent is still there for its readers.
#[test]
fn what_was_forwarded_is_still_there_for_pop_users() {
    let (pop, scripts, hop) = (PopSpool::new(), Scripts::new(), ScriptedHop::start(Script::well()));
    let secrets = pop.secrets.to_str().unwrap();
    let changes =
        [("/etc/emailrelay-pop.auth", secrets), ("filter copy:pop\n", "filter copy:pop;nodelete,exit:103\n")];
    let example = configuration(&scripts, "pop-users.conf", &changes);
    let relay = Daemon::server(&pop.spool, &[&example, "--pop-port", "0", "--forward-to", &hop.arg()]);
    PopClient::login(relay.pop_address(), "alice", "secret1").quit();
    SmtpClient::connect(relay.address()).send("a@example.com", &["c@example.net"], b"Subject: both\r\n\r\n");
    hop.wait_accepted(1);
    wait_for("the end of the message", PATIENCE, || (pop.spool.files().len() == 1).then_some(()));
    let mut client = PopClient::login(relay.pop_address(), "alice", "secret1");
    assert!(client.retrieve(1).ends_with(b"Subject: both\r\n\r\n"));
    assert_eq!(client.command("DELE 1"), "+OK");
    client.quit();
    assert!(pop.spool.files().is_empty(), "{:?}", pop.spool.files());
}
