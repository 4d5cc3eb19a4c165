//! Mailboxes: what is listed, what is shared, and what deleting leaves alone.

use std::collections::HashSet;
use std::io::Read as _;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use nix::errno::Errno;

use super::disk::{Operation, TestDisk};
use super::*;

fn put(directory: &Path, names: &[&str]) {
    for name in names {
        fs::write(directory.join(name), CONTENT_TEXT).unwrap();
    }
}

fn mailbox(spool: &Spool, name: &str) -> Result<Mailbox, MailboxError> {
    let name = Some(name).filter(|name| !name.is_empty()).map(|name| name.parse().unwrap());
    spool.mailbox(name.as_ref())
}

fn ids(mailbox: &Mailbox) -> Vec<String> {
    (0..mailbox.count()).map(|index| mailbox.id(index).unwrap().to_string()).collect()
}

fn remove_all(mailbox: &Mailbox) -> Removal {
    mailbox.remove(0..mailbox.count())
}

fn text(mailbox: &Mailbox, index: usize) -> String {
    let (mut file, size) = mailbox.open(index).unwrap();
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    assert_eq!(text.len() as u64, size);
    text
}

#[test]
fn ready_messages_are_listed_in_the_order_of_their_names() {
    let dir = tempfile::tempdir().unwrap();
    for stem in ["e.1", "e.10", "e.2", "foo"] {
        put(dir.path(), &[&format!("{stem}.envelope"), &format!("{stem}.content")]);
    }
    put(dir.path(), &["new.envelope.new", "new.content", "busy.envelope.busy", "busy.content"]);
    put(
        dir.path(),
        &["bad.envelope.bad", "bad.content", "alone.envelope", "empty.envelope", "link.envelope"],
    );
    fs::write(dir.path().join("empty.content"), "").unwrap();
    symlink(dir.path().join("foo.content"), dir.path().join("link.content")).unwrap();
    symlink(dir.path().join("foo.envelope"), dir.path().join("linked.envelope")).unwrap();
    put(dir.path(), &["linked.content"]);
    fs::create_dir(dir.path().join("dir.envelope")).unwrap();
    put(dir.path(), &["dir.content"]);
    let spool = open(dir.path());
    let mailbox = mailbox(&spool, "").unwrap();
    assert_eq!(ids(&mailbox), ["e.1", "e.10", "e.2", "foo"]);
    assert_eq!(mailbox.total(), 4 * CONTENT_TEXT.len() as u64);
    assert_eq!(mailbox.unique_name(1), "e.10.content");
    assert_eq!(text(&mailbox, 0).as_bytes(), CONTENT_TEXT);
    fs::remove_file(dir.path().join("foo.content")).unwrap();
    assert_eq!(mailbox.open(3).unwrap_err(), ContentError::Gone);
    assert_eq!(mailbox.open(4).unwrap_err(), ContentError::Gone);
}

#[test]
fn a_folder_is_made_for_the_group_and_its_content_may_be_in_the_spool() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o2770)).unwrap();
    let spool = open(dir.path());
    let empty = mailbox(&spool, "alice").unwrap();
    assert!(empty.created());
    assert_eq!((empty.count(), mode(&dir.path().join("alice"))), (0, 0o2770));
    drop(empty);
    put(dir.path(), &["a.content", "b.content"]);
    put(&dir.path().join("alice"), &["a.envelope", "b.envelope", "c.envelope"]);
    fs::write(dir.path().join("alice/b.content"), "own").unwrap();
    let alice = mailbox(&spool, "alice").unwrap();
    assert_eq!(ids(&alice), ["a", "b"]);
    assert!(!alice.created());
    assert_eq!((text(&alice, 0).as_bytes(), text(&alice, 1).as_str()), (CONTENT_TEXT, "own"));
    let removal = remove_all(&alice);
    assert_eq!((removal.removed, removal.held.len()), (2, 0));
    assert_eq!(names(&dir.path().join("alice")), ["c.envelope"]);
    assert_eq!(names(dir.path()), ["alice", "b.content"], "the copy in the spool is not this message's");
}

#[test]
fn a_folder_has_one_session_and_the_spool_many() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path());
    let first = mailbox(&spool, "alice").unwrap();
    assert_eq!(mailbox(&spool, "alice").unwrap_err(), MailboxError::InUse);
    // Another process.
    assert_eq!(mailbox(&open(dir.path()), "alice").unwrap_err(), MailboxError::InUse);
    mailbox(&spool, "bob").unwrap();
    drop(first);
    mailbox(&spool, "alice").unwrap();
    let _one = mailbox(&spool, "").unwrap();
    mailbox(&spool, "").unwrap();
}

