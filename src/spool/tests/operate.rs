//! What administrators do, alone, at the same time, and beside forwarders.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

fn files(directory: &Path) -> Vec<String> {
    names(directory)
        .into_iter()
        .map(|name| name.split_once('.').unwrap().1.replace(|c: char| c.is_ascii_digit(), ""))
        .collect()
}

/// A message in the state that a move needs.
fn failed(spool: &Spool) -> MessageId {
    let id = store(spool, &["b@example.net"]).unwrap();
    lock(spool, &id).fail(&fail_note()).unwrap();
    id
}

#[test]
fn a_held_message_is_nobodys_until_it_is_released() {
    let place = tempfile::tempdir().unwrap();
    let spool = open(place.path());
    let id = store(&spool, &["b@example.net"]).unwrap();
    spool.hold(&id).unwrap();
    spool.hold(&id).unwrap();
    assert_eq!(spool.names(MessageState::Held).unwrap(), [id.to_string()]);
    assert!(spool.waiting().unwrap().is_empty() && spool.lock(&id).unwrap().is_none());
    assert_eq!(spool.counts().unwrap(), Counts { held: 1, ..Counts::default() });
    // Neither recovery nor the sweep takes it.
    assert_eq!(spool.recover(Duration::ZERO).unwrap(), Recovery::default());
    assert!(spool.sweep(Duration::ZERO, SweepMode::Remove).unwrap().is_empty());
    spool.release(&id).unwrap();
    assert_eq!(spool.release(&id), Err(ActionError::NotHeld));
    assert_eq!(lock(&spool, &id).content().unwrap().1, CONTENT_TEXT.len() as u64);
}

#[test]
fn a_failed_message_is_held_requeued_and_starts_afresh() {
    let place = tempfile::tempdir().unwrap();
    let spool = open(place.path());
    let id = failed(&spool);
    spool.hold(&id).unwrap();
    spool.requeue(&id).unwrap();
    assert_eq!(spool.requeue(&id), Ok(()), "it is ready already");
    let inspection = spool.inspect(&id).unwrap();
    assert_eq!((inspection.state, inspection.retry.attempts), (MessageState::Ready, 0));
    assert_eq!(inspection.retry.reason.as_deref(), Some("no mail"));
    assert_eq!((inspection.size, &*inspection.head), (Some(CONTENT_TEXT.len() as u64), CONTENT_TEXT));
}

#[test]
fn a_waiting_message_is_made_due() {
    let place = tempfile::tempdir().unwrap();
    let spool = open(place.path());
    let id = store(&spool, &["b@example.net"]).unwrap();
    let note = RetryNote { next_attempt: u64::MAX, attempts: 7, ..retry_note() };
    lock(&spool, &id).retry(&note).unwrap();
    spool.requeue(&id).unwrap();
    let retry = spool.inspect(&id).unwrap().retry;
    assert_eq!(
        (retry.next_attempt, retry.attempts, retry.reason.as_deref()),
        (Some(0), 7, Some("try later"))
    );
}

/// However it has failed: with a reason of its own, or, on a full disk, with that of its last attempt only.
#[test]
fn what_comes_back_has_all_of_its_time_again() {
    let place = tempfile::tempdir().unwrap();
    let spool = open(place.path());
    let ways: [fn(&Spool, &MessageId); 4] = [
        |spool, id| spool.requeue(id).unwrap(),
        |spool, _| assert_eq!(spool.requeue_failed(), Ok(1)),
        |spool, id| {
            spool.hold(id).unwrap();
            spool.release(id).unwrap();
        },
        |spool, id| {
            spool.hold(id).unwrap();
            spool.requeue(id).unwrap();
        },
    ];
    for bring_back in ways {
        let id = store(&spool, &["b@example.net"]).unwrap();
        let note = RetryNote { first_try: 1000, attempts: 7, next_attempt: u64::MAX, ..retry_note() };
        lock(&spool, &id).retry(&note).unwrap();
        let name = |suffix: &str| place.path().join(format!("{id}.envelope{suffix}"));
        let mut text = fs::read(name("")).unwrap();
        text.extend_from_slice(b"X-MailRelay-Interrupted: 5 2000\r\n");
        fs::write(name(".bad"), text).unwrap();
        fs::remove_file(name("")).unwrap();
        let before = super::super::unix_time().as_secs();
        bring_back(&spool, &id);
        let retry = lock(&spool, &id).retry_state();
        assert!(retry.first_try.unwrap() >= before, "{retry:?}");
        let rest = (retry.attempts, retry.next_attempt, retry.interrupted, retry.reason.as_deref());
        assert_eq!(rest, (0, None, None, Some("try later")));
        // The next attempt replaces what was noted.
        lock(&spool, &id).retry(&retry_note()).unwrap();
        assert_eq!(lock(&spool, &id).envelope().trailer.len(), 5);
        spool.delete(&id).unwrap();
    }
}

