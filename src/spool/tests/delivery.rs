//! Delivery into mailboxes: all or none, whatever fails, wherever it stops; and never outside.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::thread;

use nix::errno::Errno;

use super::disk::{Operation, TestDisk};
use super::*;

const MAILBOXES: [&str; 2] = ["ann", "bob"];

/// A received message with these recipients, its files complete.
fn received(spool: &Spool, local: &[&str], remote: &[&str]) -> NewMessage {
    let mut message = spool.create(&spool.next_id()).unwrap();
    message.append(CONTENT_TEXT).unwrap();
    let local = local.iter().map(|name| (*name).to_owned()).collect();
    message.write_envelope(&Envelope { local, ..envelope(remote) }).unwrap();
    message
}

fn original(spool: &Spool, message: &NewMessage) -> Original {
    spool.original(message.id(), Stage::New).unwrap()
}

fn folder(directory: &Path, name: &str) -> Vec<String> {
    names(&directory.join(name))
}

fn make_maildir(directory: &Path, name: &str) {
    for part in ["tmp", "new", "cur"] {
        fs::create_dir_all(directory.join(name).join(part)).unwrap();
    }
}

#[test]
fn each_recipient_gets_a_copy_with_nobody_else_in_it() {
    let place = tempfile::tempdir().unwrap();
    let spool = open(place.path());
    let message = received(&spool, &["bob", "ann", "bob"], &["c@example.net"]);
    let id = message.id().clone();
    let original = original(&spool, &message);
    let copies = original.deliver(&spool.delivery_dir(), CopyStyle::default()).unwrap();
    assert_eq!((&copies.to[..], &copies.created[..]), (&MAILBOXES.map(str::to_owned)[..], &copies.to[..]));
    for name in MAILBOXES {
        assert_eq!(folder(place.path(), name), [id.file(id::CONTENT), id.file(id::NEW)], "not visible yet");
    }
    let _published = copies.publish().unwrap();
    for name in MAILBOXES {
        let mailbox = place.path().join(name);
        assert_eq!(folder(place.path(), name), [id.file(id::CONTENT), id.file(id::READY)]);
        assert_eq!(fs::read(mailbox.join(id.file(id::CONTENT))).unwrap(), CONTENT_TEXT);
        let envelope = Envelope::parse(&fs::read(mailbox.join(id.file(id::READY))).unwrap()).unwrap();
        assert_eq!((&envelope.local[..], envelope.remote.len()), (&[name.to_owned()][..], 0));
        assert_eq!(mode(&mailbox) & 0o777, 0o770);
        assert_eq!(mode(&mailbox.join(id.file(id::CONTENT))), 0o660);
    }
}

#[test]
fn who_has_the_message_is_not_served_again() {
    let place = tempfile::tempdir().unwrap();
    let spool = open(place.path());
    let message = received(&spool, &["ann"], &["c@example.net"]);
    let first = original(&spool, &message);
    let copies = first.deliver(&spool.delivery_dir(), CopyStyle::default()).unwrap();
    let to = copies.to.clone();
    let _published = copies.publish().unwrap();
    first.note_delivered(&to).unwrap();
    let again = original(&spool, &message);
    assert_eq!(again.envelope().trailer, [b"X-MailRelay-Delivered: ann".to_vec()]);
    assert!(again.deliver(&spool.delivery_dir(), CopyStyle::default()).unwrap().to.is_empty());
    // Nor is a mailbox that has it although nobody could note that.
    let copies = first.deliver(&spool.delivery_dir(), CopyStyle::default()).unwrap();
    assert!(copies.is_empty() && copies.to == ["ann"]);
}

#[test]
fn copies_go_to_all_sub_directories_but_hidden_ones() {
    let place = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    for name in ["ann", ".hidden", "postmaster"] {
        fs::create_dir(place.path().join(name)).unwrap();
    }
    fs::write(place.path().join("file"), "").unwrap();
    symlink(elsewhere.path(), place.path().join("linked")).unwrap();
    symlink("/nowhere", place.path().join("dangling")).unwrap();
    let spool = open(place.path());
    let message = received(&spool, &[], &["c@example.net"]);
    let id = message.id().clone();
    let original = original(&spool, &message);
    let style = CopyStyle { envelope_only: true, ..CopyStyle::default() };
    let copies = original.copy(Folders::Mailboxes, style).unwrap();
    assert_eq!(copies.to, ["ann", "linked"]);
    assert_eq!(copies.skipped, [".hidden", "postmaster"]);
    let _published = copies.publish().unwrap();
    assert_eq!(folder(place.path(), "ann"), [id.file(id::READY)]);
    assert_eq!(names(elsewhere.path()), [id.file(id::CONTENT), id.file(id::READY)]);
    assert_eq!(
        fs::read(place.path().join("ann").join(id.file(id::READY))).unwrap(),
        fs::read(place.path().join(id.file(id::NEW))).unwrap()
    );
    original.remove(true).unwrap();
    message.leave();
    spool.flush().unwrap();
    assert!(place.path().join(id.file(id::CONTENT)).exists(), "the content that mailboxes refer to stays");
    assert!(!place.path().join(id.file(id::NEW)).exists());
}

