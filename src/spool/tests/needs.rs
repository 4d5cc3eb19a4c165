//! Content that several envelopes refer to: whoever removes one of them leaves it to the others, and the last takes it along.

use std::fs;
use std::thread;

use super::disk::TestDisk;
use super::*;

const STYLE: CopyStyle = CopyStyle { hardlink: false, envelope_only: true };

/// A ready message, of which mailboxes have the envelope: `copy:pop;nodelete`.
fn copied(spool: &Spool) -> MessageId {
    let mut message = spool.create(&spool.next_id()).unwrap();
    message.append(CONTENT_TEXT).unwrap();
    message.write_envelope(&envelope(&["b@example.net"])).unwrap();
    let original = spool.original(message.id(), Stage::New).unwrap();
    let _published = original.copy(Folders::Mailboxes, STYLE).unwrap().publish().unwrap();
    commit(message).unwrap()
}

fn mailbox(spool: &Spool, name: &str) -> Mailbox {
    spool.mailbox(Some(&name.parse().unwrap())).unwrap()
}

fn read(mailbox: &Mailbox, index: usize) -> Vec<u8> {
    let (mut file, _) = mailbox.open(index).unwrap();
    let mut text = Vec::new();
    std::io::Read::read_to_end(&mut file, &mut text).unwrap();
    text
}

#[test]
fn a_message_that_was_sent_is_still_there_for_its_mailboxes() {
    let place = tempfile::tempdir().unwrap();
    for name in ["ann", "bob"] {
        fs::create_dir(place.path().join(name)).unwrap();
    }
    let spool = open(place.path());
    let ids = [copied(&spool), copied(&spool)];
    ids.iter().for_each(|id| lock(&spool, id).sent().unwrap());
    for name in ["ann", "bob"] {
        let mailbox = mailbox(&spool, name);
        assert_eq!((read(&mailbox, 0), read(&mailbox, 1)), (CONTENT_TEXT.to_vec(), CONTENT_TEXT.to_vec()));
        assert_eq!(mailbox.remove(0..2).removed, 2);
    }
    assert_eq!(names(place.path()), ["ann", "bob"], "the last one has taken it along");
}

#[test]
fn what_users_have_deleted_goes_when_it_is_sent() {
    let place = tempfile::tempdir().unwrap();
    fs::create_dir(place.path().join("ann")).unwrap();
    let spool = open(place.path());
    let [one, two] = [copied(&spool), copied(&spool)];
    // What is known of the mailbox is older than the deletion.
    thread::sleep(Duration::from_millis(150));
    let locked = [lock(&spool, &one), lock(&spool, &two)];
    let [first, second] = locked;
    first.sent().unwrap();
    assert_eq!(mailbox(&spool, "ann").remove(0..2).removed, 2);
    second.sent().unwrap();
    assert_eq!(names(place.path()), ["ann"]);
}

#[test]
fn a_mailbox_with_content_of_its_own_needs_none() {
    let place = tempfile::tempdir().unwrap();
    let spool = open(place.path());
    let ends: [fn(&Spool, &MessageId); 2] =
        [|spool, id| lock(spool, id).sent().unwrap(), |spool, id| spool.delete(id).unwrap()];
    for end in ends {
        let id = store(&spool, &["b@example.net"]).unwrap();
        for name in ["ann", "bob"] {
            fs::create_dir_all(place.path().join(name)).unwrap();
            fs::write(place.path().join(name).join(id.file(id::CONTENT)), "own").unwrap();
            fs::write(place.path().join(name).join(id.file(id::READY)), "").unwrap();
        }
        end(&spool, &id);
        assert_eq!(names(place.path()), ["ann", "bob"]);
        assert_eq!(read(&mailbox(&spool, "ann"), 0), b"own");
        for name in ["ann", "bob"] {
            fs::remove_dir_all(place.path().join(name)).unwrap();
        }
    }
}

/// A mailbox in which somebody has set the envelope aside, in every way that there is.
#[test]
fn an_envelope_in_any_state_needs_its_content() {
    for suffix in
        [".envelope.new", ".envelope", ".envelope.busy", ".envelope.bad", ".envelope.hold", ".envelope.mine"]
    {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir(place.path().join("ann")).unwrap();
        let spool = open(place.path());
        let ends: [fn(&Spool, &MessageId); 3] = [
            |spool, id| lock(spool, id).sent().unwrap(),
            |spool, id| spool.delete(id).unwrap(),
            |spool, id| {
                lock(spool, id).fail(&fail_note()).unwrap();
                assert_eq!(spool.purge_failed(Duration::ZERO).unwrap(), std::slice::from_ref(id));
            },
        ];
        for end in ends {
            let id = store(&spool, &["b@example.net"]).unwrap();
            fs::write(place.path().join("ann").join(id.file(suffix)), "").unwrap();
            end(&spool, &id);
            assert!(place.path().join(id.file(id::CONTENT)).exists(), "{suffix}");
        }
    }
}