#[test]
fn a_message_that_cannot_be_noted_as_fresh_stays_failed() {
    let place = tempfile::tempdir().unwrap();
    let spool = open(place.path());
    let id = store(&spool, &["b@example.net"]).unwrap();
    lock(&spool, &id).retry(&retry_note()).unwrap();
    let [ready, bad] = ["", ".bad"].map(|suffix| place.path().join(format!("{id}.envelope{suffix}")));
    let mut text = fs::read(&ready).unwrap();
    text.resize(MAX_ENVELOPE - 1, b'x');
    fs::write(&bad, &text).unwrap();
    fs::remove_file(ready).unwrap();
    assert!(matches!(spool.requeue(&id), Err(ActionError::Io { errno: Errno::EFBIG, .. })));
    assert_eq!(fs::read(&bad).unwrap(), text);
    // One that cannot be read at all comes back as it is.
    fs::write(&bad, "X-MailRelay-Format: no\r\n").unwrap();
    spool.requeue(&id).unwrap();
    assert!(!bad.exists());
}

#[test]
fn all_failed_messages_are_requeued_and_no_file_is_replaced() {
    let place = tempfile::tempdir().unwrap();
    let spool = open(place.path());
    let [one, two] = [failed(&spool), failed(&spool)];
    fs::write(place.path().join(format!("{two}.envelope")), "precious").unwrap();
    assert_eq!(spool.requeue_failed(), Ok(1));
    assert_eq!(spool.names(MessageState::Failed).unwrap(), [two.to_string()]);
    assert_eq!(fs::read(place.path().join(format!("{two}.envelope"))).unwrap(), b"precious");
    assert_eq!(spool.requeue(&two), Err(ActionError::Exists));
    lock(&spool, &one);
}

#[test]
fn a_deleted_message_is_gone_and_its_content_stays_while_it_is_needed() {
    let place = tempfile::tempdir().unwrap();
    let spool = open(place.path());
    let brings: [fn(&Spool, &MessageId); 3] = [
        |_, _| {},
        |spool, id| spool.hold(id).unwrap(),
        |spool, id| lock(spool, id).fail(&fail_note()).unwrap(),
    ];
    for bring in brings {
        let id = store(&spool, &["b@example.net"]).unwrap();
        bring(&spool, &id);
        spool.delete(&id).unwrap();
        assert!(names(place.path()).is_empty());
        assert_eq!(spool.delete(&id), Err(ActionError::NoSuchMessage));
    }
    let id = store(&spool, &["b@example.net"]).unwrap();
    let mailbox = place.path().join("alice");
    fs::create_dir(&mailbox).unwrap();
    fs::write(mailbox.join(format!("{id}.envelope")), "").unwrap();
    spool.delete(&id).unwrap();
    assert_eq!(names(place.path()), ["alice".to_owned(), format!("{id}.content")]);
}

#[test]
fn a_message_is_given_up_and_purged_when_it_is_old_enough() {
    let place = tempfile::tempdir().unwrap();
    let spool = open(place.path());
    let [one, two] = [0, 1].map(|_| store(&spool, &["b@example.net"]).unwrap());
    spool.give_up(&one, "no such customer").unwrap();
    let found = spool.inspect(&one).unwrap();
    assert_eq!(
        (found.state, found.retry.reason.as_deref()),
        (MessageState::Failed, Some("no such customer"))
    );
    assert_eq!(spool.give_up(&one, "again"), Err(ActionError::NotReady));
    spool.hold(&two).unwrap();
    assert_eq!(spool.give_up(&two, "held"), Err(ActionError::NotReady));
    assert_eq!(spool.give_up(&"x".parse().unwrap(), "gone"), Err(ActionError::NoSuchMessage));
    // Without content it could not be sent either.
    let three = store(&spool, &["b@example.net"]).unwrap();
    fs::remove_file(place.path().join(format!("{three}.content"))).unwrap();
    spool.give_up(&three, "no content").unwrap();

    assert_eq!(spool.purge_failed(Duration::from_secs(3600)).unwrap(), []);
    let mut purged = spool.purge_failed(Duration::ZERO).unwrap();
    purged.sort();
    assert_eq!(purged, [one, three]);
    assert_eq!(names(place.path()), [format!("{two}.content"), format!("{two}.envelope.hold")]);
}

