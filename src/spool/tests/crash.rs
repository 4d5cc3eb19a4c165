//! Stops at every file operation of every move, starts again, and looks for lost and half messages.

use std::collections::HashMap;

use super::disk::TestDisk;
use super::*;

const BOTH: [&str; 2] = ["b@example.net", "c@example.net"];

/// What has been promised so far.
#[derive(Default)]
struct Promises {
    /// Acknowledged messages, and the recipients that each still has to reach.
    owed: HashMap<MessageId, Vec<String>>,
}

impl Promises {
    fn acknowledged(&mut self, id: MessageId) {
        self.owed.insert(id, BOTH.map(str::to_owned).to_vec());
    }
}

type Move = fn(&Spool, &MessageId, &mut Promises);

#[test]
fn accepting_survives_a_crash_at_every_operation() {
    let operations = walk(|spool, _, promises| {
        if let Ok(id) = store(spool, &BOTH) {
            promises.acknowledged(id);
        }
    });
    // Create and write both files, sync both, rename, sync the directory.
    assert_eq!(operations, 8);
}

/// As a filter that replaces both files, the one for which the most is to be synced again.
#[test]
fn filtering_survives_a_crash_at_every_operation() {
    walk(|spool, _, promises| {
        let Ok(mut message) = spool.create(&spool.next_id()) else { return };
        let written = message.append(CONTENT_TEXT).and_then(|()| message.write_envelope(&envelope(&BOTH)));
        if written.is_err() {
            return;
        }
        message.hold();
        let Ok(mut edit) = spool.edit_content(message.id()) else { return };
        if edit.append(CONTENT_TEXT).and_then(|()| edit.replace()).is_err() {
            return;
        }
        let Ok(Left::Message(message)) = message.reopen(Ruling::Passed) else { return };
        if let Ok(id) = commit(message) {
            promises.acknowledged(id);
        }
    });
}

fn accept_for_ourselves(spool: &Spool) -> Option<LockedMessage> {
    let mut message = spool.create(&spool.next_id()).ok()?;
    message.append(CONTENT_TEXT).and_then(|()| message.write_envelope(&envelope(&BOTH))).ok()?;
    let (done, outcome) = channel();
    message.commit_locked(move |outcome| drop(done.send(outcome)));
    match outcome.recv() {
        Ok(Ok(Committed::Locked(message))) => Some(*message),
        _ => None,
    }
}

#[test]
fn accepting_and_sending_at_once_survives_a_crash_at_every_operation() {
    walk(|spool, _, _| {
        if let Some(message) = accept_for_ourselves(spool) {
            let _ = message.remove();
        }
    });
}

#[test]
fn accepting_for_ourselves_and_leaving_to_others_survives_a_crash_at_every_operation() {
    walk(|spool, _, promises| {
        let Some(message) = accept_for_ourselves(spool) else { return };
        let id = message.id().clone();
        if message.unlock().is_ok() {
            promises.acknowledged(id);
        }
    });
}

#[test]
fn what_is_accepted_for_ourselves_is_never_seen_by_others() {
    let directory = tempfile::tempdir().unwrap();
    let spool = Spool::open(directory.path(), SpoolConfig::default()).unwrap();
    let message = accept_for_ourselves(&spool).unwrap();
    assert_eq!(message.envelope().remote, BOTH);
    assert!(spool.lock(message.id()).unwrap().is_none());
    assert!(spool.recover(Duration::ZERO).unwrap().unlocked.is_empty(), "its lock is seen");
    let (id, names) = (message.id().clone(), || fs::read_dir(directory.path()).unwrap().count());
    message.unlock().unwrap();
    spool.lock(&id).unwrap().unwrap().remove().unwrap();
    assert_eq!(names(), 0);
}

#[test]
fn refusing_survives_a_crash_at_every_operation() {
    walk(|spool, _, _| {
        let Ok(mut message) = spool.create(&spool.next_id()) else { return };
        let _ = message.append(CONTENT_TEXT);
        let _ = message.write_envelope(&envelope(&BOTH));
        message.hold();
        message.refuse();
    });
}

