//! A run that lasts: what comes due meanwhile does not wait for its end.

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
    let other = ScriptedHop::start(Script { mail: reply("450 later"), ..Script::well() });
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
    let (spool, hop) =
        (TempSpool::new(), ScriptedHop::start(Script { mail: reply("450 later"), ..Script::well() }));
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