#[test]
fn links_share_the_content() {
    let place = tempfile::tempdir().unwrap();
    fs::create_dir(place.path().join("ann")).unwrap();
    make_maildir(place.path(), "bob");
    let spool = open(place.path());
    let message = received(&spool, &[], &["c@example.net"]);
    let style = CopyStyle { hardlink: true, ..CopyStyle::default() };
    let _published = original(&spool, &message).copy(Folders::All, style).unwrap().publish().unwrap();
    let inode = |path: &Path| fs::metadata(path).unwrap().ino();
    let content = place.path().join(message.id().file(id::CONTENT));
    assert_eq!(inode(&place.path().join("ann").join(message.id().file(id::CONTENT))), inode(&content));
    let new = place.path().join("bob/new");
    assert_eq!(inode(&new.join(&names(&new)[0])), inode(&content));
    assert!(names(&place.path().join("bob/tmp")).is_empty());
}

#[test]
fn a_maildir_gets_one_file_in_new() {
    let place = tempfile::tempdir().unwrap();
    make_maildir(place.path(), "ann");
    let spool = open(place.path());
    let message = received(&spool, &["ann"], &[]);
    let copies = original(&spool, &message).deliver(&spool.delivery_dir(), CopyStyle::default()).unwrap();
    assert_eq!((folder(place.path(), "ann/tmp").len(), folder(place.path(), "ann/new").len()), (1, 0));
    let _published = copies.publish().unwrap();
    assert_eq!((folder(place.path(), "ann/tmp").len(), folder(place.path(), "ann/new").len()), (0, 1));
    let name = &folder(place.path(), "ann/new")[0];
    assert_eq!(fs::read(place.path().join("ann/new").join(name)).unwrap(), CONTENT_TEXT);
    assert_eq!(name.split('.').count(), 5, "{name}");
}

#[test]
fn hostile_names_make_nothing() {
    let outside = tempfile::tempdir().unwrap();
    let place = outside.path().join("spool");
    fs::create_dir(&place).unwrap();
    symlink(outside.path(), place.join("link")).unwrap();
    fs::write(place.join("file"), "").unwrap();
    let spool = open(&place);
    let long = "x".repeat(300);
    for name in ["..", ".", "../up", "a/b", "", "tmp", "x\ny", ".x", "link", "file", "forward.request", &long]
    {
        let message = received(&spool, &["ann", name], &[]);
        let refused = original(&spool, &message).deliver(&spool.delivery_dir(), CopyStyle::default());
        let error = refused.err().unwrap_or_else(|| panic!("{name:?} was delivered"));
        assert!(error.to_string().starts_with("delivery: cannot create delivery directory: "), "{error}");
        assert!(!place.join("ann").exists() || names(&place.join("ann")).is_empty(), "{name:?}");
    }
    spool.flush().unwrap();
    assert_eq!(names(outside.path()), ["spool"]);
}

#[test]
fn a_failure_anywhere_leaves_nothing_anywhere() {
    for (operation, errno) in [
        (Operation::Create, Errno::EACCES),
        (Operation::Write, Errno::ENOSPC),
        (Operation::SyncFile, Errno::EIO),
        (Operation::Rename, Errno::EACCES),
        (Operation::SyncDirectory, Errno::EIO),
    ] {
        for nth in 0..10 {
            let place = tempfile::tempdir().unwrap();
            fs::create_dir(place.path().join("ann")).unwrap();
            make_maildir(place.path(), "bob");
            fs::create_dir(place.path().join("eve")).unwrap();
            let disk = Arc::new(TestDisk::new(place.path()));
            let spool = Spool::with_disk(disk.clone(), place.path(), SpoolConfig::default()).unwrap();
            let message = received(&spool, &[], &["c@example.net"]);
            let original = original(&spool, &message);
            disk.fail_after(nth, operation, errno);
            let result = original.copy(Folders::Mailboxes, CopyStyle::default()).and_then(Copies::publish);
            disk.heal();
            if result.is_ok() {
                break;
            }
            for name in ["ann", "bob/tmp", "bob/new", "eve"] {
                assert!(folder(place.path(), name).is_empty(), "{operation:?} {nth}: {name}");
            }
            assert!(place.path().join(message.id().file(id::NEW)).exists());
            assert!(nth < 9, "{operation:?} never succeeds");
        }
    }
}

