//! What forwarders remember from one process to the next: destinations in trouble, and messages that kill them.

use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use nix::sys::signal::Signal;

use crate::routes::routed;
use crate::support::admin::AdminClient;
use crate::support::daemon::{Daemon, Program, forward as by_hand};
use crate::support::hop::{Script, ScriptedHop, Step, reply};
use crate::support::spool::TempSpool;
use crate::support::{PATIENCE, wait_for};

fn notes(spool: &TempSpool) -> PathBuf {
    spool.path().join("forward.backoff")
}

/// One run as a timer or a request makes it; its exit code and log.
fn scheduled(spool: &TempSpool, hop: &ScriptedHop) -> (Option<i32>, Vec<String>) {
    let args = ["--spool-dir", spool.arg(), "--forward-to", &hop.arg(), "--verbose", "--retry-first", "600"];
    let mut forward = Daemon::spawn(Program::Forward, &args);
    (forward.wait().code(), forward.lines())
}

/// A hop that refuses every session, a message for it, and one run that has met it.
fn in_trouble() -> (TempSpool, ScriptedHop) {
    let refusing = Script { greeting: Step::ReplyClose("554 go away".to_owned()), ..Script::well() };
    let (spool, hop) = (TempSpool::new(), ScriptedHop::start(refusing));
    routed(&spool, "a", "", "");
    let (code, lines) = scheduled(&spool, &hop);
    assert_eq!((code, hop.connections()), (Some(75), 1), "{lines:#?}");
    assert!(notes(&spool).exists());
    hop.set(Script::well());
    (spool, hop)
}

/// The times in the notes, and the numbers of failures.
fn noted(spool: &TempSpool) -> Vec<(u64, u32)> {
    let text = std::fs::read_to_string(notes(spool)).unwrap_or_default();
    let number = |word: Option<&str>| word.unwrap().parse::<u64>().unwrap();
    text.lines()
        .map(|line| {
            let mut words = line.split(' ');
            (number(words.next()), u32::try_from(number(words.next())).unwrap())
        })
        .collect()
}

#[test]
fn the_next_process_leaves_a_dead_hop_alone_until_its_time() {
    let (spool, hop) = in_trouble();
    let before = noted(&spool);
    let (code, lines) = scheduled(&spool, &hop);
    assert_eq!(
        (code, hop.connections(), spool.ready()),
        (Some(75), 1, vec!["a.envelope".to_owned()]),
        "{lines:#?}"
    );
    assert_eq!(noted(&spool), before, "nothing was tried, nothing learnt");
    // Other destinations are nobody's business.
    let other = ScriptedHop::start(Script::well());
    routed(&spool, "b", &other.arg(), "");
    assert_eq!(scheduled(&spool, &hop).0, Some(75));
    assert_eq!((other.accepted().len(), hop.connections()), (1, 1));
    // The time is over.
    std::fs::write(notes(&spool), format!("1 3 {}\n", hop.arg())).unwrap();
    let (code, lines) = scheduled(&spool, &hop);
    assert_eq!((code, spool.files(), hop.accepted().len()), (Some(0), vec![], 1), "{lines:#?}");
    assert!(!notes(&spool).exists(), "the hop is well");
}

#[test]
fn failures_in_a_row_are_counted_over_processes() {
    let (spool, hop) = in_trouble();
    hop.set(Script { greeting: Step::ReplyClose("554 go away".to_owned()), ..Script::well() });
    let (until, failures) = noted(&spool)[0];
    assert_eq!(failures, 1);
    let over = until - 700;
    std::fs::write(notes(&spool), format!("{over} 1 {}\n", hop.arg())).unwrap();
    assert_eq!(scheduled(&spool, &hop).0, Some(75));
    let (later, failures) = noted(&spool)[0];
    assert_eq!((failures, hop.connections()), (2, 2));
    assert!(later > until + 400, "twice ten minutes, a tenth more or less: {until} {later}");
}

#[test]
fn whoever_wants_an_attempt_now_gets_one() {
    // By hand.
    let (spool, hop) = in_trouble();
    assert_eq!(by_hand(&spool, &hop.arg(), &[]).0, 0);
    assert_eq!((hop.accepted().len(), notes(&spool).exists()), (1, false));
    // The same line in a file says nothing about this moment.
    let (spool, hop) = in_trouble();
    let file = spool.path().join("conf");
    let text = format!("forward\nspool-dir {}\nforward-to {}\n", spool.arg(), hop.arg());
    std::fs::write(&file, text).unwrap();
    let mut timed = Daemon::spawn(Program::Forward, &[file.to_str().unwrap()]);
    assert_eq!((timed.wait().code(), hop.connections()), (Some(75), 1));
    // Notes that nobody can read are none.
    std::fs::write(notes(&spool), "\0garbage\n").unwrap();
    assert_eq!(scheduled(&spool, &hop).0, Some(0));
    assert_eq!((hop.accepted().len(), notes(&spool).exists()), (1, false));
}

