//! The engine when something is wrong with ourselves: messages wait for another time, and nobody takes the spool for empty.

use std::sync::Arc;

use nix::errno::Errno;
use tokio_util::sync::CancellationToken;

use super::forward_stress::{Hop, store};
use crate::config::address::Remote;
use crate::forward::{Engine, EngineConfig, Reason};
use crate::os::clock::unix_now;
use crate::smtp::client::ClientConfig;
use crate::spool::tests::disk::{Operation, TestDisk};
use crate::spool::tests::on_test_disk;

/// One run over a spool with three messages after something was done to its disk, and one after that was undone.
async fn run_in_trouble(break_it: impl FnOnce(&TestDisk)) {
    let directory = tempfile::tempdir().unwrap();
    let (spool, disk) = on_test_disk(directory.path());
    let hop = Hop::start(false).await;
    for subject in ["one", "two", "three"] {
        store(&spool, subject, "");
    }
    let config = EngineConfig {
        next_hop: Remote::Ip(hop.address),
        client: ClientConfig { ehlo_name: "a.b".to_owned(), ..ClientConfig::default() },
        ..EngineConfig::example()
    };
    let first = config.schedule.first.as_secs();
    let engine = Engine::new(Arc::clone(&spool), config, CancellationToken::new());
    break_it(&disk);
    let before = unix_now();
    let report = engine.run(Reason::Startup).await;
    assert_eq!((report.sent, report.failed, report.waiting), (0, 0, 3), "{report:?}");
    assert!(report.next_due.is_some_and(|due| (before + first..=unix_now() + first).contains(&due)));
    disk.heal();
    let report = engine.run(Reason::Request).await;
    assert_eq!((report.sent, report.waiting, report.next_due), (3, 0, None), "{report:?}");
    assert_eq!(hop.got.lock().unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn envelopes_that_cannot_be_read_now_wait() {
    run_in_trouble(|disk| disk.fail(Operation::Open, Errno::EMFILE)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_cannot_be_locked_now_wait() {
    run_in_trouble(|disk| disk.fail(Operation::Rename, Errno::EIO)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bug_while_envelopes_are_read_loses_nobody() {
    run_in_trouble(|disk| disk.panic_at(Operation::Open)).await;
}
