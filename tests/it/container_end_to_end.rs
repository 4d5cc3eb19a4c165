//! The whole relay under a real systemd: mail in on port 25, safe in the spool, out to the next hop.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::container::installed_container;
use crate::support::client::{Broken, SmtpClient};
use crate::support::container::{Container, local};
use crate::support::hop::{Delivery, Script, ScriptedHop};
use crate::support::need::{self, require};
use crate::support::rootfs::Rootfs;
use crate::support::{PATIENCE, spool, wait_for};

/// A container with the relay configured and enabled, and perhaps a next hop in its network.
struct Relay {
    container: Container,
    hop: Option<ScriptedHop>,
}

impl Relay {
    /// Everything as an administrator does it: install, configure, enable three units.
    fn enabled() -> Self {
        let container = installed_container();
        container.run(&["journalctl", "--update-catalog"]);
        container.write("/etc/emailrelay.conf", "forward-to 127.0.0.1:2526\nretry-first 1\nretry-max 2\n");
        let mut relay = Self { container, hop: None };
        relay.hop_up();
        relay.container.systemctl(&["enable", "--now", UNITS[0], UNITS[1], UNITS[2]]);
        relay
    }

    fn hop_up(&mut self) {
        self.hop = Some(self.container.in_network(|| ScriptedHop::start_on(local(2526), Script::well())));
    }

    fn hop(&self) -> &ScriptedHop {
        self.hop.as_ref().expect("the next hop is up")
    }

    /// Overrides the command line of a role: `option` in front of what the unit has.
    fn role(&self, role: &str, options: &str) {
        let start = format!(
            "[Service]\nExecStart=\nExecStart=/usr/local/sbin/emailrelay-{role} {options} /etc/emailrelay.conf\n"
        );
        self.container.drop_in(&format!("emailrelay-{role}.service"), &start);
    }

    /// The timer as often as a test can wait for.
    fn quick_timer(&self) {
        let often = "[Timer]\nOnUnitInactiveSec=\nOnUnitInactiveSec=2\nAccuracySec=100ms\n";
        self.container.drop_in("emailrelay-forward.timer", often);
        self.container.systemctl(&["restart", "emailrelay-forward.timer"]);
    }

    /// One message by swaks from inside; returns when it has been acknowledged.
    fn swaks(&self) {
        let envelope = ["--from", "a@example.com", "--to", "b@example.com", "--header", "Subject: first"];
        self.container
            .run(&[&["swaks", "--server", "127.0.0.1:25", "--silent", "2"][..], &envelope].concat());
    }

    fn wait_no_process(&self) {
        wait_for("no process", Duration::from_secs(90), || {
            self.container.processes("emailrelay").is_empty().then_some(())
        });
    }

    fn wait_empty_spool(&self) {
        wait_for("empty spool", PATIENCE, || self.spool_files().is_empty().then_some(()));
    }

    fn spool_files(&self) -> Vec<String> {
        spool::list(&self.container.path("/var/spool/emailrelay"))
    }
}

#[test]
#[ignore = "waits for the role programs"]
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
    assert!(taken < Duration::from_secs(5), "{taken:?}");
    assert_eq!(
        (delivery.mail.as_str(), delivery.rcpt.as_slice()),
        ("<a@example.com>", &["<b@example.com>".to_owned()][..])
    );
    relay.wait_empty_spool();
    story_in_the_journal(&relay);
    services_say_how_they_are(&relay);
}

