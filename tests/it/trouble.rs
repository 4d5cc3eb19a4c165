//! A real postfix in trouble as next hop: what becomes of each file, and that the mail goes out afterwards.

use std::time::Duration;

use crate::support::client::SmtpClient;
use crate::support::daemon::{Daemon, forward};
use crate::support::need::{self, require};
use crate::support::postfix::RealPostfix;
use crate::support::spool::TempSpool;
use crate::support::wait_for;

const CONTENT: &[u8] = b"Subject: trouble\r\n\r\n.leading dot\r\nbody\r\n";

/// A spool with messages from `n@example.com`.
fn filled(count: usize) -> TempSpool {
    let spool = TempSpool::new();
    let server = Daemon::server(&spool, &["--anonymous=content"]);
    let mut client = SmtpClient::connect(server.address());
    for number in 0..count {
        client.send(&format!("{number}@example.com"), &["b@example.com", "c@example.net"], CONTENT);
    }
    drop(client);
    assert!(server.stop().success());
    spool
}

/// The messages are where they were, and postfix, well again, gets them.
fn goes_out(spool: &TempSpool, postfix: &RealPostfix, count: usize) {
    assert_eq!((spool.ready().len(), spool.busy().len(), spool.bad().len()), (count, 0, 0));
    postfix.restart_with("");
    wait_for("the messages to be due and sent", Duration::from_secs(20), || {
        let (code, _) = forward(spool, &postfix.arg(), &["--retry-first", "1"]);
        (code == 0).then_some(())
    });
    assert_eq!(spool.files(), Vec::<String>::new());
    let kept = postfix.wait_messages(count);
    assert_eq!(kept.len(), count, "each arrived once");
    for message in kept {
        assert_eq!(message.recipients, ["b@example.com", "c@example.net"]);
        assert_eq!(message.content, CONTENT);
    }
}

#[test]
fn a_stopped_postfix_costs_nothing() {
    require!(need::root(), need::program("postfix"));
    let (spool, postfix) = (filled(3), RealPostfix::start());
    postfix.stop();
    let before = spool.files();
    let (code, lines) = forward(&spool, &postfix.arg(), &[]);
    assert_eq!((code, spool.files()), (75, before), "{lines:#?}");
    assert!(lines.iter().any(|line| line.contains("connect failure: cannot connect to ")), "{lines:#?}");
    assert!(!lines.iter().any(|line| line.contains("no messages to send")), "{lines:#?}");
    goes_out(&spool, &postfix, 3);
}

#[test]
fn a_greeting_that_refuses_us_touches_no_message() {
    require!(need::root(), need::program("postfix"));
    let postfix = RealPostfix::start_with("smtpd_delay_reject = no\nsmtpd_client_restrictions = reject\n");
    let spool = filled(2);
    let before = spool.files();
    let (code, lines) = forward(&spool, &postfix.arg(), &[]);
    assert_eq!((code, spool.files()), (75, before), "{lines:#?}");
    assert!(lines.iter().any(|line| line.contains("554 5.7.1 ")), "{lines:#?}");
    goes_out(&spool, &postfix, 2);
}

#[test]
fn a_final_refusal_of_the_recipients_makes_bad_files() {
    require!(need::root(), need::program("postfix"));
    let postfix = RealPostfix::start_with("smtpd_client_restrictions = reject\n");
    let spool = filled(2);
    let (code, lines) = forward(&spool, &postfix.arg(), &[]);
    assert_eq!(code, 0, "nothing is left to do: {lines:#?}");
    assert_eq!((spool.ready().len(), spool.busy().len(), spool.bad().len()), (0, 0, 2));
    for bad in spool.bad() {
        let envelope = spool.envelope(&bad);
        assert_eq!(envelope.first("ReasonCode"), "554");
        assert_eq!(envelope.first("Reason"), "one or more recipients rejected");
        assert_eq!(envelope.all("To-Remote"), ["b@example.com", "c@example.net"]);
        assert_eq!(spool.content(&bad), CONTENT);
    }
}