#[test]
fn what_is_being_sent_or_received_is_busy() {
    let place = tempfile::tempdir().unwrap();
    let spool = open(place.path());
    let id = store(&spool, &["b@example.net"]).unwrap();
    let locked = lock(&spool, &id);
    let mut receiving = spool.create(&spool.next_id()).unwrap();
    receiving.write_envelope(&envelope(&["b@example.net"])).unwrap();
    for id in [&id, receiving.id()] {
        let all =
            [spool.hold(id), spool.release(id), spool.requeue(id), spool.delete(id), spool.give_up(id, "x")];
        assert!(all.iter().all(|result| *result == Err(ActionError::Busy)), "{all:?}");
    }
    // A forwarder is between its lock and its rename.
    drop(locked);
    let path = place.path().join(format!("{id}.envelope"));
    let file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    assert!(disk::TestDisk::new(place.path()).try_lock(&file).unwrap());
    assert_eq!(spool.delete(&id), Err(ActionError::Busy));
    assert_eq!(spool.inspect(receiving.id()).unwrap().state, MessageState::New);
}

#[test]
fn names_are_listed_in_the_order_of_2_6() {
    let place = tempfile::tempdir().unwrap();
    let spool = open(place.path());
    assert!(spool.names(MessageState::Ready).unwrap().is_empty());
    for name in ["emailrelay.9.1.10", "emailrelay.10.1.2", "foo", "foo-2", ".hidden"] {
        fs::write(place.path().join(format!("{name}.envelope")), "").unwrap();
    }
    fs::write(place.path().join("other.envelope.bad"), "").unwrap();
    assert_eq!(
        spool.names(MessageState::Ready).unwrap(),
        ["emailrelay.10.1.2", "emailrelay.9.1.10", "foo-2", "foo"]
    );
}

#[test]
fn control_files_are_flags() {
    let place = tempfile::tempdir().unwrap();
    let spool = open(place.path());
    spool.disable_smtp().unwrap();
    spool.disable_smtp().unwrap();
    assert!(spool.smtp_disabled());
    spool.enable_smtp().unwrap();
    spool.enable_smtp().unwrap();
    assert!(!spool.smtp_disabled() && !spool.dnsbl_stopped());
    spool.stop_dnsbl(60).unwrap();
    assert!(spool.dnsbl_stopped());
    fs::write(place.path().join("dnsbl.stop"), "1000\n").unwrap();
    fs::write(place.path().join("dnsbl.stop.tmp"), "").unwrap();
    assert!(!spool.dnsbl_stopped());
    spool.stop_dnsbl(u32::MAX).unwrap();
    spool.stop_dnsbl(0).unwrap();
    assert!(!spool.dnsbl_stopped() && names(place.path()).is_empty());
}