#[test]
fn accepting_two_at_once_survives_a_crash_at_every_operation() {
    walk(|spool, _, promises| {
        let (done, outcomes) = channel();
        for _ in 0..2 {
            let Ok(mut message) = spool.create(&spool.next_id()) else { return };
            let written =
                message.append(CONTENT_TEXT).and_then(|()| message.write_envelope(&envelope(&BOTH)));
            if written.is_ok() {
                let done = done.clone();
                message.commit(move |outcome| done.send(outcome).unwrap());
            }
        }
        drop(done);
        outcomes.iter().flatten().for_each(|id| promises.acknowledged(id));
    });
}

#[test]
fn discarding_survives_a_crash_at_every_operation() {
    walk(|spool, _, _| {
        let Ok(mut message) = spool.create(&spool.next_id()) else { return };
        let _ = message.append(CONTENT_TEXT);
        let _ = message.write_envelope(&envelope(&BOTH));
        message.discard();
    });
}

#[test]
fn sending_survives_a_crash_at_every_operation() {
    walk(|spool, id, promises| {
        let Ok(Some(message)) = spool.lock(id) else { return };
        promises.owed.remove(id);
        let _ = message.sent();
    });
}

#[test]
fn sending_to_some_survives_a_crash_at_every_operation() {
    walk(|spool, id, promises| {
        let Ok(Some(mut message)) = spool.lock(id) else { return };
        if message.reserve_edit().is_err() {
            return;
        }
        promises.owed.insert(id.clone(), vec![BOTH[1].to_owned()]);
        let _ = message.keep_remote(&[BOTH[1].to_owned()]);
        let _ = message.fail(&fail_note());
    });
}

/// Each recipient is in one of the two messages, or in both, at any time.
#[test]
fn setting_aside_survives_a_crash_at_every_operation() {
    walk(|spool, id, _| {
        let Ok(Some(mut message)) = spool.lock(id) else { return };
        let _ = message.set_aside(&[BOTH[0].to_owned()], &fail_note());
        let _ = message.retry(&retry_note());
    });
}

#[test]
fn failing_survives_a_crash_at_every_operation() {
    walk(|spool, id, _| {
        let Ok(Some(message)) = spool.lock(id) else { return };
        let _ = message.fail(&fail_note());
    });
}

#[test]
fn retrying_survives_a_crash_at_every_operation() {
    walk(|spool, id, _| {
        for attempt in 1..3 {
            let Ok(Some(mut message)) = spool.lock(id) else { return };
            let _ = message.mark_in_doubt(1000, "192.0.2.1:25");
            let _ = message.retry(&RetryNote { attempts: attempt, ..retry_note() });
        }
    });
}

#[test]
fn unlocking_survives_a_crash_at_every_operation() {
    walk(|spool, id, _| drop(spool.lock(id)));
}

#[test]
fn holding_and_releasing_survive_a_crash_at_every_operation() {
    // Rename, sync the directory; twice.
    let operations = walk(|spool, id, _| {
        let _ = spool.hold(id);
        let _ = spool.release(id);
    });
    assert_eq!(operations, 4);
}

#[test]
fn requeueing_survives_a_crash_at_every_operation() {
    walk(|spool, id, _| {
        let Ok(Some(message)) = spool.lock(id) else { return };
        let _ = message.retry(&retry_note());
        let _ = spool.requeue(id);
        let _ = spool.hold(id);
        let _ = spool.requeue(id);
    });
    walk(|spool, id, _| {
        let Ok(Some(message)) = spool.lock(id) else { return };
        let _ = message.fail(&fail_note());
        let _ = spool.requeue_failed();
    });
}

/// From the first removal on nobody waits for the message any more, whatever becomes of it.
#[test]
fn deleting_survives_a_crash_at_every_operation() {
    walk(|spool, id, promises| {
        promises.owed.remove(id);
        let _ = spool.delete(id);
    });
    walk(|spool, id, promises| {
        if spool.hold(id).is_err() {
            return;
        }
        promises.owed.remove(id);
        let _ = spool.delete(id);
    });
}

#[test]
fn giving_up_and_purging_survive_a_crash_at_every_operation() {
    walk(|spool, id, _| {
        let _ = spool.give_up(id, "no such customer");
    });
    walk(|spool, id, promises| {
        if spool.give_up(id, "no such customer").is_err() {
            return;
        }
        promises.owed.remove(id);
        let _ = spool.purge_failed(Duration::ZERO);
    });
}

