//! The whole relay under a real systemd: mail in on port 25, safe in the spool, out to the next hop.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::client::{Broken, SmtpClient};
use crate::support::container::local;
use crate::support::hop::Delivery;
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
        std::thread::scope(|scope| {
            // Also when a wait fails: the scope waits for the clients.
            let _end = EndOf(&load.stop);
            for _ in 0..4 {
                scope.spawn(|| load.generate());
            }
            for round in 0..20 {
                let reached = load.acknowledged.load(Ordering::SeqCst);
                relay.container.systemctl(&["restart", SMTP]);
                // The next restart comes when the load is really flowing again.
                let more = || load.acknowledged.load(Ordering::SeqCst) > reached + 20;
                wait_for(&format!("messages after restart {round}"), PATIENCE, || more().then_some(()));
            }
        });
    });
    let ids = load.ids.into_inner().unwrap();
    let (refused, broken) = (load.refused.into_inner(), load.broken.into_inner().unwrap());
    assert!(refused == 0 && broken.is_empty(), "{refused} refused connections, broken ones: {broken:?}");
    relay.wait_empty_spool();
    let seen = count_ids(&relay.hop().accepted());
    let lost: Vec<_> = ids.iter().filter(|id| !seen.contains_key(*id)).collect();
    let doubled: Vec<_> = seen.iter().filter(|(_, count)| **count > 1).collect();
    let sessions = load.sessions.into_inner();
    eprintln!("{} acknowledged in {sessions} sessions, {} delivered", ids.len(), seen.len());
    assert!(lost.is_empty() && doubled.is_empty(), "lost {lost:?}, doubled {doubled:?}");
}

/// Clients that never stop: one connection after the other, a few messages in each.
#[derive(Default)]
struct Load {
    next: AtomicUsize,
    acknowledged: AtomicUsize,
    sessions: AtomicUsize,
    refused: AtomicUsize,
    /// Connections that ended without the word that they would.
    broken: std::sync::Mutex<Vec<String>>,
    stop: AtomicBool,
    ids: std::sync::Mutex<Vec<usize>>,
}

/// Raises the flag when it goes out of scope.
struct EndOf<'a>(&'a AtomicBool);

impl Drop for EndOf<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Load {
    fn generate(&self) {
        while !self.stop.load(Ordering::SeqCst) {
            self.sessions.fetch_add(1, Ordering::SeqCst);
            match self.session() {
                Ok(()) => {}
                Err(broken) if broken.refused => drop(self.refused.fetch_add(1, Ordering::SeqCst)),
                Err(broken) => self.broken.lock().unwrap().push(broken.reason),
            }
        }
    }

    /// A session may end with 421 between messages; only a 250 to the content counts.
    fn session(&self) -> Result<(), Broken> {
        let mut client = SmtpClient::try_connect(local(25))?;
        if client.greeting.code != 220 || client.try_command("EHLO load.test")?.code != 250 {
            return Ok(());
        }
        for _ in 0..5 {
            let id = self.next.fetch_add(1, Ordering::SeqCst);
            let content = format!("X-Test-Id: {id}\r\nSubject: load\r\n\r\nbody\r\n");
            if client.try_send("a@example.com", &["b@example.com"], content.as_bytes())?.code != 250 {
                return Ok(());
            }
            self.ids.lock().unwrap().push(id);
            self.acknowledged.fetch_add(1, Ordering::SeqCst);
        }
        client.try_command("QUIT").map(drop)
    }
}

fn count_ids(deliveries: &[Delivery]) -> BTreeMap<usize, usize> {
    let mut counts = BTreeMap::new();
    for delivery in deliveries {
        let text = String::from_utf8_lossy(&delivery.content);
        let id = text.lines().find_map(|line| line.strip_prefix("X-Test-Id: ")).expect("our message");
        *counts.entry(id.parse().unwrap()).or_default() += 1;
    }
    counts
}
