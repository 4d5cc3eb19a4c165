//! The life of a message, and the files it has in each state.

use std::io::Read;

use super::*;

#[test]
fn a_stored_message_has_two_files_that_the_group_may_write() {
    // The umask of a running role. It is the whole process's, so no other test may depend on it.
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
    let place = tempfile::tempdir().unwrap();
    let spool = open(place.path());
    let mut message = spool.create(&spool.next_id()).unwrap();
    message.append(CONTENT_TEXT).unwrap();
    assert_eq!(message.size(), CONTENT_TEXT.len() as u64);
    message.write_envelope(&envelope(&["b@example.net"])).unwrap();
    assert_eq!(fs::read(message.content_path()).unwrap(), CONTENT_TEXT);
    assert!(message.envelope_path().to_str().unwrap().ends_with(".envelope.new"));
    assert_eq!(mode(&message.envelope_path()), 0o660);
    let id = commit(message).unwrap();
    assert_eq!(names(place.path()), [format!("{id}.content"), format!("{id}.envelope")]);
    assert_eq!(mode(&place.path().join(format!("{id}.content"))), 0o660);
    assert_eq!(spool.counts().unwrap(), Counts { waiting: 1, ..Counts::default() });
}

#[test]
fn large_content_is_whole() {
    let place = tempfile::tempdir().unwrap();
    let spool = open(place.path());
    let mut message = spool.create(&spool.next_id()).unwrap();
    let mut expected = Vec::new();
    for size in [1, 100, 40_000, 31_000, 2_000, 32_768, 7] {
        let chunk = vec![b'a' + (size % 26) as u8; size];
        message.append(&chunk).unwrap();
        expected.extend(chunk);
    }
    message.write_envelope(&envelope(&["b@example.net"])).unwrap();
    let id = commit(message).unwrap();
    let (mut content, size) = lock(&spool, &id).content().unwrap();
    let mut read = Vec::new();
    content.read_to_end(&mut read).unwrap();
    assert_eq!((read.len() as u64, read), (size, expected));
}

#[test]
fn a_dropped_message_leaves_nothing() {
    let place = tempfile::tempdir().unwrap();
    let spool = open(place.path());
    let mut message = spool.create(&spool.next_id()).unwrap();
    message.append(CONTENT_TEXT).unwrap();
    message.write_envelope(&envelope(&["b@example.net"])).unwrap();
    message.write_envelope(&envelope(&["c@example.net"])).unwrap();
    drop(message);
    assert_eq!(names(place.path()), Vec::<String>::new());
    let message = spool.create(&spool.next_id()).unwrap();
    assert_eq!(commit(message), Err(StoreError::Incomplete));
    assert_eq!(names(place.path()), Vec::<String>::new());
}

#[test]
fn what_filters_replaced_is_what_is_committed() {
    let place = tempfile::tempdir().unwrap();
    let spool = open(place.path());
    let mut message = spool.create(&spool.next_id()).unwrap();
    message.append(CONTENT_TEXT).unwrap();
    message.write_envelope(&envelope(&["b@example.net"])).unwrap();
    let edited = place.path().join("edited");
    fs::write(&edited, "new text").unwrap();
    fs::rename(&edited, message.content_path()).unwrap();
    let id = commit(whole(message.reopen(Ruling::Passed))).unwrap();
    assert_eq!(lock(&spool, &id).content().unwrap().1, 8);

    let mut message = spool.create(&spool.next_id()).unwrap();
    message.write_envelope(&envelope(&["b@example.net"])).unwrap();
    fs::remove_file(message.envelope_path()).unwrap();
    let left = message.reopen(Ruling::Passed).unwrap();
    assert!(matches!(left, Left::Invalid(Spoilt::Envelope)), "{left:?}");
    drop(left);
    assert_eq!(names(place.path()).len(), 2, "nothing is left of it");
}

