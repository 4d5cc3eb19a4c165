//! Administration of real programs, in one process and in separate roles.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::admin::AdminClient;
use crate::support::client::SmtpClient;
use crate::support::daemon::{Daemon, Program, forward};
use crate::support::dice::Dice;
use crate::support::hop::{Script, ScriptedHop, reply};
use crate::support::need::{self, require};
use crate::support::spool::TempSpool;
use crate::support::{PATIENCE, wait_for};

/// `emailrelay` with administration on a port of the kernel's choice.
pub(crate) fn one_process(spool: &TempSpool, more: &[&str]) -> Daemon {
    Daemon::server(spool, &[&["--admin", "0"], more].concat())
}

pub(crate) fn admin_of(daemon: &Daemon) -> SocketAddr {
    let line = daemon.line("admin server on ");
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// `emailrelay-admin` on a unix socket beside the messages.
pub(crate) fn own_program(spool: &TempSpool, more: &[&str]) -> (Daemon, PathBuf) {
    let path = spool.path().join("admin.s");
    let interface = format!("admin={}", path.display());
    let mut args = vec!["--spool-dir", spool.arg(), "--interface", &interface, "--verbose"];
    args.extend(more);
    let daemon = Daemon::spawn(Program::Admin, &args);
    daemon.line("admin server on ");
    (daemon, path)
}

pub(crate) fn send(relay: &Daemon, count: usize) {
    let mut client = SmtpClient::connect(relay.address());
    for number in 0..count {
        client.send(
            "a@example.com",
            &["b@example.net"],
            format!("Subject: {number}\r\n\r\nhello\r\n").as_bytes(),
        );
    }
}

fn id_of(spool: &TempSpool) -> String {
    spool.ready().remove(0).trim_end_matches(".envelope").to_owned()
}

#[test]
fn socat_talks_to_both_shapes() {
    require!(need::program("socat"));
    let spool = TempSpool::new();
    let relay = one_process(&spool, &[]);
    let (_admin, path) = own_program(&spool, &[]);
    send(&relay, 1);
    let id = id_of(&spool);
    for address in [format!("TCP:{}", admin_of(&relay)), format!("UNIX-CONNECT:{}", path.display())] {
        let mut socat = Command::new(need::path("socat"));
        socat.args(["-t", "30", "-", &address]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut socat = socat.spawn().unwrap();
        std::io::Write::write_all(&mut socat.stdin.take().unwrap(), b"list\nfailures\nbogus\nquit\n")
            .unwrap();
        let said = String::from_utf8(socat.wait_with_output().unwrap().stdout).unwrap();
        let prompt = "E-MailRelay> ";
        assert_eq!(said, format!("{id}\n{prompt}<none>\n{prompt}error: unrecognised command\n{prompt}"));
    }
}

#[test]
fn a_message_is_held_explained_released_and_sent() {
    let (spool, hop) = (TempSpool::new(), ScriptedHop::start(Script::well()));
    let relay = one_process(&spool, &["--forward-to", &hop.arg()]);
    send(&relay, 1);
    let id = id_of(&spool);
    let mut admin = AdminClient::tcp(admin_of(&relay));
    assert_eq!(admin.command(&format!("hold {id}")), "OK");
    assert_eq!((admin.command("list"), admin.command("held")), ("<none>".to_owned(), id.clone()));
    assert_eq!(admin.command("forward"), "OK");
    relay.line("forwarding: no messages to send");
    assert_eq!(spool.ending(".envelope.hold").len(), 1);
    let explained = admin.command(&format!("explain {id}"));
    assert!(explained.starts_with("State: held\nWaits: until an administrator releases it\n"), "{explained}");
    let shown = admin.command(&format!("show {id}"));
    assert!(shown.contains("\nTo-Remote: b@example.net\n") && shown.ends_with("\nSubject: 0"), "{shown}");
    assert_eq!(admin.command(&format!("release {id}")), "OK");
    assert_eq!(admin.command("forward"), "OK");
    hop.wait_accepted(1);
    wait_for("empty spool", PATIENCE, || spool.files().is_empty().then_some(()));
    assert_eq!(admin.command(&format!("show {id}")), "error: no such message");
    relay.line(&format!("admin: hold [{id}] by 127.0.0.1:"));
    assert!(relay.stop().success());
}

#[test]
fn flush_sends_what_is_not_due_and_says_what_came_of_it() {
    let later = Script { dot: reply("450 try later"), ..Script::well() };
    let (spool, hop) = (TempSpool::new(), ScriptedHop::start(later));
    let relay = one_process(&spool, &["--forward-to", &hop.arg()]);
    let mut admin = AdminClient::tcp(admin_of(&relay));
    assert_eq!(admin.command("flush"), "error: no messages to send");
    send(&relay, 2);
    let id = id_of(&spool);
    assert_eq!(admin.command("flush verbose"), "sent 0 failed 0 left 2\nOK");
    let explained = admin.command(&format!("explain {id}"));
    assert!(explained.contains("\nLast reason: 450 try later"), "{explained}");
    assert!(
        explained.contains("Waits: for its next attempt") && explained.contains("\nNext attempt: "),
        "{explained}"
    );
    hop.set(Script::well());
    assert_eq!(admin.command("forward"), "OK");
    relay.line("forwarding: [admin]");
    // Neither is due; the administrator does not care.
    assert_eq!(admin.command("flush verbose"), "sent 2 failed 0 left 0\nOK");
    hop.wait_accepted(2);
    assert!(spool.files().is_empty(), "{:?}", spool.files());
    let status = admin.command("status");
    assert!(status.contains("\nOUT started: ") && status.contains("\nIN: 127.0.0.1:"), "{status}");
    drop(hop);
    send(&relay, 1);
    let refused = admin.command("flush");
    assert!(refused.starts_with("error: connect failure: cannot connect to 127.0.0.1:"), "{refused}");
}

#[test]
fn failed_messages_are_tried_again() {
    let no = Script { dot: reply("550 no mail"), ..Script::well() };
    let (spool, hop) = (TempSpool::new(), ScriptedHop::start(no));
    let relay = one_process(&spool, &["--forward-to", &hop.arg()]);
    send(&relay, 3);
    let mut admin = AdminClient::tcp(admin_of(&relay));
    assert_eq!(admin.command("flush"), "OK", "also if every message fails");
    let failures = admin.command("failures");
    assert_eq!(failures.lines().count(), 3, "{failures}");
    let explained = admin.command(&format!("explain {}", failures.lines().next().unwrap()));
    assert!(
        explained.contains("Waits: for an administrator") && explained.contains("550 no mail"),
        "{explained}"
    );
    hop.set(Script::well());
    assert_eq!(admin.command("unfail-all"), "");
    relay.line("unfail: 3 message(s) by 127.0.0.1:");
    assert_eq!(admin.command("failures"), "<none>");
    assert_eq!(admin.command("forward"), "OK");
    hop.wait_accepted(3);
}

/// A message comes in through one program and goes out through another, and a third one tells.
#[test]
fn notify_tells_of_mail_through_other_roles() {
    let (spool, hop) = (TempSpool::new(), ScriptedHop::start(Script::well()));
    let (_admin, path) = own_program(&spool, &["--forward-to", &hop.arg()]);
    let smtp = Daemon::spawn(
        Program::Smtp,
        &["--spool-dir", spool.arg(), "--interface", "127.0.0.1", "--port", "0", "--verbose"],
    );
    let (mut all, mut classic) = (AdminClient::unix(&path), AdminClient::unix(&path));
    for (client, words) in [(&mut all, "notify all\npid"), (&mut classic, "notify\npid")] {
        assert!(client.command(words).parse::<u32>().is_ok());
    }
    send(&smtp, 1);
    let id = id_of(&spool);
    assert_eq!(forward(&spool, &hop.arg(), &[]).0, 0);
    let told = all.events_until(&format!("store: deleted: {id}"));
    let about: Vec<&str> = told.iter().map(String::as_str).filter(|event| event.contains(&id)).collect();
    let expected =
        ["store: new", "store: ready", "client: sending", "store: busy", "client: sent", "store: deleted"];
    assert_eq!(about, expected.map(|event| format!("{event}: {id}")));
    assert!(told.contains(&"client: forward: start: request".to_owned()), "{told:?}");
    let told = classic.events_until(&format!("client: sent: {id}"));
    assert!(!told.iter().any(|event| event.starts_with("store")), "{told:?}");
    // What other roles are told is a file.
    assert_eq!(all.command("smtp disable"), "OK");
    assert_eq!(all.event(), "smtp: disabled");
    let refused = SmtpClient::try_connect(smtp.address()).unwrap().greeting;
    assert_eq!(refused.code, 421, "{refused:?}");
    assert_eq!(all.command("smtp enable"), "OK");
    send(&smtp, 1);
    assert_eq!(classic.command("forward"), "OK");
    assert!(spool.path().join("forward.request").exists());
}

#[test]
fn notify_in_one_process_has_the_events_of_2_6() {
    let (spool, hop) = (TempSpool::new(), ScriptedHop::start(Script::well()));
    let relay = one_process(&spool, &["--forward-to", &hop.arg()]);
    let mut admin = AdminClient::tcp(admin_of(&relay));
    admin.command("notify\npid");
    send(&relay, 1);
    let id = id_of(&spool);
    admin.events_until("network: in: stop");
    assert_eq!(admin.command("forward"), "OK");
    let mut told = admin.events_until("client: forward: end");
    // The connection may outlive its run.
    let stop = "network: out: stop";
    match told.iter().position(|event| event == stop) {
        Some(at) => drop(told.remove(at)),
        None => assert_eq!(admin.event(), stop),
    }
    let hop = hop.arg();
    let expected = [
        "client: forward: start: admin".to_owned(),
        "network: out: start".to_owned(),
        format!("client: connecting: {hop}"),
        format!("client: connected: {hop}"),
        format!("client: sending: {id}"),
        format!("client: sent: {id}"),
        "client: forward: end".to_owned(),
    ];
    assert_eq!(told, expected);
    assert_eq!(admin.command("forward"), "OK");
    assert_eq!(admin.events_until("client: forward: end: no messages").len(), 1);
}

#[test]
fn terminate_ends_the_program() {
    let spool = TempSpool::new();
    let mut relay = one_process(&spool, &["--admin-terminate"]);
    let mut admin = AdminClient::tcp(admin_of(&relay));
    admin.send("terminate");
    assert_eq!(admin.rest(), "");
    assert!(relay.wait().success());
    relay.line("received a terminate command from 127.0.0.1:");
    let (admin, path) = own_program(&spool, &[]);
    assert_eq!(AdminClient::unix(&path).command("terminate"), "error: unrecognised command");
    assert!(admin.stop().success() && !path.exists());
}

#[test]
fn the_program_ends_when_nobody_has_come_for_a_while() {
    let spool = TempSpool::new();
    let (mut admin, path) = own_program(&spool, &["--idle-exit", "1"]);
    let mut listening = AdminClient::unix(&path);
    assert!(listening.command("notify all\npid").parse::<u32>().is_ok());
    // Who waits for events is there all the time.
    fs::write(spool.path().join("x.envelope"), "").unwrap();
    listening.events_until("store: ready: x");
    assert!(!admin.lines().iter().any(|line| line.contains("idle")));
    drop(listening);
    assert!(admin.wait().success() && !path.exists());
}

#[test]
fn strangers_are_refused_on_the_unix_socket() {
    require!(need::root(), need::program("setpriv"), need::program("socat"));
    use std::os::unix::fs::PermissionsExt as _;
    let spool = TempSpool::new();
    let (admin, path) = own_program(&spool, &[]);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
    fs::set_permissions(spool.path(), fs::Permissions::from_mode(0o2775)).unwrap();
    let ask = |groups: &str| {
        let address = format!("UNIX-CONNECT:{}", path.display());
        let command = format!("printf 'help\\ndelete x\\n' | socat -t 30 - {address}");
        let output = Command::new(need::path("setpriv"))
            .args(["--reuid=65534", "--regid=65534", groups, "sh", "-c", &command])
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(ask("--clear-groups"), "error: permission denied\n");
    admin.line("admin connection refused: uid=65534 pid=");
    let reader = ask("--groups=4");
    assert!(
        reader.starts_with("commands: failures, help, info, list, notify, pid, quit, status\n"),
        "{reader}"
    );
    assert!(reader.ends_with("error: permission denied\nE-MailRelay> "), "{reader}");
    // As the program's own group: root's here.
    assert!(ask("--groups=0").starts_with("commands: failures, flush, forward, help,"));
}

#[test]
fn hostile_clients_end_and_others_are_served() {
    let spool = TempSpool::new();
    for number in 0..20_000 {
        fs::write(spool.path().join(format!("emailrelay.1.1.{number}.envelope")), "").unwrap();
    }
    let (admin, path) = own_program(&spool, &[]);
    // A line without end.
    let mut endless = AdminClient::unix(&path);
    let _ = endless.write(&vec![b'x'; 1 << 20]);
    assert_eq!(endless.rest(), "error: line too long\n");
    // A browser.
    let mut browser = AdminClient::unix(&path);
    browser.write(b"POST / HTTP/1.1\r\nHost: x\r\n\r\nunfail-all\r\nlist\r\n").unwrap();
    assert_eq!(browser.rest(), "");
    admin.line("admin connection closed: http request: /");
    // Errors without end.
    let mut confused = AdminClient::unix(&path);
    let _ = confused.write(&b"bogus\n".repeat(1000));
    assert_eq!(confused.rest().matches("error: unrecognised command").count(), 30);
    // Replies that nobody reads, and commands behind them.
    let mut deaf: Vec<AdminClient> = (0..20).map(|_| AdminClient::unix(&path)).collect();
    for client in &mut deaf {
        client.write(&b"list\n".repeat(100)).unwrap();
    }
    // Far more connections than there may be.
    let crowd: Vec<AdminClient> = (0..1000).map(|_| AdminClient::unix(&path)).collect();
    admin.line("too many connections: limit is 64");
    drop(crowd);
    let mut other = wait_for("a free place", PATIENCE, || {
        let mut client = AdminClient::unix(&path);
        client.write(b"pid\n").is_ok().then_some(())?;
        let said = client.try_reply()?;
        (said == admin.pid().to_string()).then_some(client)
    });
    assert_eq!(other.command("list").lines().count(), 20_000);
    assert!(admin.memory() < 200 * 1024, "{} KiB", admin.memory());
    // What was kept for them is theirs still.
    let first = deaf[0].reply();
    assert_eq!(first.lines().count(), 20_000);
    drop(deaf);
    assert_eq!(other.command("held"), "<none>");
    assert!(admin.stop().success());
}

/// Two administrators and a forwarder act on the same messages; one of the administrators' servers dies again and again.
/// Every message arrives once.
#[test]
fn killed_administration_loses_and_doubles_nothing() {
    const MESSAGES: usize = 40;
    let (spool, other, hop) = (TempSpool::new(), TempSpool::new(), ScriptedHop::start(Script::well()));
    let relay = one_process(&spool, &["--forward-to", &hop.arg(), "--poll", "1"]);
    let dying = other.path().join("admin.s");
    let interface = format!("admin={}", dying.display());
    let spawn = || {
        let daemon = Daemon::spawn(Program::Admin, &["--spool-dir", spool.arg(), "--interface", &interface]);
        daemon.line("admin server on ");
        daemon
    };
    let mut server = Some(spawn());
    send(&relay, MESSAGES);
    let ids: Vec<String> =
        spool.files().iter().filter_map(|name| name.strip_suffix(".content").map(str::to_owned)).collect();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let address = admin_of(&relay);
        let (ids, over) = (&ids, &over);
        scope.spawn(move || {
            let (mut admin, mut dice) = (AdminClient::tcp(address), Dice::new(7));
            while !over.load(Ordering::Acquire) {
                let verb = ["hold", "release", "requeue"][dice.between(0, 2) as usize];
                let id = &ids[dice.between(0, ids.len() as u64 - 1) as usize];
                let said = admin.command(&format!("{verb} {id}"));
                assert!(said == "OK" || said.starts_with("error: "), "{said}");
            }
        });
        let mut dice = Dice::new(11);
        for _ in 0..6 {
            let mut admin = AdminClient::unix(&dying);
            let mut script = String::new();
            for _ in 0..dice.between(0, 199) {
                let verb = ["hold", "release", "requeue", "unfail-all #"][dice.between(0, 3) as usize];
                script.push_str(&format!("{verb} {}\n", ids[dice.between(0, ids.len() as u64 - 1) as usize]));
            }
            let _ = admin.write(script.as_bytes());
            server.take().unwrap().crash();
            server = Some(spawn());
        }
        over.store(true, Ordering::Release);
    });
    let mut admin = AdminClient::tcp(admin_of(&relay));
    for id in admin.command("held").lines().filter(|id| *id != "<none>") {
        assert_eq!(admin.command(&format!("release {id}")), "OK");
    }
    assert_eq!(admin.command("forward"), "OK");
    let accepted = hop.wait_accepted(MESSAGES);
    wait_for("empty spool", PATIENCE, || spool.files().is_empty().then_some(()));
    assert_eq!(accepted.len().max(hop.accepted().len()), MESSAGES, "some came twice");
}