#[test]
fn what_was_acknowledged_to_an_administrator_survives_a_power_cut() {
    for (act, suffix) in [
        (Spool::hold as fn(&Spool, &MessageId) -> Result<(), ActionError>, Some(".envelope.hold")),
        (Spool::delete, None),
    ] {
        let place = tempfile::tempdir().unwrap();
        let disk = Arc::new(TestDisk::new(place.path()));
        let spool = Spool::with_disk(disk.clone(), place.path(), SpoolConfig::default()).unwrap();
        let id = store(&spool, &BOTH).unwrap();
        act(&spool, &id).unwrap();
        let copy = tempfile::tempdir().unwrap();
        assert!(disk.power_cut(0, copy.path()));
        let envelopes: Vec<String> =
            names(copy.path()).into_iter().filter(|name| name.contains(".envelope")).collect();
        let expected: Vec<String> = suffix.map(|suffix| format!("{id}{suffix}")).into_iter().collect();
        assert_eq!(envelopes, expected);
    }
}

/// Gives the number of operations of the move.
fn walk(make_move: Move) -> usize {
    for operations in 0.. {
        let place = tempfile::tempdir().unwrap();
        let disk = Arc::new(TestDisk::new(place.path()));
        let spool = Spool::with_disk(disk.clone(), place.path(), SpoolConfig::default()).unwrap();
        let mut promises = Promises::default();
        let first = store(&spool, &BOTH).unwrap();
        promises.acknowledged(first.clone());

        disk.crash_after(operations);
        make_move(&spool, &first, &mut promises);
        let crashed = disk.crashed();
        // Before anything that runs later can sync what the promises do not rest on.
        check_power_cuts(&disk, &promises, operations);
        drop(spool);
        check_power_cuts(&disk, &promises, operations);
        let copy = tempfile::tempdir().unwrap();
        disk.killed(copy.path());
        check(copy.path(), &promises, &format!("killed after {operations} operations"));
        if !crashed {
            return operations;
        }
    }
    unreachable!()
}

fn check_power_cuts(disk: &TestDisk, promises: &Promises, operations: usize) {
    for kept in 0..=disk.unsynced_changes() {
        let copy = tempfile::tempdir().unwrap();
        if disk.power_cut(kept, copy.path()) {
            check(copy.path(), promises, &format!("power cut after {operations} operations, {kept} kept"));
        }
    }
}

/// Starts again and compares with the promises.
fn check(directory: &Path, promises: &Promises, when: &str) {
    let spool = open(directory);
    let before = names(directory);
    let recovery = spool.recover(Duration::ZERO).unwrap();
    assert_eq!(recovery.failed, [], "{when}: {before:?}");
    for orphan in spool.sweep(Duration::ZERO, SweepMode::Remove).unwrap() {
        assert_eq!(orphan.fate, Fate::Removed, "{when}: {orphan:?}");
    }
    let after = names(directory);
    let mut found = HashMap::new();
    for name in &after {
        let id = name.split_once(".envelope").map(|(id, _)| id);
        match id.map(|id| (id, &name[id.len()..])) {
            Some((id, ".envelope" | ".envelope.bad" | ".envelope.hold")) => {
                let envelope = Envelope::parse(&fs::read(directory.join(name)).unwrap())
                    .unwrap_or_else(|error| panic!("{when}: {name}: {error}"));
                let content = fs::read(directory.join(format!("{id}.content")))
                    .unwrap_or_else(|error| panic!("{when}: {name}: {error}; {before:?}"));
                assert_eq!(content, CONTENT_TEXT, "{when}: {name}");
                found.insert(id.parse::<MessageId>().unwrap(), envelope);
            }
            _ => {
                let id = name.strip_suffix(".content").unwrap_or_else(|| panic!("{when}: {name} stays"));
                let has_envelope = after.contains(&format!("{id}.envelope"))
                    || after.contains(&format!("{id}.envelope.bad"))
                    || after.contains(&format!("{id}.envelope.hold"));
                assert!(has_envelope, "{when}: {name} stays");
            }
        }
    }
    for (id, recipients) in &promises.owed {
        let envelope = found.get(id).unwrap_or_else(|| panic!("{when}: {id} is lost; {before:?}"));
        let parts = found.values().filter(|part| part.split_from().as_ref() == Some(id));
        let reached: Vec<&String> = parts.chain([envelope]).flat_map(|part| &part.remote).collect();
        for recipient in recipients {
            assert!(reached.contains(&recipient), "{when}: {id} has lost {recipient}");
        }
    }
}