#[test]
fn what_is_no_directory_of_ours_is_unavailable_and_not_empty() {
    let dir = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    put(outside.path(), &["x.envelope", "x.content"]);
    put(dir.path(), &["file"]);
    symlink(outside.path(), dir.path().join("link")).unwrap();
    let spool = open(dir.path());
    for name in ["file", "link"] {
        assert!(matches!(mailbox(&spool, name), Err(MailboxError::Unreadable(_))), "{name}");
    }
    fs::create_dir(dir.path().join("gone")).unwrap();
    let usable: Vec<String> = spool
        .mailboxes()
        .unwrap()
        .iter()
        .map(|(name, usable)| format!("{} {usable}", name.as_str()))
        .collect();
    assert_eq!(usable, ["gone true"]);
}

#[test]
fn shared_content_goes_with_its_last_envelope_in_any_state() {
    for other in [
        "bob/m.envelope",
        "bob/m.envelope.new",
        ".hid/m.envelope",
        "m.envelope",
        "m.envelope.busy",
        "m.envelope.bad",
        "m.envelope.new",
        "m.envelope.hold",
        "bob/m.envelope.kept",
    ] {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["alice", "bob", ".hid"] {
            fs::create_dir(dir.path().join(folder)).unwrap();
        }
        put(dir.path(), &["m.content", "alice/m.envelope", other]);
        let spool = open(dir.path());
        let alice = mailbox(&spool, "alice").unwrap();
        assert_eq!(remove_all(&alice).removed, 1);
        assert!(!dir.path().join("alice/m.envelope").exists());
        assert!(dir.path().join("m.content").exists(), "{other}");
        fs::remove_file(dir.path().join(other)).unwrap();
        put(dir.path(), &["alice/m.envelope"]);
        drop(alice);
        let removal = remove_all(&mailbox(&spool, "alice").unwrap());
        assert_eq!((removal.removed, removal.left.len()), (1, 0));
        assert!(!dir.path().join("m.content").exists(), "{other}");
    }
}

#[test]
fn a_message_of_the_spool_keeps_the_content_that_mailboxes_need() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("alice")).unwrap();
    put(dir.path(), &["m.content", "m.envelope", "alice/m.envelope", "n.content", "n.envelope"]);
    let spool = open(dir.path());
    assert_eq!(remove_all(&mailbox(&spool, "").unwrap()).removed, 2);
    assert_eq!(names(dir.path()), ["alice", "m.content"]);
}

#[test]
fn a_message_that_a_forwarder_has_is_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path());
    let [taken, failed, gone, ours] = [(); 4].map(|()| store(&spool, &["b@example.com"]).unwrap());
    let mailbox = mailbox(&spool, "").unwrap();
    let locked = lock(&spool, &taken);
    lock(&spool, &failed).fail(&fail_note()).unwrap();
    lock(&spool, &gone).sent().unwrap();
    let removal = remove_all(&mailbox);
    assert_eq!(removal.removed, 2, "ours, and the one that is gone already");
    let held: HashSet<MessageId> = removal.held.iter().map(|held| held.id.clone()).collect();
    assert_eq!(held, HashSet::from([taken.clone(), failed.clone()]));
    assert!(removal.held.iter().all(|held| held.errno.is_none()));
    locked.unlock().unwrap();
    let mut left =
        [taken.file(id::READY), taken.file(id::CONTENT), failed.file(id::BAD), failed.file(id::CONTENT)];
    left.sort();
    assert_eq!(names(dir.path()), left);
    assert!(!dir.path().join(ours.file(id::CONTENT)).exists());
}

#[test]
fn a_forwarder_that_comes_too_late_finds_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path());
    let id = store(&spool, &["b@example.com"]).unwrap();
    assert_eq!(remove_all(&mailbox(&spool, "").unwrap()).removed, 1);
    assert!(spool.lock(&id).unwrap().is_none());
    assert!(names(dir.path()).is_empty());
}