#[test]
fn two_at_once_make_one_copy() {
    let place = tempfile::tempdir().unwrap();
    fs::create_dir(place.path().join("ann")).unwrap();
    let spool = open(place.path());
    for _ in 0..50 {
        let message = received(&spool, &[], &["c@example.net"]);
        let published = thread::scope(|scope| {
            let copiers: Vec<_> = (0..2)
                .map(|_| {
                    let original = original(&spool, &message);
                    scope.spawn(move || {
                        let copies = original.copy(Folders::Mailboxes, CopyStyle::default())?;
                        copies.publish().map(drop)
                    })
                })
                .collect();
            copiers.into_iter().map(|copier| copier.join().unwrap()).filter(Result::is_ok).count()
        });
        let found = folder(place.path(), "ann");
        let id = message.id().clone();
        if published > 0 {
            assert_eq!(found, [id.file(id::CONTENT), id.file(id::READY)]);
            assert_eq!(fs::read(place.path().join("ann").join(id.file(id::CONTENT))).unwrap(), CONTENT_TEXT);
        } else {
            assert!(found.is_empty(), "{found:?}");
        }
        drop(message);
        for name in found {
            fs::remove_file(place.path().join("ann").join(name)).unwrap();
        }
    }
}

#[test]
fn delivering_survives_a_crash_at_every_operation() {
    for style in [
        CopyStyle::default(),
        CopyStyle { hardlink: true, ..CopyStyle::default() },
        CopyStyle { envelope_only: true, ..CopyStyle::default() },
    ] {
        walk(style);
    }
}

/// Copies into two mailboxes and a maildir, and removes the original; stops at every operation.
fn walk(style: CopyStyle) {
    for operations in 0.. {
        let place = tempfile::tempdir().unwrap();
        for name in MAILBOXES {
            fs::create_dir(place.path().join(name)).unwrap();
        }
        make_maildir(place.path(), "md");
        let disk = Arc::new(TestDisk::new(place.path()));
        let spool = Spool::with_disk(disk.clone(), place.path(), SpoolConfig::default()).unwrap();
        let message = received(&spool, &[], &["c@example.net"]);
        let id = message.id().clone();
        let original = original(&spool, &message);
        disk.crash_after(operations);
        let done = original.copy(Folders::Mailboxes, style).and_then(Copies::publish).is_ok()
            && original.remove(style.envelope_only).is_ok();
        let crashed = disk.crashed();
        for kept in 0..=disk.unsynced_changes() {
            let copy = tempfile::tempdir().unwrap();
            if disk.power_cut(kept, copy.path()) {
                check(
                    copy.path(),
                    &id,
                    done,
                    &format!("power cut after {operations} operations, {kept} kept"),
                );
            }
        }
        drop(message);
        let copy = tempfile::tempdir().unwrap();
        disk.killed(copy.path());
        check(copy.path(), &id, done, &format!("killed after {operations} operations"));
        if !crashed {
            assert!(done);
            return;
        }
    }
}

/// Starts again: no half message is visible, none is lost that was promised, and nothing stays that nobody needs.
fn check(directory: &Path, id: &MessageId, promised: bool, when: &str) {
    for name in ["ann", "bob", "md/tmp", "md/new", "md/cur"] {
        fs::create_dir_all(directory.join(name)).unwrap();
    }
    let spool = open(directory);
    // What an unfinished copy referred to is found without it the next time.
    for _ in 0..2 {
        for orphan in spool.sweep(Duration::ZERO, SweepMode::Remove).unwrap() {
            assert_eq!(orphan.fate, Fate::Removed, "{when}: {orphan:?}");
        }
    }
    let content = |folder: &str| {
        let own = directory.join(folder).join(id.file(id::CONTENT));
        fs::read(&own).or_else(|_| fs::read(directory.join(id.file(id::CONTENT)))).ok()
    };
    for name in MAILBOXES {
        let found = folder(directory, name);
        let visible = found.contains(&id.file(id::READY));
        assert!(visible || !promised, "{when}: {name} has lost its message: {found:?}");
        assert!(visible || found.is_empty(), "{when}: {found:?} stays in {name}");
        if visible {
            assert_eq!(content(name).as_deref(), Some(CONTENT_TEXT), "{when}: {name}");
        }
    }
    let found = folder(directory, "md/new");
    assert!(!promised || found.len() == 1, "{when}: {found:?}");
    for name in found {
        assert_eq!(fs::read(directory.join("md/new").join(name)).unwrap(), CONTENT_TEXT, "{when}");
    }
    let refers = MAILBOXES.iter().any(|name| folder(directory, name) == [id.file(id::READY)]);
    assert_eq!(directory.join(id.file(id::CONTENT)).exists(), refers, "{when}: {:?}", names(directory));
}