#[test]
fn a_refusal_for_now_waits_for_better_times() {
    require!(need::root(), need::program("postfix"));
    let moods = [
        ("smtpd_recipient_restrictions = defer_if_reject, reject\n", "4"),
        ("soft_bounce = yes\nsmtpd_client_restrictions = reject\n", "454"),
        ("smtpd_recipient_restrictions = defer\n", "450"),
        ("smtpd_data_restrictions = defer\n", "450"),
        ("smtpd_end_of_data_restrictions = defer\n", "450"),
    ];
    let postfix = RealPostfix::start();
    let mut sent = 0;
    for (mood, expected) in moods {
        postfix.restart_with(mood);
        let spool = filled(1);
        let (code, lines) = forward(&spool, &postfix.arg(), &["--retry-first", "1"]);
        assert_eq!(code, 75, "{mood}: {lines:#?}");
        let ready = spool.ready();
        let envelope = spool.envelope(&ready[0]);
        assert!(envelope.first("ReasonCode").starts_with(expected), "{mood}: {lines:#?}");
        assert_eq!(envelope.all("NextAttempt").len(), 1, "{mood}");
        assert_eq!(envelope.all("To-Remote"), ["b@example.com", "c@example.net"]);
        assert_eq!(postfix.messages().len(), sent);
        postfix.restart_with("");
        wait_for("the message to be due and sent", Duration::from_secs(20), || {
            (forward(&spool, &postfix.arg(), &["--retry-first", "1"]).0 == 0).then_some(())
        });
        assert_eq!(spool.files(), Vec::<String>::new());
        sent += 1;
        assert_eq!(postfix.wait_messages(sent).len(), sent);
    }
}

#[test]
fn one_refused_recipient_of_two() {
    require!(need::root(), need::program("postfix"));
    let refuse = |reply: &str| {
        format!(
            "smtpd_recipient_restrictions = check_recipient_access inline:{{ {{ c@example.net = {reply} }} }}\n"
        )
    };
    let postfix = RealPostfix::start_with(&refuse("550 5.1.1 no such user"));
    let spool = filled(1);
    assert_eq!(forward(&spool, &postfix.arg(), &["--forward-to-some"]).0, 0);
    let bad = spool.bad();
    let envelope = spool.envelope(&bad[0]);
    assert_eq!((envelope.all("To-Remote"), envelope.first("ReasonCode")), (vec!["c@example.net"], "550"));
    assert_eq!(postfix.wait_messages(1)[0].recipients, ["b@example.com"]);

    postfix.restart_with(&refuse("450 4.2.0 greylisted"));
    let spool = filled(1);
    let patient = ["--forward-to-some", "--retry-first", "1"];
    assert_eq!(forward(&spool, &postfix.arg(), &patient).0, 75);
    assert_eq!(spool.envelope(&spool.ready()[0]).all("To-Remote"), ["c@example.net"]);
    postfix.wait_messages(2);
    postfix.restart_with("");
    wait_for("the second recipient", Duration::from_secs(20), || {
        (forward(&spool, &postfix.arg(), &patient).0 == 0).then_some(())
    });
    let recipients: Vec<_> = postfix.wait_messages(3).into_iter().map(|kept| kept.recipients).collect();
    assert_eq!(recipients, [["b@example.com"], ["b@example.com"], ["c@example.net"]]);
}

#[test]
fn what_is_too_big_for_postfix_is_not_even_offered() {
    require!(need::root(), need::program("postfix"));
    let postfix = RealPostfix::start_with("message_size_limit = 2000\n");
    let spool = TempSpool::new();
    let server = Daemon::server(&spool, &["--anonymous=content"]);
    let mut client = SmtpClient::connect(server.address());
    client.send("big@example.com", &["b@example.com"], &b"0123456789\r\n".repeat(500));
    client.send("small@example.com", &["b@example.com"], CONTENT);
    assert!(server.stop().success());
    let (code, lines) = forward(&spool, &postfix.arg(), &[]);
    assert_eq!(code, 0, "{lines:#?}");
    let bad = spool.bad();
    assert_eq!((bad.len(), spool.ready().len()), (1, 0));
    let envelope = spool.envelope(&bad[0]);
    assert_eq!((envelope.first("From"), envelope.first("ReasonCode")), ("big@example.com", "552"));
    assert!(!lines.iter().any(|line| line.contains("MAIL FROM:<big@")), "{lines:#?}");
    assert_eq!(postfix.wait_messages(1)[0].sender, "small@example.com");
    assert_eq!(forward(&spool, &postfix.arg(), &[]).0, 0);
    assert_eq!(spool.bad().len(), 1, "nothing takes it up again");
}