#[test]
fn deleting_is_durable_before_it_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(TestDisk::new(dir.path()));
    let spool = Spool::with_disk(Arc::clone(&disk) as _, dir.path(), SpoolConfig::default()).unwrap();
    store(&spool, &["b@example.com"]).unwrap();
    let removal = remove_all(&mailbox(&spool, "").unwrap());
    assert!(removal.unsynced.is_none());
    assert_eq!(disk.unsynced_changes(), 0);
    store(&spool, &["b@example.com"]).unwrap();
    let box_of_one = mailbox(&spool, "").unwrap();
    disk.fail(Operation::SyncDirectory, Errno::EIO);
    assert!(matches!(remove_all(&box_of_one).unsynced, Some(StoreError::Sync { .. })));
    disk.heal();
}

#[test]
fn a_crash_while_deleting_never_leaves_an_envelope_without_content() {
    for operations in 0.. {
        let dir = tempfile::tempdir().unwrap();
        let disk = Arc::new(TestDisk::new(dir.path()));
        let spool = Spool::with_disk(Arc::clone(&disk) as _, dir.path(), SpoolConfig::default()).unwrap();
        for _ in 0..3 {
            store(&spool, &["b@example.com"]).unwrap();
        }
        let mailbox = mailbox(&spool, "").unwrap();
        disk.crash_after(operations);
        let _ = remove_all(&mailbox);
        let left: HashSet<String> = names(dir.path()).into_iter().collect();
        for name in left.iter().filter_map(|name| name.strip_suffix(".envelope")) {
            assert!(left.contains(&format!("{name}.content")), "{operations}: {left:?}");
        }
        if !disk.crashed() {
            assert!(left.is_empty());
            break;
        }
    }
}

#[test]
fn sessions_at_the_same_time_have_one_list() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path());
    let id = store(&spool, &["b@example.com"]).unwrap();
    // A directory that changed a moment ago is listed anew each time.
    let first = mailbox(&spool, "").unwrap();
    store(&spool, &["b@example.com"]).unwrap();
    assert_eq!((first.count(), mailbox(&spool, "").unwrap().count()), (1, 2));
    fs::remove_file(dir.path().join(id.file(id::READY))).unwrap();
    assert_eq!((first.count(), mailbox(&spool, "").unwrap().count()), (1, 1));
}

/// Two users delete, a forwarder locks, fails and puts back, an operator retries what failed: whoever takes a message away
/// takes a whole one, and none is without content at any time.
#[test]
fn nothing_is_lost_between_sessions_a_forwarder_and_an_operator() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path());
    let total = 120;
    for _ in 0..total {
        store(&spool, &["b@example.com"]).unwrap();
    }
    let done = AtomicBool::new(false);
    let (deleted, sent) = thread::scope(|scope| {
        let users: Vec<_> = (0..2)
            .map(|user| {
                let (spool, done) = (&spool, &done);
                scope.spawn(move || {
                    let mut deleted = 0;
                    while !done.load(Ordering::Relaxed) {
                        let mailbox = mailbox(spool, "").unwrap();
                        deleted += mailbox.remove((0..mailbox.count()).skip(user).step_by(7).take(1)).removed;
                    }
                    deleted
                })
            })
            .collect();
        let operator = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                for id in spool.failed().unwrap() {
                    let _ =
                        fs::rename(dir.path().join(id.file(id::BAD)), dir.path().join(id.file(id::READY)));
                }
            }
        });
        let mut sent = 0;
        for round in 0.. {
            let waiting = spool.waiting().unwrap();
            if waiting.is_empty() && spool.failed().unwrap().is_empty() && spool.waiting().unwrap().is_empty()
            {
                break;
            }
            for message in waiting {
                // A message without content would be an error here.
                let Some(mut locked) = spool.lock(&message.id).unwrap() else { continue };
                assert_eq!(locked.content().unwrap().1, CONTENT_TEXT.len() as u64);
                match round % 3 {
                    0 => locked.unlock().unwrap(),
                    1 => locked.fail(&fail_note()).unwrap(),
                    _ => {
                        locked.sent().unwrap();
                        sent += 1;
                        break;
                    }
                }
            }
        }
        done.store(true, Ordering::Relaxed);
        operator.join().unwrap();
        (users.into_iter().map(|user| user.join().unwrap()).sum::<usize>(), sent)
    });
    assert!(deleted + sent >= total && sent > 0, "{deleted} deleted, {sent} sent");
    assert!(names(dir.path()).is_empty(), "{:?}", names(dir.path()));
}

#[test]
fn a_list_of_a_hundred_thousand_is_small() {
    assert!(mailbox_letter_size() <= 40, "{}", mailbox_letter_size());
}

fn mailbox_letter_size() -> usize {
    crate::spool::mailbox::LETTER_SIZE
}
