//! The whole relay under a real systemd: mail in on port 25, safe in the spool, out to the next hop.

use std::time::{Duration, Instant};

use crate::support::load::Load;
use crate::support::need::{self, require};
use crate::support::relay::{FORWARD, Relay, SMTP};
use crate::support::rootfs::Rootfs;
use crate::support::{PATIENCE, wait_for};

#[test]
fn container_end_to_end() {
    require!(Rootfs::missing(), need::program("swaks"));
    let relay = Relay::enabled();
    // The timer's first run finds nothing and ends; from now on only a message wakes anything.
    relay.wait_no_process();
    relay.container.systemctl(&["stop", "emailrelay-forward.timer"]);
    assert_eq!(relay.container.processes("emailrelay"), [""; 0]);

    relay.swaks();
    let acknowledged = Instant::now();
    let delivery = &relay.hop().wait_accepted(1)[0];
    let taken = acknowledged.elapsed();
    eprintln!("acknowledged to delivered: {taken:?}");
    // A second is the rule; the limit is for a busy machine.
    assert!(taken < Duration::from_secs(10), "{taken:?}");
    assert!(delivery.mail.starts_with("<a@example.com> "), "{delivery:?}");
    assert_eq!(delivery.rcpt, ["<b@example.com>"]);
    relay.wait_empty_spool();
    assert_eq!((relay.container.starts(SMTP), relay.container.starts(FORWARD)), (1, 1));
    story_in_the_journal(&relay);
}

/// One id leads through both roles, each line with its kind, explained by the catalog.
fn story_in_the_journal(relay: &Relay) {
    let ids = relay.container.journal(&["-F", "EMAILRELAY_MSGID"]);
    assert_eq!(ids.lines().count(), 1, "{ids}");
    let story = format!("EMAILRELAY_MSGID={}", ids.trim());
    let fields = "--output-fields=SYSLOG_IDENTIFIER,MESSAGE,MESSAGE_ID";
    let lines = relay.container.journal(&[&story, "-o", "json", fields]);
    let (first, last) = (lines.lines().next().unwrap(), lines.lines().last().unwrap());
    for (line, program, text) in
        [(first, "emailrelay-smtp", "message stored"), (last, "emailrelay-forward", "message forwarded")]
    {
        assert!(line.contains(&format!("\"SYSLOG_IDENTIFIER\":\"{program}\"")), "{program}: {lines}");
        assert!(line.contains("\"MESSAGE_ID\"") && line.contains(text), "{text}: {lines}");
    }
    let explained = relay.container.journal(&[&story, "-x"]);
    for text in ["Subject: Message stored", "Subject: Message forwarded", "Defined-By: E-MailRelay"] {
        assert!(explained.contains(text), "no catalog text: {explained}");
    }
}

#[test]
fn idle_server_exits_and_the_next_client_starts_it_again() {
    require!(Rootfs::missing(), need::program("swaks"));
    let relay = Relay::enabled();
    relay.role("smtp", "--idle-exit 1");
    for count in 1..=3 {
        relay.swaks();
        relay.hop().wait_accepted(count);
        relay.wait_smtp("inactive");
        assert_eq!(relay.smtp("Result"), "success");
    }
    assert_eq!(relay.container.starts(SMTP), 3);
}

#[test]
fn message_waits_for_a_next_hop_that_is_down_and_nothing_spins() {
    require!(Rootfs::missing(), need::program("swaks"));
    let mut relay = Relay::enabled();
    relay.hop = None;
    relay.role("forward", "--linger 0");
    relay.quick_timer();
    let (began, before) = (Instant::now(), relay.container.starts(FORWARD));
    relay.swaks();
    wait_for("runs by the timer", PATIENCE, || (relay.container.starts(FORWARD) >= before + 4).then_some(()));
    // One start by the request, then one per period.
    let starts = relay.container.starts(FORWARD) - before;
    let periods = usize::try_from(began.elapsed().as_secs()).unwrap() / 2;
    eprintln!("{starts} starts of the forwarder in {:?}", began.elapsed());
    assert!(starts <= periods + 3, "{starts} starts in {periods} periods");
    assert_eq!(relay.spool_files().iter().filter(|file| file.contains(".envelope.bad")).count(), 0);
    assert_eq!(relay.spool_files().iter().filter(|file| file.contains(".envelope")).count(), 1);

    relay.hop_up();
    relay.hop().wait_accepted(1);
    relay.wait_empty_spool();
    assert_eq!(relay.hop().accepted().len(), 1);
}

#[test]
fn twenty_restarts_under_load_refuse_lose_and_double_nothing() {
    require!(Rootfs::missing());
    let relay = Relay::enabled();
    let load = Load::default();
    relay.container.in_network(|| {
        load.during(|| {
            for round in 0..20 {
                let reached = load.acknowledged();
                relay.container.systemctl(&["restart", SMTP]);
                // The next restart comes when the load is really flowing again.
                load.wait_more(&format!("messages after restart {round}"), reached + 20);
            }
        });
    });
    relay.wait_empty_spool();
    load.check(&relay.hop().accepted());
}
