//! A run that lasts: what comes due meanwhile does not wait for its end, nor do other destinations.

use nix::sys::signal::Signal;

use crate::routes::routed;
use crate::support::client::SmtpClient;
use crate::support::daemon::{Daemon, Program};
use crate::support::hop::{Gate, Script, ScriptedHop, Step, reply};
use crate::support::spool::TempSpool;
use crate::support::{PATIENCE, wait_for};

const CONTENT: &[u8] = b"Subject: test\r\n\r\nbody\r\n";

/// A hop that does not answer the final dot before the gate is open.
fn slow(gate: &Gate) -> ScriptedHop {
    ScriptedHop::start(Script { dot: gate.before("250 ok"), ..Script::well() })
}

/// Puts every message off, one command at a time.
fn refusing() -> Script {
    Script { ehlo: reply("250 hop.test"), mail: reply("450 later"), ..Script::well() }
}

/// Waits until the hop has content for which it does not answer.
fn wait_in_hand(hop: &ScriptedHop) {
    wait_for("the slow message to be in hand", PATIENCE, || (hop.delivered() == 1).then_some(()));
}

#[test]
fn a_poll_finds_new_mail_while_a_slow_message_is_sent() {
    let gate = Gate::default();
    let (spool, hop) = (TempSpool::new(), slow(&gate));
    let address = hop.arg();
    let server = Daemon::server(&spool, &["--forward-to", &address, "--poll", "1"]);
    let send = |to: &str| SmtpClient::connect(server.address()).send("a@example.com", &[to], CONTENT);
    send("slow@example.com");
    wait_in_hand(&hop);
    hop.set(Script::well());
    send("one@example.com");
    send("two@example.com");
    hop.wait_accepted(3);
    assert!(!gate.is_open(), "the slow one is still in hand");
    gate.open();
    assert!(server.stop().success());
    assert_eq!(spool.files(), Vec::<String>::new());
}

#[test]
fn a_poll_tries_a_dead_hop_while_a_slow_message_is_sent() {
    let gate = Gate::default();
    let (spool, hop, dead) = (TempSpool::new(), slow(&gate), ScriptedHop::start(Script::well()));
    dead.set(Script { greeting: Step::Close, ..Script::well() });
    routed(&spool, "a", "", "");
    routed(&spool, "b", &dead.arg(), "");
    let address = hop.arg();
    let server = Daemon::server(&spool, &["--forward-to", &address, "--poll", "1"]);
    wait_in_hand(&hop);
    dead.wait_connections(3);
    dead.set(Script::well());
    dead.wait_accepted(1);
    assert!(!gate.is_open(), "the slow one is still in hand");
    gate.open();
    assert!(server.stop().success());
}

#[test]
fn a_message_that_is_due_again_does_not_wait_for_a_slow_one() {
    let gate = Gate::default();
    let (spool, hop) = (TempSpool::new(), slow(&gate));
    let other = ScriptedHop::start(refusing());
    routed(&spool, "a", "", "");
    routed(&spool, "b", &other.arg(), "");
    let args = ["--spool-dir", spool.arg(), "--forward-to", &hop.arg(), "--retry-first", "1"];
    let mut forward = Daemon::spawn(Program::Forward, &args);
    wait_in_hand(&hop);
    forward.line("message deferred [b]");
    other.set(Script::well());
    other.wait_accepted(1);
    assert!(!gate.is_open(), "the slow one is still in hand");
    gate.open();
    assert_eq!(forward.wait().code(), Some(0), "{:#?}", forward.lines());
    assert_eq!(spool.files(), Vec::<String>::new());
}

#[test]
fn a_lingering_forwarder_tries_again_at_the_time_that_it_has_noted() {
    let (spool, hop) = (TempSpool::new(), ScriptedHop::start(refusing()));
    routed(&spool, "a", "", "");
    let args =
        ["--spool-dir", spool.arg(), "--forward-to", &hop.arg(), "--retry-first", "1", "--linger", "600"];
    let mut forward = Daemon::spawn(Program::Forward, &args);
    forward.line("message deferred [a]");
    hop.set(Script::well());
    hop.wait_accepted(1);
    wait_for("the message to be gone", PATIENCE, || spool.files().is_empty().then_some(()));
    forward.signal(Signal::SIGTERM);
    assert_eq!(forward.wait().code(), Some(0), "{:#?}", forward.lines());
}

#[test]
fn a_long_queue_makes_way_for_another_destination_after_a_turn() {
    // Three turns of the long queue.
    const MANY: usize = 300;
    let (spool, hop) = (TempSpool::new(), ScriptedHop::start(Script::well()));
    routed(&spool, "a", "", "");
    routed(&spool, "b", "", "other");
    for number in 0..MANY {
        routed(&spool, &format!("c{number:03}"), "", "");
    }
    let args = ["--spool-dir", spool.arg(), "--forward-to", &hop.arg(), "--forward-connections-max", "1"];
    let mut forward = Daemon::spawn(Program::Forward, &args);
    assert_eq!(forward.wait().code(), Some(0), "{:#?}", forward.lines());
    let order: Vec<String> = hop.accepted().into_iter().map(|mut delivery| delivery.rcpt.remove(0)).collect();
    assert_eq!(order.len(), MANY + 2);
    let place = order.iter().position(|recipient| recipient == "<b@example.com>").unwrap();
    assert!(place < MANY, "it was the last but {}", MANY + 1 - place);
}

#[test]
fn a_reload_changes_the_numbers_of_connections_of_a_run() {
    let gate = Gate::default();
    let (spool, hop) = (TempSpool::new(), slow(&gate));
    let file = spool.path().join("conf");
    let configure = |connections: &str| {
        let more = format!("forward-connections {connections}\nforward-connections-max {connections}\n");
        std::fs::write(&file, more).unwrap();
    };
    configure("1");
    let address = hop.arg();
    let server = Daemon::server(&spool, &["--forward-to", &address, "--poll", "1", file.to_str().unwrap()]);
    let mut client = SmtpClient::connect(server.address());
    for to in ["one@example.com", "two@example.com", "three@example.com"] {
        client.send("a@example.com", &[to], CONTENT);
    }
    drop(client);
    wait_in_hand(&hop);
    configure("3");
    server.signal(Signal::SIGHUP);
    server.line("configuration reloaded");
    wait_for("the other messages to be in hand", PATIENCE, || (hop.delivered() == 3).then_some(()));
    assert!(!gate.is_open() && hop.connections() == 3);
    gate.open();
    assert!(server.stop().success());
}
