//! Several threads, handles and processes on one spool.

use std::collections::HashSet;
use std::process::Command;
use std::thread;

use super::*;

#[test]
fn two_spools_of_one_process_never_share_an_id() {
    let place = tempfile::tempdir().unwrap();
    let spools = [open(place.path()), open(place.path()), open(place.path())];
    let ids: Vec<MessageId> = thread::scope(|scope| {
        let workers: Vec<_> = spools
            .iter()
            .map(|spool| {
                scope.spawn(move || (0..100).map(|_| store(spool, &["b@x"]).unwrap()).collect::<Vec<_>>())
            })
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    assert_eq!(ids.len(), 300);
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 300);
    assert_eq!(spools[0].waiting().unwrap().len(), 300);
    assert_eq!(names(place.path()).len(), 600);
}

#[test]
fn a_change_during_a_directory_sync_is_made_durable_by_another_one() {
    let place = tempfile::tempdir().unwrap();
    let (spool, disk) = on_test_disk(place.path());
    let (first, second) = (store(&spool, &["b@x"]).unwrap(), store(&spool, &["b@x"]).unwrap());
    let message = lock(&spool, &first);
    spool.flush().unwrap();
    let (changed, seen) = channel();
    let other = Arc::clone(&spool);
    disk.during_directory_sync(move || {
        lock(&other, &second).unlock().unwrap();
        changed.send(()).unwrap();
    });
    message.unlock().unwrap();
    // Nobody waits for either of them.
    seen.recv_timeout(Duration::from_secs(60)).unwrap();
    let end = std::time::Instant::now() + Duration::from_secs(60);
    while disk.unsynced_changes() > 0 {
        assert!(std::time::Instant::now() < end, "a change is never synced");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn every_message_goes_to_one_of_several_threads_and_processes() {
    // The other processes run this test as well, and find here what they are for.
    if let Some(directory) = std::env::var_os(SPOOL_VARIABLE) {
        return forward_all(&open(Path::new(&directory))).iter().for_each(|id| println!("\ntook {id}"));
    }
    let place = tempfile::tempdir().unwrap();
    let spool = open(place.path());
    let expected: HashSet<String> =
        (0..200).map(|_| store(&spool, &["b@example.net"]).unwrap().to_string()).collect();
    let children: Vec<_> = (0..2)
        .map(|_| {
            Command::new(std::env::current_exe().unwrap())
                .args(["--exact", THIS, "--nocapture"])
                .env(SPOOL_VARIABLE, place.path())
                .stdout(std::process::Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    let mut taken: Vec<String> = thread::scope(|scope| {
        let workers: Vec<_> = (0..3).map(|_| scope.spawn(|| forward_all(&open(place.path())))).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).unwrap();
        taken.extend(text.lines().filter_map(|line| line.strip_prefix("took ")).map(str::to_owned));
    }
    assert_eq!(taken.len(), 200);
    assert_eq!(taken.into_iter().collect::<HashSet<_>>(), expected);
    assert_eq!(names(place.path()), Vec::<String>::new());
}

const THIS: &str = "spool::tests::concurrency::every_message_goes_to_one_of_several_threads_and_processes";
const SPOOL_VARIABLE: &str = "EMAILRELAY_TEST_SPOOL";

/// Takes what it can until nothing is left, with a recovery in between that must not touch what others hold.
fn forward_all(spool: &Spool) -> Vec<String> {
    let mut sent = Vec::new();
    loop {
        let waiting = spool.waiting().unwrap();
        if waiting.is_empty() {
            return sent;
        }
        assert_eq!(spool.recover(Duration::ZERO).unwrap(), Recovery::default());
        for message in waiting {
            match spool.lock(&message.id) {
                Ok(Some(mut message)) => {
                    message.content().unwrap();
                    sent.push(message.id().to_string());
                    message.sent().unwrap();
                }
                Ok(None) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
}

#[test]
fn nothing_is_lost_when_storing_sweeping_and_forwarding_meet() {
    let place = tempfile::tempdir().unwrap();
    let spool = open(place.path());
    let stored = thread::scope(|scope| {
        let storing: Vec<_> = (0..4)
            .map(|_| {
                let spool = &spool;
                scope.spawn(move || (0..50).map(|_| store(spool, &["b@x"]).unwrap()).collect::<Vec<_>>())
            })
            .collect();
        let sweeping = scope.spawn(|| {
            let other = open(place.path());
            while spool.counts().unwrap().waiting < 200 {
                other.sweep(Duration::ZERO, SweepMode::Remove).unwrap();
            }
        });
        let stored: Vec<_> = storing.into_iter().flat_map(|worker| worker.join().unwrap()).collect();
        sweeping.join().unwrap();
        stored
    });
    for id in stored {
        let mut message = lock(&spool, &id);
        assert_eq!(message.content().unwrap().1, CONTENT_TEXT.len() as u64);
        message.sent().unwrap();
    }
    spool.sweep(Duration::ZERO, SweepMode::Remove).unwrap();
    assert_eq!(names(place.path()), Vec::<String>::new());
}