fn whole(left: Result<Left, StoreError>) -> NewMessage {
    match left {
        Ok(Left::Message(message)) => message,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_taken_id_is_not_used_again() {
    let place = tempfile::tempdir().unwrap();
    let spool = open(place.path());
    let wanted = spool.next_id();
    for suffix in ["content", "envelope", "envelope.new", "envelope.busy", "envelope.bad"] {
        let taken = place.path().join(format!("{wanted}.{suffix}"));
        fs::write(&taken, "").unwrap();
        let message = spool.create(&wanted).unwrap();
        assert_ne!(message.id(), &wanted, "{suffix}");
        drop(message);
        assert_eq!(names(place.path()), [format!("{wanted}.{suffix}")]);
        fs::remove_file(taken).unwrap();
    }
    std::os::unix::fs::symlink("/etc/passwd", place.path().join(format!("{wanted}.content"))).unwrap();
    assert_ne!(spool.create(&wanted).unwrap().id(), &wanted);
}

#[test]
fn a_locked_message_belongs_to_one() {
    let place = tempfile::tempdir().unwrap();
    let (spool, other) = (open(place.path()), open(place.path()));
    let id = store(&spool, &["b@example.net"]).unwrap();
    let message = lock(&spool, &id);
    assert_eq!(names(place.path()), [format!("{id}.content"), format!("{id}.envelope.busy")]);
    assert!(other.lock(&id).unwrap().is_none());
    assert_eq!(other.peek(&id).unwrap(), None);
    assert_eq!(other.recover(Duration::ZERO).unwrap(), Recovery::default());
    drop(message);
    assert_eq!(other.peek(&id).unwrap().unwrap().envelope.remote, ["b@example.net"]);
    assert!(other.lock(&id).unwrap().is_some());
}

#[test]
fn a_sent_message_is_gone() {
    let place = tempfile::tempdir().unwrap();
    let spool = open(place.path());
    let id = store(&spool, &["b@example.net"]).unwrap();
    let mut message = lock(&spool, &id);
    message.reserve_edit().unwrap();
    assert!(names(place.path()).contains(&format!("{id}.envelope.busy.tmp")));
    message.sent().unwrap();
    spool.flush().unwrap();
    assert_eq!(names(place.path()), Vec::<String>::new());
    assert!(spool.lock(&id).unwrap().is_none());
}

#[test]
fn a_failed_message_tells_why() {
    let place = tempfile::tempdir().unwrap();
    let spool = open(place.path());
    let id = store(&spool, &["b@example.net"]).unwrap();
    let bad = place.path().join(format!("{id}.envelope.bad"));
    let original = fs::read_to_string(place.path().join(format!("{id}.envelope"))).unwrap();
    lock(&spool, &id).fail(&fail_note()).unwrap();
    let expected = "X-MailRelay-Reason: no mail\r\nX-MailRelay-ReasonCode: 550\r\n";
    assert_eq!(fs::read_to_string(&bad).unwrap(), format!("{original}{expected}"));
    assert_eq!(spool.failed().unwrap(), std::slice::from_ref(&id));

    // Brought back by an operator, and failed again without a reply.
    fs::rename(&bad, place.path().join(format!("{id}.envelope"))).unwrap();
    lock(&spool, &id).fail(&FailNote { code: None, ..fail_note() }).unwrap();
    let again = "X-MailRelay-Reason: no mail\r\nX-MailRelay-ReasonCode:\r\n";
    assert_eq!(fs::read_to_string(&bad).unwrap(), format!("{original}{expected}{again}"));
}

#[test]
fn reasons_are_appended_in_the_style_of_the_file() {
    let place = tempfile::tempdir().unwrap();
    let spool = open(place.path());
    let text = String::from_utf8(envelope(&["b@example.net"]).to_bytes()).unwrap().replace("\r\n", "\n");
    fs::write(place.path().join("foo.content"), "").unwrap();
    fs::write(place.path().join("foo.envelope"), text.trim_end()).unwrap();
    lock(&spool, &"foo".parse().unwrap()).fail(&fail_note()).unwrap();
    let expected = "X-MailRelay-Reason: no mail\nX-MailRelay-ReasonCode: 550\n";
    assert_eq!(
        fs::read_to_string(place.path().join("foo.envelope.bad")).unwrap(),
        format!("{text}{expected}")
    );
}

#[test]
fn retries_replace_each_other() {
    let place = tempfile::tempdir().unwrap();
    let spool = open(place.path());
    let id = store(&spool, &["b@example.net"]).unwrap();
    let rejected = vec![Rejected { address: "b@example.net".to_owned(), code: 450, text: "busy".to_owned() }];
    let mut sizes = Vec::new();
    for attempts in 1..=3 {
        let mut message = lock(&spool, &id);
        message.mark_in_doubt(1000 + u64::from(attempts), "192.0.2.1:25").unwrap();
        let note = RetryNote { attempts, rejected: rejected.clone(), ..retry_note() };
        message.retry(&note).unwrap();
        sizes.push(fs::metadata(place.path().join(format!("{id}.envelope"))).unwrap().len());
    }
    assert_eq!(sizes, [sizes[0]; 3]);
    let Peeked { envelope, retry: state, .. } = spool.peek(&id).unwrap().unwrap();
    let expected = RetryState {
        attempts: 3,
        first_try: Some(1000),
        next_attempt: Some(2000),
        reason: Some("try later".to_owned()),
        reason_code: Some(450),
        in_doubt: Some(InDoubt { at: 1003, address: "192.0.2.1:25".to_owned() }),
        ..RetryState::default()
    };
    assert_eq!(state, expected);
    assert_eq!(envelope.trailer.last().unwrap(), b"X-MailRelay-RecipientReason: b@example.net 450 busy");
    assert_eq!(mode(&place.path().join(format!("{id}.envelope"))), 0o660);

    // Given up: the series of retries is over, and an operator's retry starts afresh.
    lock(&spool, &id).fail(&fail_note()).unwrap();
    let directory = place.path();
    fs::rename(directory.join(format!("{id}.envelope.bad")), directory.join(format!("{id}.envelope")))
        .unwrap();
    let state = spool.peek(&id).unwrap().unwrap().retry;
    assert_eq!((state.attempts, state.first_try, state.next_attempt), (0, None, None));
    assert_eq!((state.reason.as_deref(), state.reason_code), (Some("no mail"), Some(550)));
}

#[test]
fn who_is_set_aside_is_a_failed_message_with_the_same_content() {
    let place = tempfile::tempdir().unwrap();
    let spool = open(place.path());
    let id = store(&spool, &["b@example.net", "c@example.net", "d@example.net"]).unwrap();
    lock(&spool, &id).retry(&retry_note()).unwrap();
    let refused = ["d@example.net", "b@example.net", "x@example.net"].map(str::to_owned);
    let mut message = lock(&spool, &id);
    let part = message.set_aside(&refused, &fail_note()).unwrap().unwrap();
    assert_eq!(message.envelope().remote, ["c@example.net"]);
    message.unlock().unwrap();
    let Peeked { envelope, retry: state, .. } = spool.peek(&id).unwrap().unwrap();
    assert_eq!((envelope.remote, state.attempts), (vec!["c@example.net".to_owned()], 1));
    let found = spool.inspect(&part).unwrap();
    let envelope = found.envelope.unwrap();
    assert_eq!((found.state, &*found.head), (MessageState::Failed, CONTENT_TEXT));
    assert_eq!(envelope.remote, ["b@example.net", "d@example.net"]);
    assert_eq!(envelope.split_from(), Some(id.clone()));
    let state = RetryState::of(&envelope);
    assert_eq!((state.reason.as_deref(), state.reason_code, state.attempts), (Some("no mail"), Some(550), 0));
    // Each has its content until it goes itself.
    lock(&spool, &id).sent().unwrap();
    spool.requeue(&part).unwrap();
    assert_eq!(lock(&spool, &part).content().unwrap().1, CONTENT_TEXT.len() as u64);

    // Where nobody is left, or nobody is refused, there is nothing to set aside.
    let mut message = lock(&spool, &part);
    assert_eq!(message.set_aside(&refused, &fail_note()), Ok(None));
    assert_eq!(message.set_aside(&refused[2..], &fail_note()), Ok(None));
    assert_eq!(names(place.path()).len(), 2);
}

#[test]
fn an_edit_keeps_the_lock_and_the_other_lines() {
    let place = tempfile::tempdir().unwrap();
    let (spool, other) = (open(place.path()), open(place.path()));
    let id = store(&spool, &["b@example.net", "c@example.net"]).unwrap();
    let path = place.path().join(format!("{id}.envelope"));
    let mut text = fs::read_to_string(&path).unwrap();
    text.push_str("  a note \t\r\n\r\nlast");
    fs::write(&path, text).unwrap();
    let mut message = lock(&spool, &id);
    message.reserve_edit().unwrap();
    message.keep_remote(&["c@example.net".to_owned()]).unwrap();
    assert_eq!(message.envelope().remote, ["c@example.net"]);
    assert_eq!(other.recover(Duration::ZERO).unwrap(), Recovery::default());
    message.unlock().unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains("ToCount: 1\r\nX-MailRelay-To-Remote: c@example.net\r\n"), "{text}");
    assert!(text.ends_with("X-MailRelay-End: 1\r\n  a note\r\n\r\nlast\r\n"), "{text}");
    assert_eq!(names(place.path()).len(), 2);
}

#[test]
fn a_filter_may_replace_the_envelope_of_a_locked_message() {
    let place = tempfile::tempdir().unwrap();
    let (spool, other) = (open(place.path()), open(place.path()));
    let id = store(&spool, &["b@example.net"]).unwrap();
    let mut message = lock(&spool, &id);
    fs::write(place.path().join("new"), envelope(&["d@example.net"]).to_bytes()).unwrap();
    fs::rename(place.path().join("new"), place.path().join(format!("{id}.envelope.busy"))).unwrap();
    message.reload().unwrap();
    assert_eq!(message.envelope().remote, ["d@example.net"]);
    assert_eq!(other.recover(Duration::ZERO).unwrap(), Recovery::default());
    // Not replaced: the lock is not lost by the second look.
    message.reload().unwrap();
    assert_eq!(other.recover(Duration::ZERO).unwrap(), Recovery::default());
}

#[test]
fn waiting_messages_are_listed_oldest_first() {
    let place = tempfile::tempdir().unwrap();
    let spool = open(place.path());
    let names = [
        "emailrelay.9.1795170755.10",
        "emailrelay.10.1795170755.2",
        "emailrelay.10.1795170754.7",
        "emailrelay.8.1795170756.1",
    ];
    for name in names {
        fs::write(place.path().join(format!("{name}.envelope")), "").unwrap();
        fs::write(place.path().join(format!("{name}.content")), "").unwrap();
    }
    fs::write(place.path().join("foo.envelope"), "").unwrap();
    let foo = File::options().write(true).open(place.path().join("foo.envelope")).unwrap();
    foo.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_170_755)).unwrap();
    fs::write(place.path().join("bar.envelope.bad"), "").unwrap();
    fs::write(place.path().join(".envelope"), "").unwrap();
    let listed: Vec<String> =
        spool.waiting().unwrap().into_iter().map(|message| message.id.to_string()).collect();
    assert_eq!(listed, [names[2], "foo", names[1], names[0], names[3]]);
    assert_eq!(spool.counts().unwrap(), Counts { waiting: 5, busy: 0, bad: 1, held: 0 });
}

#[test]
fn a_forward_request_is_taken_once() {
    let place = tempfile::tempdir().unwrap();
    let spool = open(place.path());
    assert!(!spool.forward_requested());
    spool.request_forward().unwrap();
    spool.request_forward().unwrap();
    assert!(spool.forward_requested());
    assert_eq!(names(place.path()), ["forward.request"]);
    assert!(spool.take_forward_request().unwrap());
    assert!(!spool.take_forward_request().unwrap());
}

#[test]
fn without_durability_nothing_is_synced_but_all_is_stored() {
    let place = tempfile::tempdir().unwrap();
    let disk = Arc::new(disk::TestDisk::new(place.path()));
    disk.fail(disk::Operation::SyncFile, nix::errno::Errno::EIO);
    let config = SpoolConfig { durability: Durability::None, ..SpoolConfig::default() };
    let spool = Spool::with_disk(disk, place.path(), config).unwrap();
    let id = store(&spool, &["b@example.net"]).unwrap();
    lock(&spool, &id).retry(&retry_note()).unwrap();
    spool.flush().unwrap();
    assert_eq!(spool.waiting().unwrap().len(), 1);
}
