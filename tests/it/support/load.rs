//! Constant load on port 25 of a container, and what became of every message of it.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::client::{Broken, SmtpClient};
use super::container::local;
use super::hop::Delivery;
use super::{PATIENCE, wait_for};

/// Clients that never stop: one connection after the other, a few messages in each.
#[derive(Default)]
pub(crate) struct Load {
    next: AtomicUsize,
    acknowledged: AtomicUsize,
    sessions: AtomicUsize,
    refused: AtomicUsize,
    /// Connections that ended without the word that they would.
    broken: Mutex<Vec<String>>,
    stop: AtomicBool,
    ids: Mutex<Vec<usize>>,
}

/// Raises the flag when it goes out of scope.
struct EndOf<'a>(&'a AtomicBool);

impl Drop for EndOf<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Load {
    /// Four clients send for as long as `part` runs. Call it in the container's network.
    pub(crate) fn during(&self, part: impl FnOnce()) {
        std::thread::scope(|scope| {
            // Also when a wait fails: the scope waits for the clients.
            let _end = EndOf(&self.stop);
            for _ in 0..4 {
                scope.spawn(|| self.generate());
            }
            part();
        });
    }

    /// Messages acknowledged so far.
    pub(crate) fn acknowledged(&self) -> usize {
        self.acknowledged.load(Ordering::SeqCst)
    }

    /// Waits until so many have been acknowledged.
    pub(crate) fn wait_more(&self, what: &str, wanted: usize) {
        wait_for(what, PATIENCE, || (self.acknowledged() > wanted).then_some(()));
    }

    /// No connection was refused or broken; every acknowledged message has been delivered, and none twice.
    pub(crate) fn check(self, delivered: &[Delivery]) {
        let ids = self.ids.into_inner().unwrap();
        let (refused, broken) = (self.refused.into_inner(), self.broken.into_inner().unwrap());
        assert!(refused == 0 && broken.is_empty(), "{refused} refused connections, broken ones: {broken:?}");
        let seen = count_ids(delivered);
        let lost: Vec<_> = ids.iter().filter(|id| !seen.contains_key(*id)).collect();
        let doubled: Vec<_> = seen.iter().filter(|(_, count)| **count > 1).collect();
        let sessions = self.sessions.into_inner();
        eprintln!("{} acknowledged in {sessions} sessions, {} delivered", ids.len(), seen.len());
        assert!(
            !ids.is_empty() && lost.is_empty() && doubled.is_empty(),
            "lost {lost:?}, doubled {doubled:?}"
        );
    }

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
