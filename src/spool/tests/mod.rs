//! Tests of the spool as a whole.

mod concurrency;
mod crash;
mod delivery;
pub(crate) mod disk;
mod failed;
mod faults;
mod filters;
mod life;
mod mailbox;
mod needs;
mod operate;
mod trouble;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, SystemTime};

use super::*;

const CONTENT_TEXT: &[u8] = b"Subject: test\r\n\r\nhello\r\n";

/// A spool, and what makes its disk remove nothing from then on.
pub(crate) fn spool_that_may_keep_its_files(place: &Path) -> (Arc<Spool>, impl Fn() + use<>) {
    let disk = Arc::new(disk::TestDisk::new(place));
    let spool = Spool::with_disk(disk.clone(), place, SpoolConfig::default()).unwrap();
    (spool, move || disk.fail(disk::Operation::Unlink, nix::errno::Errno::EIO))
}

fn envelope(recipients: &[&str]) -> Envelope {
    Envelope {
        sender: "a@example.com".to_owned(),
        remote: recipients.iter().map(|address| (*address).to_owned()).collect(),
        client: "127.0.0.1".to_owned(),
        ..Envelope::default()
    }
}

fn open(directory: &Path) -> Arc<Spool> {
    Spool::open(directory, SpoolConfig::default()).unwrap()
}

/// A spool whose disk fails when it is told to.
pub(crate) fn on_test_disk(directory: &Path) -> (Arc<Spool>, Arc<disk::TestDisk>) {
    let disk = Arc::new(disk::TestDisk::new(directory));
    let spool = Spool::with_disk(Arc::clone(&disk) as Arc<dyn Disk>, directory, SpoolConfig::default());
    (spool.unwrap(), disk)
}

/// Stores a message and waits for the outcome.
fn store(spool: &Spool, recipients: &[&str]) -> Result<MessageId, StoreError> {
    let mut message = spool.create(&spool.next_id())?;
    message.append(CONTENT_TEXT)?;
    message.write_envelope(&envelope(recipients))?;
    commit(message)
}

fn commit(message: NewMessage) -> Result<MessageId, StoreError> {
    let (done, outcome) = channel();
    message.commit(move |result| done.send(result).unwrap());
    outcome.recv_timeout(Duration::from_secs(60)).unwrap()
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn lock(spool: &Spool, id: &MessageId) -> LockedMessage {
    spool.lock(id).unwrap().unwrap()
}

fn retry_note() -> RetryNote {
    RetryNote {
        reason: "try later".to_owned(),
        code: Some(450),
        next_attempt: 2000,
        attempts: 1,
        first_try: 1000,
        ..RetryNote::default()
    }
}

fn fail_note() -> FailNote {
    FailNote { reason: "no mail".to_owned(), code: Some(550), ..FailNote::default() }
}
