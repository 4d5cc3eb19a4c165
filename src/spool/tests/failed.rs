//! Failed messages in the hands of reporters, and the notes that these leave.

use super::*;

/// A message that has failed, with a recipient of its own trouble.
fn failed(spool: &Spool) -> MessageId {
    let id = store(spool, &["\"b c\"@example.net", "d@example.net"]).unwrap();
    let refusal = Rejected {
        address: "\"b c\"@example.net".to_owned(),
        code: 550,
        text: "5.1.1 no\nsuch user".to_owned(),
    };
    lock(spool, &id).fail(&FailNote { rejected: vec![refusal], ..fail_note() }).unwrap();
    id
}

fn take<'a>(spool: &'a Spool, id: &MessageId) -> FailedMessage<'a> {
    spool.take_failed(id).unwrap().unwrap()
}

#[test]
fn one_reporter_has_a_message_and_sees_why_it_failed() {
    let place = tempfile::tempdir().unwrap();
    let spool = open(place.path());
    let id = failed(&spool);
    let message = take(&spool, &id);
    assert!(open(place.path()).take_failed(&id).unwrap().is_none(), "somebody has it");
    assert_eq!((message.failures(), message.notice(), message.has_room()), (1, None, true));
    assert_eq!(message.retry_state().reason_code, Some(550));
    let said = message.envelope().refusal_of("\"b c\"@example.net");
    assert_eq!(said, Some((550, "5.1.1 no\\nsuch user".to_owned())));
    assert_eq!(message.envelope().refusal_of("d@example.net"), None);
    message.remove().unwrap();
    assert!(names(place.path()).is_empty(), "{:?}", names(place.path()));
    assert!(spool.take_failed(&id).unwrap().is_none());
}

#[test]
fn a_mark_holds_for_one_failure() {
    let place = tempfile::tempdir().unwrap();
    let spool = open(place.path());
    let id = failed(&spool);
    for said in [Notice::Sent, Notice::Nobody] {
        take(&spool, &id).mark_notified(1_795_170_755, said).unwrap();
        assert_eq!(take(&spool, &id).notice(), Some(said));
    }
    assert_eq!(take(&spool, &id).retry_state().reason_code, Some(550), "the record is as it was");
    spool.requeue(&id).unwrap();
    lock(&spool, &id).fail(&fail_note()).unwrap();
    let again = take(&spool, &id);
    assert_eq!((again.notice(), again.failures()), (None, 2));
}

#[test]
fn what_is_brought_back_meanwhile_is_not_removed() {
    let place = tempfile::tempdir().unwrap();
    let spool = open(place.path());
    let id = failed(&spool);
    let message = take(&spool, &id);
    spool.requeue(&id).unwrap();
    assert!(spool.lock(&id).unwrap().is_none(), "the reporter has it open");
    message.remove().unwrap();
    assert_eq!(lock(&spool, &id).content().unwrap().1, CONTENT_TEXT.len() as u64);
}

#[test]
fn a_delay_is_noted_once_and_outlives_retries() {
    let place = tempfile::tempdir().unwrap();
    let spool = open(place.path());
    let id = store(&spool, &["b@example.net"]).unwrap();
    lock(&spool, &id).retry(&retry_note()).unwrap();
    assert_eq!(lock(&spool, &id).delay_noted(), None);
    lock(&spool, &id).note_delay(1_795_170_755).unwrap();
    let again = lock(&spool, &id);
    assert_eq!((again.delay_noted(), again.retry_state().attempts), (Some(1_795_170_755), 1));
    again.retry(&RetryNote { attempts: 2, ..retry_note() }).unwrap();
    let again = lock(&spool, &id);
    assert_eq!((again.delay_noted(), again.retry_state().attempts), (Some(1_795_170_755), 2));
    assert_eq!(again.retry_state().next_attempt, Some(2000));
}

#[test]
fn a_damaged_or_foreign_thing_is_an_error() {
    let place = tempfile::tempdir().unwrap();
    let spool = open(place.path());
    fs::write(place.path().join("x.envelope.bad"), "X-MailRelay-Format: no\r\n").unwrap();
    assert!(matches!(spool.take_failed(&"x".parse().unwrap()), Err(PeekError::Envelope { .. })));
    std::os::unix::fs::symlink("/etc/passwd", place.path().join("y.envelope.bad")).unwrap();
    assert_eq!(spool.take_failed(&"y".parse().unwrap()).unwrap_err(), PeekError::NotRegular);
}
