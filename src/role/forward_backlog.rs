//! The engine with messages that wait: they are not read for every new one, and nothing that changes about them is missed.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::forward_stress::{Hop, store};
use crate::config::address::Remote;
use crate::forward::{Engine, EngineConfig, Reason, RunReport};
use crate::os::clock::unix_now;
use crate::smtp::client::ClientConfig;
use crate::spool::tests::disk::TestDisk;
use crate::spool::tests::on_test_disk;
use crate::spool::{RetryNote, Spool};

/// Messages that wait.
const COUNT: usize = 5;

struct Forwarder {
    directory: tempfile::TempDir,
    spool: Arc<Spool>,
    disk: Arc<TestDisk>,
    engine: Arc<Engine>,
}

impl Forwarder {
    fn new(next_hop: SocketAddr) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (spool, disk) = on_test_disk(directory.path());
        let config = EngineConfig {
            next_hop: Remote::Ip(next_hop),
            client: ClientConfig { ehlo_name: "a.b".to_owned(), ..ClientConfig::default() },
            ..EngineConfig::example()
        };
        let engine = Engine::new(Arc::clone(&spool), config, CancellationToken::new());
        for number in 0..COUNT {
            store(&spool, &number.to_string(), "");
        }
        Self { directory, spool, disk, engine }
    }

    /// Makes runs as new mail does, until one of them opens nothing: what was changed a moment ago is not yet remembered.
    async fn settle(&self) -> RunReport {
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            let before = self.disk.opened();
            let report = self.engine.run(Reason::Request).await;
            if self.disk.opened() == before {
                return report;
            }
            assert!(Instant::now() < end, "the backlog is read every time");
        }
    }

    fn first_envelope(&self) -> std::path::PathBuf {
        let id = self.spool.waiting().unwrap()[0].id.clone();
        self.directory.path().join(format!("{id}.envelope"))
    }
}

/// A port at which nobody answers.
fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Changes the text of a file where it is.
fn edit(path: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{text}");
    std::fs::write(path, text.replace(from, to)).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_for_a_dead_hop_are_not_read_for_every_new_one() {
    let (forwarder, other) = (Forwarder::new(nobody()), Hop::start(false).await);
    let report = forwarder.engine.run(Reason::Startup).await;
    assert!(report.fault.is_some());
    let report = forwarder.settle().await;
    assert_eq!((report.waiting, report.fault), (COUNT, None), "nothing was tried");
    assert!(report.next_due.is_some_and(|due| due > unix_now()));
    let field = "ForwardToAddress: ";
    edit(&forwarder.first_envelope(), field, &format!("{field}{}", other.address));
    let before = forwarder.disk.opened();
    let report = forwarder.engine.run(Reason::Request).await;
    assert_eq!((report.sent, report.waiting), (1, COUNT - 1), "{report:?}");
    assert!(forwarder.disk.opened() < before + 5, "the others were left alone");
    let report = forwarder.engine.run(Reason::Admin).await;
    assert!(report.fault.is_some(), "an administrator wants an attempt now");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_is_made_due_is_sent_whatever_was_known_of_it() {
    let hop = Hop::start(false).await;
    let forwarder = Forwarder::new(hop.address);
    let spool = &forwarder.spool;
    let later = unix_now() + 1000;
    for message in spool.waiting().unwrap() {
        let note = RetryNote {
            reason: "later".to_owned(),
            code: Some(450),
            next_attempt: later,
            attempts: 1,
            first_try: 1,
            ..RetryNote::default()
        };
        spool.lock(&message.id).unwrap().unwrap().retry(&note).unwrap();
    }
    let report = forwarder.settle().await;
    assert_eq!((report.sent, report.waiting, report.next_due), (0, COUNT, Some(later)));
    spool.requeue(&spool.waiting().unwrap()[0].id).unwrap();
    let report = forwarder.engine.run(Reason::Request).await;
    assert_eq!((report.sent, report.waiting), (1, COUNT - 1), "{report:?}");
    forwarder.settle().await;
    edit(&forwarder.first_envelope(), &later.to_string(), "1000");
    let report = forwarder.engine.run(Reason::Request).await;
    assert_eq!((report.sent, report.waiting), (1, COUNT - 2), "{report:?}");
    // Another configuration may mean other times and ways.
    forwarder.settle().await;
    let before = forwarder.disk.opened();
    forwarder.engine.reload((*forwarder.engine.config()).clone());
    let report = forwarder.engine.run(Reason::Request).await;
    assert_eq!((report.waiting, forwarder.disk.opened() - before), (COUNT - 2, COUNT - 2));
}