#[test]
fn delivering_behind_a_shared_copy_leaves_the_content() {
    let place = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    fs::create_dir(place.path().join("ann")).unwrap();
    let spool = open(place.path());
    let mut message = spool.create(&spool.next_id()).unwrap();
    message.append(CONTENT_TEXT).unwrap();
    message.write_envelope(&Envelope { local: vec!["bob".to_owned()], ..envelope(&[]) }).unwrap();
    let original = spool.original(message.id(), Stage::New).unwrap();
    let copies = original.copy(Folders::Mailboxes, STYLE).unwrap();
    let delivered =
        original.deliver(&DeliveryDir::open(elsewhere.path()).unwrap(), CopyStyle::default()).unwrap();
    let _published = (copies.publish().unwrap(), delivered.publish().unwrap());
    original.remove(false).unwrap();
    message.leave();
    assert_eq!(read(&mailbox(&spool, "ann"), 0), CONTENT_TEXT);
    assert_eq!(mailbox(&spool, "ann").remove(0..1).removed, 1);
    assert_eq!(names(place.path()), ["ann"]);
}

#[test]
fn sending_a_shared_message_survives_a_crash_at_every_operation() {
    for operations in 0.. {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir(place.path().join("ann")).unwrap();
        let disk = Arc::new(TestDisk::new(place.path()));
        let spool = Spool::with_disk(disk.clone(), place.path(), SpoolConfig::default()).unwrap();
        let id = copied(&spool);
        spool.flush().unwrap();
        disk.crash_after(operations);
        if let Ok(Some(message)) = spool.lock(&id) {
            let _ = message.sent();
        }
        let crashed = disk.crashed();
        for kept in 0..=disk.unsynced_changes() {
            let copy = tempfile::tempdir().unwrap();
            if disk.power_cut(kept, copy.path()) {
                check(copy.path(), &format!("power cut after {operations} operations, {kept} kept"));
            }
        }
        drop(spool);
        let copy = tempfile::tempdir().unwrap();
        disk.killed(copy.path());
        check(copy.path(), &format!("killed after {operations} operations"));
        if !crashed {
            return;
        }
    }
}

/// Starts again: the user has the message, and when it is deleted and sent nothing stays.
fn check(directory: &Path, when: &str) {
    let spool = open(directory);
    assert_eq!(spool.recover(Duration::ZERO).unwrap().failed, [], "{when}");
    for orphan in spool.sweep(Duration::ZERO, SweepMode::Remove).unwrap() {
        assert_eq!(orphan.fate, Fate::Removed, "{when}: {orphan:?}");
    }
    let ann = mailbox(&spool, "ann");
    assert_eq!(ann.count(), 1, "{when}: {:?}", names(directory));
    assert_eq!(read(&ann, 0), CONTENT_TEXT, "{when}");
    assert_eq!(ann.remove(0..1).removed, 1, "{when}");
    for waiting in spool.waiting().unwrap() {
        lock(&spool, &waiting.id).sent().unwrap();
    }
    assert_eq!(names(directory), ["ann"], "{when}");
}

/// A forwarder and a user, at the same messages in processes of their own: neither loses what the other needs, and nothing is
/// left.
#[test]
fn a_forwarder_and_users_finish_with_the_same_messages_at_once() {
    let place = tempfile::tempdir().unwrap();
    for name in ["ann", "bob"] {
        fs::create_dir(place.path().join(name)).unwrap();
    }
    let first = open(place.path());
    for _ in 0..10 {
        let ids: Vec<MessageId> = (0..20).map(|_| copied(&first)).collect();
        thread::scope(|scope| {
            for name in ["ann", "bob"] {
                let spool = open(place.path());
                scope.spawn(move || {
                    let mailbox = mailbox(&spool, name);
                    for index in 0..mailbox.count() {
                        assert_eq!(read(&mailbox, index), CONTENT_TEXT);
                        assert_eq!(mailbox.remove([index]).removed, 1);
                    }
                });
            }
            let (spool, ids) = (open(place.path()), &ids);
            scope.spawn(move || ids.iter().for_each(|id| lock(&spool, id).sent().unwrap()));
        });
        assert_eq!(names(place.path()), ["ann", "bob"]);
    }
}