#[test]
fn watch_tells_the_life_of_a_message() {
    use MessageState::{Busy, Failed, Held, New, Ready};
    let place = tempfile::tempdir().unwrap();
    let spool = open(place.path());
    let mut watch = spool.watch().unwrap();
    let id = store(&spool, &["b@example.net"]).unwrap();
    lock(&spool, &id).retry(&retry_note()).unwrap();
    spool.hold(&id).unwrap();
    spool.release(&id).unwrap();
    lock(&spool, &id).fail(&fail_note()).unwrap();
    spool.requeue(&id).unwrap();
    lock(&spool, &id).sent().unwrap();
    spool.disable_smtp().unwrap();
    spool.request_forward().unwrap();
    spool.take_forward_request().unwrap();
    fs::write(place.path().join("unrelated"), "").unwrap();
    let message = |from, to| Change::Message { id: id.clone(), from, to };
    let expected = [
        message(None, Some(New)),
        message(Some(New), Some(Ready)),
        message(Some(Ready), Some(Busy)),
        message(Some(Busy), Some(Ready)),
        message(Some(Ready), Some(Held)),
        message(Some(Held), Some(Ready)),
        message(Some(Ready), Some(Busy)),
        message(Some(Busy), Some(Failed)),
        message(Some(Failed), Some(Ready)),
        message(Some(Ready), Some(Busy)),
        message(Some(Busy), None),
        Change::Smtp { enabled: false },
        Change::RequestTaken,
    ];
    assert_eq!(watch.read().unwrap(), expected);
    assert_eq!(watch.read().unwrap(), []);

    // By hand, in and out of the directory.
    let [inside, outside] = [place.path().join("x.envelope"), place.path().join("alice")];
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("new"), "").unwrap();
    fs::rename(outside.join("new"), &inside).unwrap();
    fs::rename(&inside, outside.join("gone")).unwrap();
    let x = |from, to| Change::Message { id: "x".parse().unwrap(), from, to };
    assert_eq!(watch.read().unwrap(), [x(None, Some(Ready)), x(Some(Ready), None)]);
}

#[test]
fn a_watch_ends_with_its_directory() {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("spool");
    fs::create_dir(&directory).unwrap();
    let spool = open(&directory);
    let mut watch = spool.watch().unwrap();
    fs::rename(&directory, place.path().join("old")).unwrap();
    fs::create_dir(&directory).unwrap();
    assert!(!watch.is_over());
    assert_eq!(watch.read().unwrap(), [Change::Lost]);
    assert!(watch.is_over());
    let mut watch = spool.watch().unwrap();
    fs::write(directory.join("x.envelope"), "").unwrap();
    assert_eq!(watch.read().unwrap().len(), 1);
}

/// Two administrators and two forwarders, as processes of their own: nothing is lost, and nothing sent twice.
#[test]
fn all_act_on_the_same_messages_at_once() {
    const MESSAGES: usize = 60;
    let place = tempfile::tempdir().unwrap();
    let first = open(place.path());
    let ids: Vec<MessageId> = (0..MESSAGES).map(|_| store(&first, &["b@example.net"]).unwrap()).collect();
    let (sent, deleted, over) =
        (Mutex::new(HashMap::<MessageId, usize>::new()), Mutex::new(Vec::new()), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for seed in 0..2usize {
            let (ids, deleted) = (&ids, &deleted);
            let (spool, over) = (open(place.path()), &over);
            scope.spawn(move || {
                for round in 0..12 {
                    for (index, id) in ids.iter().enumerate() {
                        match (index * 7 + round * 3 + seed) % 5 {
                            0 => drop(spool.hold(id)),
                            1 => drop(spool.release(id)),
                            2 => drop(spool.requeue(id)),
                            3 if round > 8 && index % 4 == 0 => {
                                if spool.delete(id).is_ok() {
                                    deleted.lock().unwrap().push(id.clone());
                                }
                            }
                            _ => drop(spool.inspect(id)),
                        }
                    }
                }
                over.store(true, Ordering::Release);
            });
            let (spool, sent) = (open(place.path()), &sent);
            scope.spawn(move || {
                let mut turn = seed;
                while !over.load(Ordering::Acquire) {
                    for waiting in spool.waiting().unwrap() {
                        let Ok(Some(message)) = spool.lock(&waiting.id) else { continue };
                        turn += 1;
                        match turn % 7 {
                            0 => {
                                *sent.lock().unwrap().entry(waiting.id).or_default() += 1;
                                message.sent().unwrap();
                            }
                            1 => message.fail(&fail_note()).unwrap(),
                            2 => message.retry(&retry_note()).unwrap(),
                            _ => message.unlock().unwrap(),
                        }
                    }
                }
            });
        }
    });
    let (sent, deleted) = (sent.into_inner().unwrap(), deleted.into_inner().unwrap());
    let left = files(place.path());
    assert!(!left.iter().any(|name| name.contains("busy")), "{left:?}");
    for id in &ids {
        let stays = first.inspect(id).is_ok();
        let ends = sent.get(id).copied().unwrap_or(0) + deleted.iter().filter(|one| *one == id).count();
        assert_eq!(ends + usize::from(stays), 1, "{id}: sent {:?}", sent.get(id));
        assert_eq!(stays, place.path().join(format!("{id}.content")).exists(), "{id}");
    }
}