#[test]
fn administrators_want_it_now() {
    let (spool, hop) = in_trouble();
    let socket = tempfile::tempdir().unwrap();
    let path = socket.path().join("admin.s");
    let interface = format!("admin={}", path.display());
    let args = ["--spool-dir", spool.arg(), "--interface", &interface, "--forward-to", &hop.arg()];
    let admin = Daemon::spawn(Program::Admin, &args);
    wait_for("the socket", PATIENCE, || UnixStream::connect(&path).ok());
    let mut client = AdminClient::unix(&path);
    let explained = client.command("explain a");
    assert!(
        explained.contains("Waits: for its next hop, which is left alone after a failure"),
        "{explained}"
    );
    assert_eq!(client.command("forward"), "OK");
    assert!(!notes(&spool).exists());
    assert_eq!(scheduled(&spool, &hop).0, Some(0));
    hop.set(Script { greeting: Step::ReplyClose("554 go away".to_owned()), ..Script::well() });
    routed(&spool, "b", "", "");
    assert_eq!(scheduled(&spool, &hop).0, Some(75));
    hop.set(Script::well());
    assert_eq!(client.command("flush"), "OK");
    assert!(!notes(&spool).exists());
    drop(client);
    drop(admin);
}

#[test]
fn a_lingering_forwarder_hears_of_it_too() {
    let refusing = Script { greeting: Step::ReplyClose("554 go away".to_owned()), ..Script::well() };
    let (spool, hop) = (TempSpool::new(), ScriptedHop::start(refusing));
    routed(&spool, "a", "", "");
    let forward = Daemon::spawn(
        Program::Forward,
        &["--spool-dir", spool.arg(), "--forward-to", &hop.arg(), "--linger", "600"],
    );
    wait_for("the note", PATIENCE, || notes(&spool).exists().then_some(()));
    hop.set(Script::well());
    std::fs::remove_file(notes(&spool)).unwrap();
    std::fs::write(spool.path().join("forward.request"), "").unwrap();
    hop.wait_accepted(1);
    forward.signal(Signal::SIGTERM);
    let mut forward = forward;
    assert_eq!(forward.wait().code(), Some(0));
}

#[test]
fn a_message_that_kills_forwarders_waits_and_is_set_aside_in_the_end() {
    let silent = Script { data: Step::Silent, ..Script::well() };
    let (spool, hop) = (TempSpool::new(), ScriptedHop::start(silent));
    routed(&spool, "m", "", "");
    for deaths in 1..=2 {
        let args = ["--spool-dir", spool.arg(), "--forward-to", &hop.arg()];
        let forward = Daemon::spawn(Program::Forward, &args);
        wait_for("the message to be in hand", PATIENCE, || {
            let data =
                (0..hop.connections()).filter(|one| hop.commands(*one).iter().any(|line| line == "DATA"));
            (data.count() == deaths).then_some(())
        });
        forward.crash();
        assert_eq!(spool.busy(), ["m.envelope.busy"]);
    }
    // It could be chance once. Now others go first.
    hop.set(Script::well());
    routed(&spool, "n", "", "");
    let (code, lines) = scheduled(&spool, &hop);
    assert_eq!(
        (code, spool.ready(), hop.accepted().len()),
        (Some(75), vec!["m.envelope".to_owned()], 1),
        "{lines:#?}"
    );
    let envelope = spool.envelope("m.envelope");
    let deaths = envelope.all("Interrupted");
    assert_eq!(deaths.len(), 2);
    assert!(deaths[1].starts_with("2 "), "{deaths:?}");
    // Its time comes, and it does it again.
    let envelope = std::fs::read_to_string(spool.path().join("m.envelope")).unwrap();
    std::fs::remove_file(spool.path().join("m.envelope")).unwrap();
    let fourth = format!("{envelope}X-MailRelay-Interrupted: 4 1000\r\n");
    std::fs::write(spool.path().join("m.envelope.busy"), fourth).unwrap();
    let (code, log) = by_hand(&spool, &hop.arg(), &[]);
    assert_eq!(
        (code, spool.bad(), hop.accepted().len()),
        (0, vec!["m.envelope.bad".to_owned()], 1),
        "{log:#?}"
    );
    let envelope = spool.envelope("m.envelope.bad");
    assert_eq!(envelope.first("Reason"), "forwarding has died 5 times with this message in hand");
    // Whoever brings it back wants it tried.
    std::fs::rename(spool.path().join("m.envelope.bad"), spool.path().join("m.envelope")).unwrap();
    assert_eq!(by_hand(&spool, &hop.arg(), &[]).0, 0);
    assert_eq!((spool.files(), hop.accepted().len()), (vec![], 2));
}

#[test]
fn an_attempt_with_an_end_forgets_the_deaths_before_it() {
    let (spool, hop) =
        (TempSpool::new(), ScriptedHop::start(Script { mail: reply("450 later"), ..Script::well() }));
    routed(&spool, "m", "", "");
    let path = spool.path().join("m.envelope");
    let envelope = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{envelope}X-MailRelay-Interrupted: 1 1000\r\n")).unwrap();
    assert_eq!(by_hand(&spool, &hop.arg(), &[]).0, 75);
    let envelope = spool.envelope("m.envelope");
    assert_eq!((envelope.all("Interrupted").len(), envelope.all("NextAttempt").len()), (0, 1));
}

#[test]
fn mail_in_circles_stops_here() {
    let (spool, hop) = (TempSpool::new(), ScriptedHop::start(Script::well()));
    for (id, count) in [("far", 100), ("round", 101)] {
        routed(&spool, id, "", "");
        let text =
            format!("{}Subject: x\r\n\r\nReceived: body\r\n", "Received: from a by b\r\n".repeat(count));
        std::fs::write(spool.path().join(format!("{id}.content")), text).unwrap();
    }
    assert_eq!(by_hand(&spool, &hop.arg(), &[]).0, 0);
    assert_eq!(spool.bad(), ["round.envelope.bad"]);
    let envelope = spool.envelope("round.envelope.bad");
    assert_eq!(envelope.first("Reason"), "too many hops: more than 100 Received lines");
    assert_eq!(hop.accepted().len(), 1);
}
