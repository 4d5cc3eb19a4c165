//! What filters may do to the files of a message, and what is made of it.

use super::*;

fn received(spool: &Spool) -> NewMessage {
    let mut message = spool.create(&spool.next_id()).unwrap();
    message.append(CONTENT_TEXT).unwrap();
    message.write_envelope(&envelope(&["b@example.net"])).unwrap();
    message.hold();
    message
}

fn path(message: &NewMessage, suffix: &str) -> std::path::PathBuf {
    message.content_path().with_file_name(format!("{}{suffix}", message.id()))
}

/// What is left when a filter has done this to a message and then said that; the endings of the files.
fn after(ruling: Ruling, filter: fn(&NewMessage)) -> (&'static str, Vec<String>) {
    let place = tempfile::tempdir().unwrap();
    let spool = open(place.path());
    let message = received(&spool);
    let stem = message.id().to_string();
    filter(&message);
    let left = match message.reopen(ruling).unwrap() {
        Left::Message(message) => {
            commit(message).unwrap();
            "stored"
        }
        Left::Taken => "taken",
        Left::Invalid(Spoilt::Content) => "no content",
        Left::Invalid(Spoilt::Envelope) => "no envelope",
        Left::Invalid(Spoilt::Text(_)) => "garbage",
    };
    let endings = names(place.path()).iter().map(|name| name.replace(&stem, "")).collect();
    (left, endings)
}

#[test]
fn every_row_of_the_table() {
    let nothing: fn(&NewMessage) = |_| {};
    let both: fn(&NewMessage) = |message| {
        fs::remove_file(message.content_path()).unwrap();
        fs::remove_file(message.envelope_path()).unwrap();
    };
    let envelope: fn(&NewMessage) = |message| fs::remove_file(message.envelope_path()).unwrap();
    let content: fn(&NewMessage) = |message| fs::remove_file(message.content_path()).unwrap();
    let queue: fn(&NewMessage) =
        |message| fs::rename(message.envelope_path(), path(message, ".envelope")).unwrap();
    let aside: fn(&NewMessage) =
        |message| fs::rename(message.envelope_path(), path(message, ".envelope.bad")).unwrap();
    let garbage: fn(&NewMessage) = |message| fs::write(message.envelope_path(), "hello").unwrap();
    for (filter, passed, abandoned) in [
        (nothing, "stored .content .envelope", "stored .content .envelope"),
        (both, "no envelope", "taken"),
        (envelope, "no envelope", "taken .content"),
        (content, "no content .envelope.bad", "no content .envelope.bad"),
        (queue, "stored .content .envelope", "stored .content .envelope"),
        (aside, "no envelope .content .envelope.bad", "taken .content .envelope.bad"),
        (garbage, "garbage .content .envelope.bad", "garbage .content .envelope.bad"),
    ] {
        for (ruling, expected) in [(Ruling::Passed, passed), (Ruling::Abandoned, abandoned)] {
            let (left, files) = after(ruling, filter);
            let found = std::iter::once(left.to_owned()).chain(files).collect::<Vec<_>>().join(" ");
            assert_eq!(found, expected, "{ruling:?}");
        }
    }
}

#[test]
fn what_is_not_a_regular_file_is_no_message() {
    let link: fn(&NewMessage) = |message| {
        fs::remove_file(message.content_path()).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", message.content_path()).unwrap();
    };
    assert_eq!(after(Ruling::Passed, link).0, "no content");
    let fifo: fn(&NewMessage) = |message| {
        fs::remove_file(message.envelope_path()).unwrap();
        nix::unistd::mkfifo(&message.envelope_path(), nix::sys::stat::Mode::S_IRUSR).unwrap();
    };
    assert_eq!(after(Ruling::Passed, fifo).0, "no envelope");
}

#[test]
fn a_refused_message_leaves_nothing_not_even_if_the_filter_has_queued_it() {
    let place = tempfile::tempdir().unwrap();
    let spool = open(place.path());
    received(&spool).refuse();
    let message = received(&spool);
    fs::rename(message.envelope_path(), path(&message, ".envelope")).unwrap();
    message.refuse();
    assert_eq!(names(place.path()), Vec::<String>::new());
    // Unless it is being sent by then: by E-MailRelay 2.6, since forwarders of ours wait for our lock.
    let message = received(&spool);
    fs::rename(message.envelope_path(), path(&message, ".envelope")).unwrap();
    assert!(open(place.path()).lock(message.id()).unwrap().is_none());
    fs::rename(path(&message, ".envelope"), path(&message, ".envelope.busy")).unwrap();
    message.refuse();
    assert_eq!(names(place.path()).len(), 2);
}