/// One id leads through both roles, each line with its kind, explained by the catalog.
fn story_in_the_journal(relay: &Relay) {
    let ids = relay.container.journal(&["-F", "EMAILRELAY_MSGID"]);
    assert_eq!(ids.lines().count(), 1, "{ids}");
    let story = format!("EMAILRELAY_MSGID={}", ids.trim());
    let programs =
        relay.container.journal(&[&story, "-o", "json", "--output-fields=SYSLOG_IDENTIFIER,MESSAGE_ID"]);
    for program in ["emailrelay-smtp", "emailrelay-forward"] {
        let mut lines =
            programs.lines().filter(|line| line.contains(&format!("\"SYSLOG_IDENTIFIER\":\"{program}\"")));
        assert!(lines.any(|line| line.contains("\"MESSAGE_ID\"")), "{program}: {programs}");
    }
    let explained = relay.container.journal(&[&story, "-x"]);
    assert!(explained.contains("Subject:"), "no catalog text: {explained}");
}

/// Readiness, live status, and a watchdog that is fed.
fn services_say_how_they_are(relay: &Relay) {
    let property = |name| relay.container.property("emailrelay-smtp.service", name);
    assert_eq!(property("ActiveState"), "active");
    assert_ne!(property("StatusText"), "");
    let pid = property("MainPID");
    relay.container.systemctl(&["reload", "emailrelay-smtp.service"]);
    assert_eq!((property("ActiveState").as_str(), property("MainPID")), ("active", pid));
}

#[test]
#[ignore = "waits for the role programs"]
fn idle_server_exits_and_the_next_client_starts_it_again() {
    require!(Rootfs::missing(), need::program("swaks"));
    let relay = Relay::enabled();
    relay.role("smtp", "--idle-exit 1");
    for count in 1..=3 {
        relay.swaks();
        relay.hop().wait_accepted(count);
        let state = || relay.container.property("emailrelay-smtp.service", "ActiveState");
        wait_for("idle exit", PATIENCE, || (state() == "inactive").then_some(()));
        assert_eq!(relay.container.property("emailrelay-smtp.service", "Result"), "success");
    }
    assert_eq!(relay.container.starts("emailrelay-smtp.service"), 3);
}

#[test]
#[ignore = "waits for the role programs"]
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
    assert!(starts <= periods + 3, "{starts} starts in {periods} periods");
    assert_eq!(relay.spool_files().iter().filter(|file| file.contains(".envelope.bad")).count(), 0);
    assert_eq!(relay.spool_files().iter().filter(|file| file.contains(".envelope")).count(), 1);

    relay.hop_up();
    relay.hop().wait_accepted(1);
    relay.wait_empty_spool();
    assert_eq!(relay.hop().accepted().len(), 1);
}

#[test]
#[ignore = "waits for the role programs"]
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
                relay.container.systemctl(&["restart", "emailrelay-smtp.service"]);
                // The next restart comes when the load is really flowing again.
                let more = || load.acknowledged.load(Ordering::SeqCst) > reached + 20;
                wait_for(&format!("messages after restart {round}"), PATIENCE, || more().then_some(()));
            }
        });
    });
    let ids = load.ids.into_inner().unwrap();
    assert_eq!(load.refused.into_inner(), 0, "refused connections");
    relay.wait_empty_spool();
    let seen = count_ids(&relay.hop().accepted());
    let lost: Vec<_> = ids.iter().filter(|id| !seen.contains_key(*id)).collect();
    let doubled: Vec<_> = seen.iter().filter(|(_, count)| **count > 1).collect();
    eprintln!("{} acknowledged, {} delivered", ids.len(), seen.len());
    assert!(lost.is_empty() && doubled.is_empty(), "lost {lost:?}, doubled {doubled:?}");
}

/// Clients that never stop: one connection after the other, a few messages in each.
#[derive(Default)]
struct Load {
    next: AtomicUsize,
    acknowledged: AtomicUsize,
    refused: AtomicUsize,
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
            if let Err(broken) = self.session() {
                self.refused.fetch_add(usize::from(broken.refused), Ordering::SeqCst);
            }
        }
    }

    /// A session may end with 421 or be cut off at any point; only a 250 to the content counts.
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

const UNITS: [&str; 3] = ["emailrelay-smtp.socket", "emailrelay-forward.path", "emailrelay-forward.timer"];
const FORWARD: &str = "emailrelay-forward.service";
