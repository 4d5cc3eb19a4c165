//! Full disks, failing syncs, missing directories, and files that are not what they should be.

use std::os::unix::fs::symlink;

use nix::errno::Errno;

use super::disk::{Operation, TestDisk};
use super::*;

fn faulty() -> (tempfile::TempDir, Arc<TestDisk>, Arc<Spool>) {
    let place = tempfile::tempdir().unwrap();
    let disk = Arc::new(TestDisk::new(place.path()));
    let spool = Spool::with_disk(disk.clone(), place.path(), SpoolConfig::default()).unwrap();
    (place, disk, spool)
}

#[test]
fn a_full_disk_is_452_and_leaves_nothing() {
    for operation in [Operation::Create, Operation::Write] {
        for errno in [Errno::ENOSPC, Errno::EDQUOT] {
            let (place, disk, spool) = faulty();
            disk.fail(operation, errno);
            let error = store(&spool, &["b@example.net"]).unwrap_err();
            assert_eq!(error, StoreError::Full(errno));
            assert_eq!(error.refusal(), (452, "insufficient system storage"));
            assert_eq!(names(place.path()), Vec::<String>::new());
            disk.heal();
            store(&spool, &["b@example.net"]).unwrap();
        }
    }
}

#[test]
fn content_that_could_not_be_written_is_not_committed() {
    let (place, disk, spool) = faulty();
    let mut message = spool.create(&spool.next_id()).unwrap();
    disk.fail(Operation::Write, Errno::ENOSPC);
    assert!(message.append(&[0; 100_000]).is_err());
    disk.heal();
    assert_eq!(names(place.path()), Vec::<String>::new());
    assert_eq!(message.append(b"x"), Err(StoreError::Full(Errno::ENOSPC)));
    assert!(message.write_envelope(&envelope(&["b@example.net"])).is_err());
    assert_eq!(commit(message), Err(StoreError::Full(Errno::ENOSPC)));
}

#[test]
fn a_failed_sync_is_451_and_leaves_nothing() {
    for operation in [Operation::SyncFile, Operation::SyncDirectory, Operation::Rename] {
        let (place, disk, spool) = faulty();
        disk.fail(operation, Errno::EIO);
        let error = store(&spool, &["b@example.net"]).unwrap_err();
        assert_eq!(error.refusal().0, 451, "{error}");
        assert_eq!(names(place.path()), Vec::<String>::new());
        disk.heal();
        store(&spool, &["b@example.net"]).unwrap();
        assert_eq!(spool.counts().unwrap().waiting, 1);
    }
}

#[test]
fn a_failed_directory_sync_leaves_a_message_that_is_being_forwarded() {
    // The forwarder takes it between the rename and the sync: it is visible then.
    let (place, disk, spool) = faulty();
    let rival = open(place.path());
    let (taken, message) = channel();
    disk.before_directory_sync(move || {
        if let Some(waiting) = rival.waiting().unwrap().pop() {
            taken.send(rival.lock(&waiting.id).unwrap().unwrap()).unwrap();
        }
    });
    disk.fail(Operation::SyncDirectory, Errno::EIO);
    store(&spool, &["b@example.net"]).unwrap_err();
    let mut message = message.try_recv().unwrap();
    assert_eq!(message.content().unwrap().1, CONTENT_TEXT.len() as u64);
    assert!(place.path().join(format!("{}.content", message.id())).exists());
}

#[test]
fn a_panic_in_a_callback_does_not_stop_the_commits() {
    let (_place, _disk, spool) = faulty();
    let mut message = spool.create(&spool.next_id()).unwrap();
    message.write_envelope(&envelope(&["b@example.net"])).unwrap();
    message.commit(|_| panic!("the session has a bug"));
    store(&spool, &["b@example.net"]).unwrap();
}

#[test]
fn the_reserve_is_left_free() {
    let place = tempfile::tempdir().unwrap();
    let config = SpoolConfig { reserve: u64::MAX / 2, ..SpoolConfig::default() };
    let spool = Spool::open(place.path(), config).unwrap();
    assert_eq!(spool.check(None).unwrap_err().refusal().0, 452);
    let spool = open(place.path());
    assert_eq!(spool.check(Some(1000)), Ok(()));
    assert_eq!(spool.check(Some(u64::MAX)), Err(StoreError::Full(Errno::ENOSPC)));
}