#[test]
fn eight_bit_bodies_and_addresses_in_utf8() {
    require!(need::root(), need::program("postfix"));
    let postfix = RealPostfix::start_with("smtputf8_enable = yes\n");
    let fill = || {
        let spool = TempSpool::new();
        let server = Daemon::server(&spool, &["--anonymous=content", "--server-smtp-config", "smtputf8"]);
        let mut client = SmtpClient::connect(server.address());
        let mail = "MAIL FROM:<jürgen@example.com> SIZE=30 BODY=8BITMIME SMTPUTF8";
        for command in [mail, "RCPT TO:<grüße@bücher.example>", "RCPT TO:<b@example.com>", "DATA"] {
            assert!(client.command(command).code < 400, "{command}");
        }
        client.write("Subject: grüße\r\n\r\nÄÖÜ\r\n.\r\n".as_bytes()).unwrap();
        assert_eq!(client.reply().unwrap().code, 250);
        assert!(server.stop().success());
        spool
    };
    let spool = fill();
    let envelope = spool.envelope(&spool.ready()[0]);
    assert_eq!((envelope.first("Content"), envelope.first("Utf8MailboxNames")), ("8bit", "1"));
    assert_eq!(envelope.all("To-Remote"), ["grüße@xn--bcher-kva.example", "b@example.com"]);
    let (code, lines) = forward(&spool, &postfix.arg(), &[]);
    assert_eq!((code, spool.files()), (0, vec![]), "{lines:#?}");
    let mail = "MAIL FROM:<jürgen@example.com> BODY=8BITMIME SMTPUTF8 SIZE=";
    assert!(lines.iter().any(|line| line.contains(mail)), "{lines:#?}");
    let kept = &postfix.wait_messages(1)[0];
    assert_eq!(kept.sender, "jürgen@example.com");
    assert_eq!(kept.recipients, ["b@example.com", "grüße@xn--bcher-kva.example"]);
    assert_eq!(kept.content, "Subject: grüße\r\n\r\nÄÖÜ\r\n".as_bytes());

    postfix.restart_with("smtputf8_enable = no\n");
    let spool = fill();
    let (code, lines) = forward(&spool, &postfix.arg(), &[]);
    assert_eq!(code, 0, "{lines:#?}");
    let bad = spool.bad();
    let reason = "cannot send utf8 message to non-smtputf8 server";
    assert_eq!(spool.envelope(&bad[0]).first("Reason"), reason, "{lines:#?}");
}

#[test]
fn connections_are_reused_and_commands_pipelined() {
    require!(need::root(), need::program("postfix"));
    // At this level postfix logs every write of replies, and with it how many replies went out in one.
    let verbose = "debug_peer_list = 127.0.0.1\ndebug_peer_level = 3\n";
    let postfix = RealPostfix::start_with(verbose);
    let (count, spool) = (12, filled(12));
    assert_eq!(forward(&spool, &postfix.arg(), &["--forward-connections", "1"]).0, 0);
    postfix.wait_messages(count);
    let log = postfix.log();
    let summary = format!("ehlo=1 mail={count} rcpt={} data={count} quit=1", 2 * count);
    assert!(log.contains(&summary), "{log}");
    let replies = replies_per_write(&log);
    let groups = replies.iter().filter(|replies| **replies == 3).count();
    assert_eq!(groups, count, "MAIL and two RCPT are answered in one write: {replies:?}");
}

/// For each write of postfix's smtpd to its client: how many replies were in it.
fn replies_per_write(log: &str) -> Vec<usize> {
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("/smtpd[")).collect();
    let greeting = lines.iter().position(|line| line.contains(": > ") && line.contains(": 220 ")).unwrap();
    // It writes to other processes of postfix too; the greeting shows which descriptor is the client's.
    let written =
        |line: &str| Some(line.split_once("vstream_fflush_some: ")?.1.split_once(" flush")?.0.to_owned());
    let client = lines[greeting..].iter().find_map(|line| written(line)).unwrap();
    let (mut writes, mut replies) = (Vec::new(), 0);
    for line in &lines[greeting..] {
        replies += usize::from(line.contains("]: > ") && !line.contains(": 250-"));
        if written(line).is_some_and(|descriptor| descriptor == client) {
            writes.push(std::mem::take(&mut replies));
        }
    }
    writes
}
