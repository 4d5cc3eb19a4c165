//! Every reply and fault of a next hop, and what becomes of the message: the tables of the forwarding contract, file by file.

use crate::routes::routed;
use crate::support::daemon::forward as run;
use crate::support::hop::{Script, ScriptedHop, Step, reply};
use crate::support::spool::TempSpool;

/// What is in the spool afterwards.
#[derive(Debug)]
enum Left {
    /// Nothing: it was sent.
    Nothing,
    /// `.bad`, with this reason and code.
    Bad(&'static str, &'static str),
    /// It waits for its time, with this reason and code.
    Waits(&'static str, &'static str),
    /// The same bytes as before.
    Untouched,
}

use Left::{Bad, Nothing, Untouched, Waits};

fn closing(text: &str) -> Step {
    Step::ReplyClose(text.to_owned())
}

/// One message meets this hop; with what is left the exit code must agree.
fn check(case: &str, script: Script, options: &[&str], left: &Left) {
    let (spool, hop) = (TempSpool::new(), ScriptedHop::start(script));
    routed(&spool, "m", "", "");
    let path = spool.path().join("m.envelope");
    let before = std::fs::read(&path).unwrap();
    let (code, lines) = run(&spool, &hop.arg(), options);
    let said = format!("{case}: {left:?}: {:?} {lines:#?}", spool.files());
    let note = |name: &str, reason: &str, code: &str| {
        let envelope = spool.envelope(name);
        assert_eq!((envelope.first("Reason"), envelope.first("ReasonCode")), (reason, code), "{said}");
        assert_eq!(envelope.all("To-Remote"), ["m@example.com"], "{said}");
        assert_eq!(spool.content(name), b"Subject: x\r\n\r\nbody\r\n", "{said}");
    };
    match left {
        Nothing => assert_eq!((spool.files(), code), (vec![], 0), "{said}"),
        Bad(reason, with) => {
            assert_eq!((spool.files(), code), (files("m.envelope.bad"), 0), "{said}");
            note("m.envelope.bad", reason, with);
        }
        Waits(reason, with) => {
            assert_eq!((spool.files(), code), (files("m.envelope"), 75), "{said}");
            assert_eq!(spool.envelope("m.envelope").all("NextAttempt").len(), 1, "{said}");
            note("m.envelope", reason, with);
        }
        Untouched => {
            assert_eq!((spool.files(), code), (files("m.envelope"), 75), "{said}");
            assert_eq!(std::fs::read(&path).unwrap(), before, "{said}");
        }
    }
}

fn files(envelope: &str) -> Vec<String> {
    vec!["m.content".to_owned(), envelope.to_owned()]
}

#[test]
fn before_mail_nothing_is_the_messages_fault() {
    for text in ["421 busy", "450 later", "554 go away", "250 hello", "354 go on", "nonsense", "9 x"] {
        check("greeting", Script { greeting: closing(text), ..Script::well() }, &[], &Untouched);
    }
    check("greeting", Script { greeting: Step::Close, ..Script::well() }, &[], &Untouched);
    for text in ["504 no", "550 no", "421 no", "251 odd", "354 odd", "nonsense"] {
        check("ehlo", Script { ehlo: closing(text), ..Script::well() }, &[], &Untouched);
    }
    check("ehlo", Script { ehlo: Step::Close, ..Script::well() }, &[], &Untouched);
    let silent = ["--response-timeout", "1"];
    check("ehlo", Script { ehlo: Step::Silent, ..Script::well() }, &silent, &Untouched);
    // A greeting that does not come is done without.
    let late = ["--prompt-timeout", "1", "--response-timeout", "1"];
    check("greeting", Script { greeting: Step::Silent, ..Script::well() }, &late, &Untouched);
}

#[test]
fn mail_is_judged_by_its_reply() {
    let mail = |step| Script { mail: step, ..Script::well() };
    for (text, left) in [
        ("450 later", Waits("later", "450")),
        ("550 never", Bad("never", "550")),
        ("550-one\r\n550 two", Bad("one\\ntwo", "550")),
        ("421 closing", Waits("smtp error: unexpected response: 421 closing", "421")),
        ("354 odd", Waits("smtp error: unexpected response: 354 odd", "354")),
        ("nonsense", Waits("smtp error: invalid response", "")),
    ] {
        check("mail", mail(reply(text)), &[], &left);
    }
    check("mail", mail(Step::Close), &[], &Waits("peer disconnected", ""));
    let silent = ["--response-timeout", "1"];
    check("mail", mail(Step::Silent), &silent, &Waits("smtp error: response timeout after 1s", ""));
}

#[test]
fn recipients_are_judged_by_their_replies() {
    let rcpt = |step| Script { rcpt: step, ..Script::well() };
    for (text, left) in [
        ("251 elsewhere", Nothing),
        ("450 later", Waits("one or more recipients rejected", "450")),
        ("550 never", Bad("one or more recipients rejected", "550")),
        ("421 closing", Waits("smtp error: unexpected response: 421 closing", "421")),
    ] {
        check("rcpt", rcpt(reply(text)), &[], &left);
    }
    check("rcpt", rcpt(reply("550 never")), &["--forward-to-some"], &Bad("all recipients rejected", "550"));
    check("rcpt", rcpt(reply("450 later")), &["--forward-to-some"], &Waits("all recipients rejected", "450"));
    check("rcpt", rcpt(Step::Close), &[], &Waits("peer disconnected", ""));
}

#[test]
fn data_and_the_final_dot_are_judged_by_their_replies() {
    let data = |step| Script { data: step, ..Script::well() };
    for (text, left) in [
        ("451 later", Waits("later", "451")),
        ("554 never", Bad("never", "554")),
        ("250 odd", Waits("smtp error: unexpected response: 250 odd", "250")),
        ("421 closing", Waits("smtp error: unexpected response: 421 closing", "421")),
    ] {
        check("data", data(reply(text)), &[], &left);
    }
    check("data", data(Step::Close), &[], &Waits("peer disconnected", ""));
    let dot = |step| Script { dot: step, ..Script::well() };
    for (text, left) in [
        ("200 fine", Nothing),
        ("452 full", Waits("full", "452")),
        ("552 too big", Bad("too big", "552")),
        ("421 closing", Waits("closing", "421")),
        ("354 odd", Waits("odd", "354")),
    ] {
        check("dot", dot(reply(text)), &[], &left);
    }
    check("dot", dot(Step::Close), &[], &Waits("peer disconnected", ""));
    check("dot", dot(Step::Close), &["--in-doubt", "fail"], &Bad("peer disconnected", ""));
    let silent = ["--response-timeout", "1", "--client-smtp-config", "shortdot"];
    check("dot", dot(Step::Silent), &silent, &Waits("smtp error: response timeout after 1s", ""));
}

#[test]
fn what_a_server_cannot_take_is_not_sent() {
    let ehlo = |text: &str| Script { ehlo: reply(text), ..Script::well() };
    let limited = ehlo("250-hop.test\r\n250 SIZE 10");
    check("size", limited.clone(), &[], &Bad("message size exceeds fixed maximum message size", "552"));
    check("size", limited, &["--client-smtp-config=-size"], &Nothing);
    let plain = ehlo("250 hop.test");
    check("8bit", plain.clone(), &[], &Nothing);
    let strict = ["--client-smtp-config", "eightbitstrict"];
    check("8bit", plain, &strict, &Bad("cannot send 8-bit message to 7-bit server", ""));
}