#[test]
fn a_missing_directory_is_452_until_it_is_back() {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("spool");
    let error = Spool::open(&directory, SpoolConfig::default()).err().unwrap();
    let text = format!("invalid spool directory: {}: no such file or directory", directory.display());
    assert_eq!(error.to_string(), text);
    fs::write(&directory, "").unwrap();
    let error = Spool::open(&directory, SpoolConfig::default()).err().unwrap();
    assert_eq!(error.errno, Errno::ENOTDIR);
    fs::remove_file(&directory).unwrap();

    fs::create_dir(&directory).unwrap();
    let spool = open(&directory);
    assert!(spool.writable());
    fs::remove_dir(&directory).unwrap();
    assert_eq!(spool.check(None), Ok(()));
    assert_eq!(store(&spool, &["b@example.net"]).unwrap_err().refusal().0, 452);
    assert!(!spool.writable());
    assert_eq!(spool.check(None).unwrap_err().refusal().0, 452);
    fs::create_dir(&directory).unwrap();
    spool.shared.health.expire();
    assert_eq!(spool.check(None), Ok(()));
    store(&spool, &["b@example.net"]).unwrap();
    assert_eq!(names(&directory).len(), 2);
}

#[test]
fn a_directory_that_cannot_be_written_is_noticed_at_the_start() {
    let place = tempfile::tempdir().unwrap();
    let disk = Arc::new(TestDisk::new(place.path()));
    disk.fail(Operation::Create, Errno::EACCES);
    let spool = Spool::with_disk(disk, place.path(), SpoolConfig::default()).unwrap();
    assert!(!spool.writable());
    assert_eq!(spool.check(None), Err(StoreError::Directory(Errno::EACCES)));
}

#[test]
fn an_envelope_that_could_not_be_read_again_is_not_stored() {
    let (place, _disk, spool) = faulty();
    let mut message = spool.create(&spool.next_id()).unwrap();
    let address = format!("{}@example.net", "x".repeat(240));
    let envelope = Envelope { remote: vec![address; 10_000], ..envelope(&[]) };
    assert_eq!(message.write_envelope(&envelope), Err(StoreError::EnvelopeTooLarge));
    assert_eq!(names(place.path()), Vec::<String>::new());
}