#[test]
fn a_message_with_its_filters_has_an_owner() {
    let place = tempfile::tempdir().unwrap();
    let spool = open(place.path());
    let message = received(&spool);
    let other = open(place.path());
    assert_eq!(other.sweep_unfinished(Duration::ZERO).unwrap(), []);
    // The lock on the other file does while one has been replaced.
    let edited = place.path().join("edited");
    fs::write(&edited, "new text").unwrap();
    fs::rename(&edited, message.content_path()).unwrap();
    assert_eq!(other.sweep_unfinished(Duration::ZERO).unwrap(), []);
    let Left::Message(message) = message.reopen(Ruling::Passed).unwrap() else { panic!() };
    assert_eq!(other.sweep_unfinished(Duration::ZERO).unwrap(), []);
    commit(message).unwrap();
}

#[test]
fn unfinished_messages_of_the_dead_are_removed_with_their_content() {
    let place = tempfile::tempdir().unwrap();
    let spool = open(place.path());
    let stored = store(&spool, &["b@example.net"]).unwrap();
    for name in ["emailrelay.1.2.3.content", "emailrelay.1.2.3.envelope.new", "emailrelay.1.2.4.envelope.new"]
    {
        fs::write(place.path().join(name), "x").unwrap();
    }
    // Content without an envelope may be that of a message in a mailbox.
    fs::write(place.path().join("emailrelay.1.2.5.content"), "x").unwrap();
    assert_eq!(spool.sweep_unfinished(Duration::from_secs(60)).unwrap(), []);
    let mut removed: Vec<String> =
        spool.sweep_unfinished(Duration::ZERO).unwrap().into_iter().map(|orphan| orphan.name).collect();
    removed.sort();
    let expected =
        ["emailrelay.1.2.3.content", "emailrelay.1.2.3.envelope.new", "emailrelay.1.2.4.envelope.new"];
    assert_eq!(removed, expected);
    let mut left = vec![
        "emailrelay.1.2.5.content".to_owned(),
        format!("{stored}.content"),
        format!("{stored}.envelope"),
    ];
    left.sort();
    assert_eq!(names(place.path()), left);
}

#[test]
fn shared_content_is_copied_before_a_filter_may_edit_it() {
    let place = tempfile::tempdir().unwrap();
    let spool = open(place.path());
    let id = store(&spool, &["b@example.net"]).unwrap();
    let sibling = place.path().join("emailrelay.1.2.3.content");
    fs::hard_link(place.path().join(format!("{id}.content")), &sibling).unwrap();
    let mut message = lock(&spool, &id);
    message.unshare_content().unwrap();
    fs::write(message.content_path(), "changed").unwrap();
    assert_eq!(fs::read(&sibling).unwrap(), CONTENT_TEXT);
    assert_eq!(mode(&message.content_path()), 0o660);
    message.unshare_content().unwrap();
    assert_eq!(message.content().unwrap().1, 7);
}

#[test]
fn a_locked_message_is_what_filters_have_left() {
    let place = tempfile::tempdir().unwrap();
    let spool = open(place.path());
    let id = store(&spool, &["b@example.net"]).unwrap();
    let mut message = lock(&spool, &id);
    assert_eq!(message.reload().unwrap(), Reloaded::Whole);
    fs::remove_file(message.content_path()).unwrap();
    assert_eq!(message.reload().unwrap(), Reloaded::Unsendable("cannot open content file".to_owned()));
    // The reason goes to the file that has replaced the one we had.
    let edited = place.path().join("edited");
    fs::write(&edited, "garbage\n").unwrap();
    fs::rename(&edited, message.envelope_path()).unwrap();
    let reason = "cannot read envelope file: expected \"X-MailRelay-Format:\"".to_owned();
    assert_eq!(message.reload().unwrap(), Reloaded::Unsendable(reason));
    message.fail(&fail_note()).unwrap();
    let bad = fs::read_to_string(place.path().join(format!("{id}.envelope.bad"))).unwrap();
    assert!(bad.starts_with("garbage\n") && bad.contains("X-MailRelay-Reason: no mail"), "{bad}");

    let id = store(&spool, &["b@example.net"]).unwrap();
    let mut message = lock(&spool, &id);
    fs::remove_file(message.envelope_path()).unwrap();
    assert_eq!(message.reload().unwrap(), Reloaded::Gone);
}

#[test]
fn content_is_replaced_as_a_whole_or_not_at_all() {
    let place = tempfile::tempdir().unwrap();
    let spool = open(place.path());
    let message = received(&spool);
    let mut edit = spool.edit_content(message.id()).unwrap();
    edit.append(b"half").unwrap();
    drop(edit);
    assert_eq!(fs::read(message.content_path()).unwrap(), CONTENT_TEXT);
    let mut edit = spool.edit_content(message.id()).unwrap();
    edit.append(b"whole").unwrap();
    edit.replace().unwrap();
    assert_eq!(fs::read(message.content_path()).unwrap(), b"whole");
    assert_eq!(mode(&message.content_path()), 0o660);
    assert_eq!(names(place.path()).len(), 2);
}