#[test]
fn things_named_like_envelopes_are_not_opened() {
    let place = tempfile::tempdir().unwrap();
    let spool = open(place.path());
    let outside = place.path().join("outside");
    fs::write(&outside, envelope(&["b@example.net"]).to_bytes()).unwrap();
    symlink(&outside, place.path().join("link.envelope")).unwrap();
    fs::create_dir(place.path().join("folder.envelope")).unwrap();
    nix::unistd::mkfifo(&place.path().join("fifo.envelope"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(place.path().join("socket.envelope")).unwrap();
    let before = names(place.path());
    for name in ["link", "folder", "fifo", "socket"] {
        let id = name.parse().unwrap();
        assert!(matches!(spool.lock(&id), Err(LockError::Unreadable(PeekError::NotRegular))), "{name}");
        assert_eq!(spool.peek(&id).unwrap_err(), PeekError::NotRegular, "{name}");
    }
    assert_eq!(names(place.path()), before);
}

#[test]
fn a_message_without_content_is_given_to_be_failed() {
    let place = tempfile::tempdir().unwrap();
    let spool = open(place.path());
    for make in [
        |_: &Path| (),
        |path: &Path| fs::create_dir(path).unwrap(),
        |path: &Path| {
            symlink("/etc/passwd", path).unwrap();
        },
    ] {
        let id = store(&spool, &["b@example.net"]).unwrap();
        let content = place.path().join(format!("{id}.content"));
        fs::remove_file(&content).unwrap();
        make(&content);
        let Err(LockError::Unsendable { message, fault }) = spool.lock(&id) else { panic!() };
        assert_eq!(fault.to_string(), "cannot open content file");
        message.fail(&FailNote { reason: fault.to_string(), ..FailNote::default() }).unwrap();
        let bad = fs::read_to_string(place.path().join(format!("{id}.envelope.bad"))).unwrap();
        assert!(bad.ends_with("X-MailRelay-Reason: cannot open content file\r\nX-MailRelay-ReasonCode:\r\n"));
    }
    // Removed while it is locked, by a client filter.
    let id = store(&spool, &["b@example.net"]).unwrap();
    let mut message = lock(&spool, &id);
    message.content().unwrap();
    fs::remove_file(place.path().join(format!("{id}.content"))).unwrap();
    message.reload().unwrap();
    assert_eq!(message.content().unwrap_err(), ContentError::Gone);
}

/// It would be set aside, or reported and removed, for something that has nothing to do with it.
#[test]
fn trouble_of_our_own_says_nothing_about_a_message() {
    for errno in [Errno::EMFILE, Errno::EIO, Errno::EACCES, Errno::ENOMEM] {
        let (_place, disk, spool) = faulty();
        let id = store(&spool, &["b@example.net"]).unwrap();
        let mut message = lock(&spool, &id);
        message.content().unwrap();
        disk.fail(Operation::Open, errno);
        assert_eq!(message.content().unwrap_err(), ContentError::Io(errno));
        assert_eq!(spool.open_content(&id).unwrap_err(), ContentError::Io(errno));
        disk.heal();
        assert!(message.content().is_ok() && spool.open_content(&id).is_ok());
    }
}

#[test]
fn an_address_that_would_break_the_protocol_is_given_to_be_failed() {
    let place = tempfile::tempdir().unwrap();
    let spool = open(place.path());
    let id = store(&spool, &["b@example.net> SIZE=1"]).unwrap();
    let Err(error) = spool.lock(&id) else { panic!() };
    assert_eq!(error.to_string(), "invalid address in envelope");
    drop(error);
    assert_eq!(spool.counts().unwrap().waiting, 1);
}

#[test]
fn a_damaged_envelope_stays_as_it_is() {
    let place = tempfile::tempdir().unwrap();
    let spool = open(place.path());
    fs::write(place.path().join("foo.envelope"), "junk").unwrap();
    let id = "foo".parse().unwrap();
    let Err(LockError::Unreadable(PeekError::Envelope { error, stamp })) = spool.lock(&id) else { panic!() };
    assert_eq!(error.to_string(), "cannot read envelope file: expected \"X-MailRelay-Format:\"");
    assert_eq!(stamp.size, 4);
    assert_eq!(names(place.path()), ["foo.envelope"]);
    assert_eq!(spool.peek(&id).unwrap_err(), PeekError::Envelope { error, stamp });
}

#[test]
fn a_reason_that_cannot_be_recorded_does_not_keep_the_message() {
    let (place, disk, spool) = faulty();
    let id = store(&spool, &["b@example.net"]).unwrap();
    let message = lock(&spool, &id);
    disk.fail(Operation::Write, Errno::ENOSPC);
    let error = message.fail(&fail_note()).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("cannot append failure reason [{id}.envelope.bad] (no space left on device)")
    );
    assert_eq!(names(place.path()), [format!("{id}.content"), format!("{id}.envelope.bad")]);

    disk.heal();
    let id = store(&spool, &["b@example.net"]).unwrap();
    let message = lock(&spool, &id);
    disk.fail(Operation::SyncFile, Errno::EIO);
    assert!(matches!(message.retry(&retry_note()), Err(FinishError::Edit(_))));
    assert_eq!(spool.peek(&id).unwrap().unwrap().retry, RetryState::default());
    assert_eq!(spool.counts().unwrap(), Counts { waiting: 1, busy: 0, bad: 1, held: 0 });
}

#[test]
fn an_edit_with_reserved_space_needs_no_more() {
    let (place, disk, spool) = faulty();
    let id = store(&spool, &["b@example.net", "c@example.net"]).unwrap();
    let mut message = lock(&spool, &id);
    disk.fail(Operation::Preallocate, Errno::ENOSPC);
    let error = message.reserve_edit().unwrap_err();
    let text = format!("cannot update envelope file: {id}.envelope.busy.tmp: no space left on device");
    assert_eq!(error.to_string(), text);
    assert_eq!(names(place.path()).len(), 2);
    disk.heal();
    message.reserve_edit().unwrap();
    // No file can be made any more, and none has to be.
    disk.fail(Operation::Create, Errno::ENOSPC);
    message.keep_remote(&["c@example.net".to_owned()]).unwrap();
    assert!(message.keep_remote(&["c@example.net".to_owned()]).is_err());
    message.unlock().unwrap();
    assert_eq!(spool.peek(&id).unwrap().unwrap().envelope.remote, ["c@example.net"]);
}

#[test]
fn who_cannot_be_set_aside_stays() {
    use Operation::{Create, Rename, SyncDirectory, SyncFile, Write};
    let (place, disk, spool) = faulty();
    let id = store(&spool, &["b@example.net", "c@example.net"]).unwrap();
    for (good, operation) in
        [(0, Create), (1, Create), (0, Write), (0, Rename), (0, SyncFile), (0, SyncDirectory)]
    {
        let mut message = lock(&spool, &id);
        disk.fail_after(good, operation, Errno::ENOSPC);
        let set_aside = message.set_aside(&["b@example.net".to_owned()], &fail_note());
        assert!(set_aside.is_err(), "{operation:?} {good}");
        disk.heal();
        message.unlock().unwrap();
        assert_eq!(
            names(place.path()),
            [format!("{id}.content"), format!("{id}.envelope")],
            "{operation:?} {good}"
        );
        assert_eq!(spool.peek(&id).unwrap().unwrap().envelope.remote.len(), 2);
    }
}

#[test]
fn other_files_of_the_same_name_are_never_replaced() {
    let place = tempfile::tempdir().unwrap();
    let spool = open(place.path());
    let id = store(&spool, &["b@example.net"]).unwrap();
    let bad = place.path().join(format!("{id}.envelope.bad"));
    fs::write(&bad, "an older failure").unwrap();
    let error = lock(&spool, &id).fail(&fail_note()).unwrap_err();
    assert!(matches!(error, FinishError::Rename { .. }), "{error}");
    assert_eq!(fs::read_to_string(&bad).unwrap(), "an older failure");
    assert_eq!(spool.recover(Duration::ZERO).unwrap().unlocked, std::slice::from_ref(&id));

    let message = lock(&spool, &id);
    fs::write(place.path().join(format!("{id}.envelope")), "copied in").unwrap();
    assert!(message.unlock().is_err());
    let recovery = spool.recover(Duration::ZERO).unwrap();
    assert_eq!(recovery.failed, [(id, Errno::EEXIST)]);
}

#[test]
fn only_stale_messages_are_recovered() {
    let place = tempfile::tempdir().unwrap();
    let spool = open(place.path());
    fs::write(place.path().join("foo.envelope.busy"), "").unwrap();
    assert_eq!(spool.recover(Duration::from_secs(600)).unwrap(), Recovery::default());
    assert_eq!(spool.recover(Duration::ZERO).unwrap().unlocked, ["foo".parse().unwrap()]);
    assert_eq!(names(place.path()), ["foo.envelope"]);
}

#[test]
fn the_sweep_takes_only_orphans() {
    let place = tempfile::tempdir().unwrap();
    let spool = open(place.path());
    fs::create_dir(place.path().join("alice")).unwrap();
    let keep = [
        "bad.content",
        "bad.envelope.bad",
        "local.content.local",
        "mailbox.content",
        "other.tmp",
        "ready.content",
        "ready.envelope",
    ];
    let orphans = [
        ".1795170755.000001.0.7.tmp",
        "lone.content",
        "new.content",
        "new.envelope.new",
        "ready.content.tmp",
        "ready.envelope.busy.tmp",
    ];
    for name in keep.iter().chain(&orphans).chain(&["alice/mailbox.envelope", "alice/x.content"]) {
        fs::write(place.path().join(name), "").unwrap();
    }
    let mut receiving = spool.create(&spool.next_id()).unwrap();
    receiving.write_envelope(&envelope(&["b@example.net"])).unwrap();
    let stored = store(&spool, &["b@example.net"]).unwrap();
    let mut sending = lock(&spool, &stored);
    sending.reserve_edit().unwrap();

    let day = Duration::from_secs(24 * 3600);
    assert_eq!(spool.sweep(day, SweepMode::Remove).unwrap(), []);
    let mut kept = spool.sweep(Duration::ZERO, SweepMode::Report).unwrap();
    kept.sort_by(|one, other| one.name.cmp(&other.name));
    assert!(kept.iter().all(|orphan| orphan.fate == Fate::Kept));
    // The content of an unfinished envelope goes with it, so is not yet one by itself.
    let listed: Vec<&str> = kept.iter().map(|orphan| orphan.name.as_str()).collect();
    assert_eq!(listed, orphans.into_iter().filter(|name| *name != "new.content").collect::<Vec<_>>());
    assert_eq!(spool.sweep(Duration::ZERO, SweepMode::Remove).unwrap().len(), orphans.len());

    let left: Vec<String> =
        names(place.path()).into_iter().filter(|name| !name.starts_with("emailrelay.")).collect();
    assert_eq!(left, ["alice"].iter().chain(&keep).map(|name| (*name).to_owned()).collect::<Vec<_>>());
    commit(receiving).unwrap();
    sending.sent().unwrap();
}
