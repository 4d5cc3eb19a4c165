//! Forwarding against next hops of every temper: what becomes of the message, file by file.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::support::client::SmtpClient;
use crate::support::daemon::{Daemon, Program, forward as run};
use crate::support::hop::{Script, ScriptedHop, Step, reply};
use crate::support::spool::TempSpool;
use crate::support::{PATIENCE, free_port, wait_for};

const CONTENT: &[u8] = b"Subject: test\r\n\r\n.leading dot\r\nbody\r\n";

/// Puts messages into the spool by way of the SMTP server.
pub(crate) fn fill(spool: &TempSpool, count: usize) {
    let server = Daemon::server(spool, &["--anonymous=content"]);
    let mut client = SmtpClient::connect(server.address());
    for number in 0..count {
        client.send("a@example.com", &[&format!("to{number}@example.com")], CONTENT);
    }
    drop(client);
    assert!(server.stop().success());
    assert_eq!(spool.ready().len(), count);
}

/// After a temporary failure: the message is whole and unlocked, and goes out when the hop is well.
fn survives(spool: &TempSpool, hop: &ScriptedHop, attempt_counts: bool) {
    let ready = spool.ready();
    assert_eq!(ready.len(), 1, "{:?}", spool.files());
    assert_eq!((spool.busy().len(), spool.bad().len()), (0, 0));
    let envelope = spool.envelope(&ready[0]);
    assert_eq!(envelope.all("NextAttempt").len(), usize::from(attempt_counts), "{:?}", spool.files());
    assert_eq!(spool.content(&ready[0]), CONTENT);
    hop.set(Script::well());
    wait_for("the message to be due and sent", Duration::from_secs(20), || {
        let (code, _) = run(spool, &hop.arg(), &["--retry-first", "1"]);
        (code == 0).then_some(())
    });
    assert_eq!(spool.files(), Vec::<String>::new());
    assert_eq!(hop.accepted().last().unwrap().content, CONTENT);
}

#[test]
fn messages_go_out_oldest_first_and_leave_nothing() {
    let (spool, hop) = (TempSpool::new(), ScriptedHop::start(Script::well()));
    fill(&spool, 12);
    let (code, _) = run(&spool, &hop.arg(), &["--forward-connections", "1"]);
    assert_eq!(code, 0);
    let order: Vec<String> = hop.accepted().iter().map(|delivery| delivery.rcpt[0].clone()).collect();
    let expected: Vec<String> = (0..12).map(|number| format!("<to{number}@example.com>")).collect();
    assert_eq!(order, expected);
    assert_eq!(spool.files(), Vec::<String>::new());
    assert_eq!(hop.connections(), 1);
    assert!(hop.accepted().iter().all(|delivery| delivery.content == CONTENT));
    assert!(hop.commands(0).last().is_some_and(|command| command == "QUIT"));
}

#[test]
fn several_connections_are_used_for_a_long_queue() {
    let (spool, hop) = (TempSpool::new(), ScriptedHop::start(Script::well()));
    fill(&spool, 60);
    assert_eq!(run(&spool, &hop.arg(), &[]).0, 0);
    assert_eq!(hop.accepted().len(), 60);
    assert!((2..=4).contains(&hop.connections()), "{}", hop.connections());
}

#[test]
fn temporary_refusals_of_the_message_are_tried_again_later() {
    let temporary = reply("450 4.2.0 greylisted");
    let scripts = [
        Script { mail: temporary.clone(), ..Script::well() },
        Script { rcpt: temporary.clone(), ..Script::well() },
        Script { data: temporary.clone(), ..Script::well() },
        Script { dot: reply("451 4.3.0 later"), ..Script::well() },
        Script { dot: Step::Close, ..Script::well() },
        Script { mail: Step::ReplyClose("421 4.3.2 closing".to_owned()), ..Script::well() },
        Script { rcpt: Step::ReplyClose("421 4.3.2 closing".to_owned()), ..Script::well() },
        Script { data: Step::ReplyClose("421 4.3.2 closing".to_owned()), ..Script::well() },
    ];
    for script in scripts {
        let (spool, hop) = (TempSpool::new(), ScriptedHop::start(script.clone()));
        fill(&spool, 1);
        assert_eq!(run(&spool, &hop.arg(), &["--retry-first", "1"]).0, 75, "{script:?}");
        survives(&spool, &hop, true);
    }
}

#[test]
fn faults_of_the_session_touch_no_message() {
    let scripts = [
        Script { greeting: Step::ReplyClose("554 5.3.2 go away".to_owned()), ..Script::well() },
        Script { greeting: Step::ReplyClose("421 4.3.2 busy".to_owned()), ..Script::well() },
        Script { greeting: Step::Close, ..Script::well() },
        Script { ehlo: Step::Close, ..Script::well() },
    ];
    for script in scripts {
        let (spool, hop) = (TempSpool::new(), ScriptedHop::start(script.clone()));
        fill(&spool, 1);
        let before = spool.files();
        let (code, lines) = run(&spool, &hop.arg(), &[]);
        assert_eq!(code, 75, "{script:?} {lines:#?}");
        assert_eq!(spool.files(), before);
        assert!(lines.iter().any(|line| line.contains("smtp client error: ")), "{lines:#?}");
        survives(&spool, &hop, false);
    }
}

#[test]
fn a_silent_hop_is_given_up() {
    let silent = [
        Script { ehlo: Step::Silent, ..Script::well() },
        Script { mail: Step::Silent, ..Script::well() },
        Script { dot: Step::Silent, ..Script::well() },
    ];
    for (script, (tried, in_doubt)) in silent.into_iter().zip([(false, false), (true, false), (true, true)]) {
        let (spool, hop) = (TempSpool::new(), ScriptedHop::start(script.clone()));
        fill(&spool, 1);
        let limits = ["--response-timeout", "1", "--client-smtp-config", "shortdot", "--retry-first", "1"];
        assert_eq!(run(&spool, &hop.arg(), &limits).0, 75, "{script:?}");
        let envelope = spool.envelope(&spool.ready()[0]);
        assert_eq!(envelope.all("InDoubt").len(), usize::from(in_doubt));
        survives(&spool, &hop, tried);
    }
}

#[test]
fn a_hop_that_is_down_leaves_everything_as_it_is() {
    let (spool, port) = (TempSpool::new(), free_port());
    fill(&spool, 3);
    let before = spool.files();
    let address = format!("127.0.0.1:{port}");
    let (code, lines) = run(&spool, &address, &[]);
    assert_eq!(code, 75);
    assert!(
        lines.iter().any(|line| line.contains(&format!("connect failure: cannot connect to {address}"))),
        "{lines:#?}"
    );
    assert_eq!(spool.files(), before);
    let hop = ScriptedHop::start_on(address.parse().unwrap(), Script::well());
    assert_eq!(run(&spool, &address, &[]).0, 0);
    assert_eq!(hop.accepted().len(), 3);
}

#[test]
fn permanent_refusals_make_bad_files_with_reason_and_code() {
    let refusals = [
        (Script { mail: reply("550 no mail"), ..Script::well() }, "550"),
        (Script { rcpt: reply("553 no such mailbox"), ..Script::well() }, "553"),
        (Script { data: reply("554 no data"), ..Script::well() }, "554"),
        (Script { dot: reply("552 too big"), ..Script::well() }, "552"),
    ];
    for (script, expected) in refusals {
        let (spool, hop) = (TempSpool::new(), ScriptedHop::start(script.clone()));
        fill(&spool, 2);
        let (code, lines) = run(&spool, &hop.arg(), &[]);
        assert_eq!(code, 0, "nothing is left to do: {lines:#?}");
        let bad = spool.bad();
        assert_eq!(bad.len(), 2, "{:?}", spool.files());
        let envelope = spool.envelope(&bad[0]);
        assert_eq!(envelope.first("ReasonCode"), expected);
        assert_ne!(envelope.first("Reason"), "");
        assert_eq!(spool.content(&bad[0]), CONTENT);
        assert!(lines.iter().any(|line| line.contains("failing envelope [")), "{lines:#?}");
    }
}

/// A message for three recipients of whom the hop refuses one.
fn partly_refused(option: &str, refusal: &str) -> (TempSpool, ScriptedHop) {
    let spool = TempSpool::new();
    let script = Script { rcpt_for: vec![("bad@".to_owned(), reply(refusal))], ..Script::well() };
    let hop = ScriptedHop::start(script);
    let server = Daemon::server(&spool, &[]);
    let to = ["one@example.com", "bad@example.com", "two@example.com"];
    SmtpClient::connect(server.address()).send("a@example.com", &to, CONTENT);
    assert!(server.stop().success());
    run(&spool, &hop.arg(), &[option]);
    (spool, hop)
}

#[test]
fn forward_to_all_loses_no_recipient() {
    let (spool, hop) = partly_refused("--forward-to-all", "550 no such user");
    assert_eq!(hop.accepted().len(), 0);
    let bad = spool.bad();
    let envelope = spool.envelope(&bad[0]);
    assert_eq!(envelope.all("To-Remote"), ["one@example.com", "bad@example.com", "two@example.com"]);
    assert_eq!(envelope.first("ReasonCode"), "550");
}

#[test]
fn forward_to_some_keeps_only_the_unserved() {
    let (spool, hop) = partly_refused("--forward-to-some", "550 no such user");
    assert_eq!(hop.accepted()[0].rcpt, ["<one@example.com>", "<two@example.com>"]);
    let bad = spool.bad();
    let envelope = spool.envelope(&bad[0]);
    assert_eq!((envelope.all("To-Remote"), envelope.first("ToCount")), (vec!["bad@example.com"], "1"));
    assert_eq!(envelope.first("ReasonCode"), "550");
}

#[test]
fn forward_to_some_waits_for_the_greylisted() {
    let (spool, hop) = partly_refused("--forward-to-some", "450 greylisted");
    assert_eq!(hop.accepted()[0].rcpt, ["<one@example.com>", "<two@example.com>"]);
    let ready = spool.ready();
    assert_eq!(spool.envelope(&ready[0]).all("To-Remote"), ["bad@example.com"]);
}

#[test]
fn one_bad_message_does_not_stop_the_others() {
    let spool = TempSpool::new();
    fill(&spool, 3);
    let ready = spool.ready();
    std::fs::write(spool.path().join(&ready[0]), "garbage").unwrap();
    std::fs::remove_file(spool.path().join(ready[1].replace(".envelope", ".content"))).unwrap();
    let hop = ScriptedHop::start(Script::well());
    run(&spool, &hop.arg(), &[]);
    assert_eq!(hop.accepted().len(), 1);
    let bad = spool.bad();
    assert_eq!(spool.envelope(&bad[0]).first("Reason"), "cannot open content file");
    assert_eq!(spool.ready(), [ready[0].clone()]);
}

#[test]
fn as_client_sends_and_ends_like_2_6() {
    let (spool, hop) = (TempSpool::new(), ScriptedHop::start(Script::well()));
    let as_client = |address: &str| {
        let mut client = Daemon::spawn(
            Program::Emailrelay,
            &["--as-client", address, "--spool-dir", spool.arg(), "--user", "root"],
        );
        let code = client.wait().code();
        (code, client.lines().join("\n"))
    };
    let (code, text) = as_client(&hop.arg());
    assert_eq!((code, text.as_str()), (Some(0), "emailrelay: no messages to send"));
    fill(&spool, 2);
    let (code, text) = as_client(&format!("127.0.0.1:{}", free_port()));
    assert_eq!(code, Some(1));
    assert!(text.contains("emailrelay: error: connect failure: cannot connect to 127.0.0.1:"), "{text}");
    assert_eq!(as_client(&hop.arg()).0, Some(0));
    assert_eq!(hop.accepted().len(), 2);
    assert_eq!(as_client("localhost").0, Some(1));
}

#[test]
fn polling_and_disconnecting_forward() {
    for trigger in [&["--poll", "1"][..], &["--forward-on-disconnect"]] {
        let (spool, hop) = (TempSpool::new(), ScriptedHop::start(Script::well()));
        let address = hop.arg();
        let mut args = vec!["--forward-to", address.as_str()];
        args.extend(trigger);
        let server = Daemon::server(&spool, &args);
        SmtpClient::connect(server.address()).send("a@example.com", &["b@example.com"], CONTENT);
        assert_eq!(hop.wait_accepted(1).len(), 1);
        assert!(server.stop().success());
        assert_eq!(spool.files(), Vec::<String>::new());
    }
}

#[test]
fn connections_are_kept_between_runs_if_that_is_wanted() {
    for (more, connections) in [(&[][..], 2), (&["--forward-idle", "600"], 1)] {
        let (spool, hop) = (TempSpool::new(), ScriptedHop::start(Script::well()));
        let address = hop.arg();
        let server =
            Daemon::server(&spool, &[&["--forward-to", &address, "--forward-on-disconnect"], more].concat());
        for count in 1..=2 {
            SmtpClient::connect(server.address()).send("a@example.com", &["b@example.com"], CONTENT);
            hop.wait_accepted(count);
            if more.is_empty() {
                wait_for("the connection to be closed", PATIENCE, || (hop.open() == 0).then_some(()));
            }
        }
        assert_eq!(hop.connections(), connections, "{more:?}");
        assert!(server.stop().success());
        assert_eq!((hop.open(), spool.files().len()), (0, 0), "{more:?}");
    }
}

#[test]
fn a_kept_connection_is_not_used_for_what_would_be_sent_another_way_now() {
    let (spool, hop) = (TempSpool::new(), ScriptedHop::start(Script::well()));
    let address = hop.arg();
    let server = Daemon::server(
        &spool,
        &["--forward-to", &address, "--forward-on-disconnect", "--forward-idle", "600", "--verbose"],
    );
    SmtpClient::connect(server.address()).send("a@example.com", &["b@example.com"], CONTENT);
    hop.wait_accepted(1);
    server.signal(Signal::SIGHUP);
    server.line("configuration reloaded");
    SmtpClient::connect(server.address()).send("a@example.com", &["b@example.com"], CONTENT);
    hop.wait_accepted(2);
    assert_eq!(hop.connections(), 2);
    assert!(server.stop().success());
}

#[test]
fn as_proxy_forwards_when_the_client_has_gone() {
    let (spool, hop) = (TempSpool::new(), ScriptedHop::start(Script::well()));
    let server = Daemon::server(&spool, &["--as-proxy", &hop.arg()]);
    let mut client = SmtpClient::connect(server.address());
    client.send("a@example.com", &["b@example.com"], CONTENT);
    assert_eq!(hop.connections(), 0, "forwarded before the client has gone");
    client.command("QUIT");
    drop(client);
    assert_eq!(hop.wait_accepted(1).len(), 1);
    assert!(server.stop().success());
    assert_eq!(spool.files(), Vec::<String>::new());
}

#[test]
fn stopping_in_the_middle_of_a_transfer_unlocks_the_message() {
    let (spool, hop) =
        (TempSpool::new(), ScriptedHop::start(Script { data: Step::Silent, ..Script::well() }));
    fill(&spool, 1);
    let before = spool.files();
    let args = ["--spool-dir", spool.arg(), "--forward-to", &hop.arg(), "--stop-timeout", "1"];
    let mut forward = Daemon::spawn(Program::Forward, &args);
    hop.wait_command("DATA");
    forward.signal(Signal::SIGTERM);
    forward.wait();
    assert_eq!(spool.files(), before, "{:#?}", forward.lines());
}

/// Changes the text of a ready message's envelope.
fn edit(spool: &TempSpool, name: &str, from: &str, to: &str) {
    let path = spool.path().join(name);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{text}");
    std::fs::write(path, text.replace(from, to)).unwrap();
}

const NO_ADDRESS: &str = "X-MailRelay-ForwardToAddress: \r\n";

#[test]
fn the_address_in_the_envelope_is_where_a_message_goes_and_rubbish_is_set_aside() {
    let (spool, hop) = (TempSpool::new(), ScriptedHop::start(Script::well()));
    let other = ScriptedHop::start(Script::well());
    fill(&spool, 3);
    let ready = spool.ready();
    let named = |address: &str| format!("X-MailRelay-ForwardToAddress: {address}\r\n");
    edit(&spool, &ready[0], NO_ADDRESS, &named("rubbish"));
    edit(&spool, &ready[1], NO_ADDRESS, &named(&other.arg()));
    assert_eq!(run(&spool, &hop.arg(), &[]).0, 0);
    assert_eq!(spool.envelope(&spool.bad()[0]).first("Reason"), "invalid host:service format: rubbish");
    let to = |hop: &ScriptedHop| hop.accepted().iter().map(|one| one.rcpt[0].clone()).collect::<Vec<_>>();
    assert_eq!(to(&other), ["<to1@example.com>"]);
    assert_eq!(to(&hop), ["<to2@example.com>"]);
}

#[test]
fn a_message_that_breaks_the_connection_does_not_hold_up_the_others() {
    let script = Script { rcpt_for: vec![("to0@".to_owned(), Step::Close)], ..Script::well() };
    let (spool, hop) = (TempSpool::new(), ScriptedHop::start(script));
    fill(&spool, 3);
    let oldest = spool.ready()[0].clone();
    let (code, lines) = run(&spool, &hop.arg(), &["--forward-connections", "1"]);
    assert_eq!(code, 75, "{lines:#?}");
    assert_eq!(hop.accepted().len(), 2, "{lines:#?}");
    assert_eq!(spool.ready(), std::slice::from_ref(&oldest));
    assert_eq!(spool.envelope(&oldest).all("NextAttempt").len(), 1);
}

#[test]
fn a_hop_that_stays_down_is_reported_once_and_then_counted() {
    let refusing = Script { greeting: Step::ReplyClose("554 no".to_owned()), ..Script::well() };
    let (spool, hop) = (TempSpool::new(), ScriptedHop::start(refusing));
    let server = Daemon::server(&spool, &["--forward-to", &hop.arg(), "--poll", "1"]);
    SmtpClient::connect(server.address()).send("a@example.com", &["b@example.com"], CONTENT);
    wait_for("three polls", Duration::from_secs(20), || (hop.connections() >= 3).then_some(()));
    hop.set(Script::well());
    hop.wait_accepted(1);
    let again = server.line("smtp client error: smtp error: unexpected response: 554 no (again: ");
    let lines = server.lines();
    let count = |text: &str| lines.iter().filter(|line| line.contains(text)).count();
    assert!(again.ends_with(&format!("{})", hop.connections() - 2)), "{lines:#?}");
    assert_eq!(count("smtp client error: "), 2, "{lines:#?}");
    assert_eq!(count("error: forwarding: smtp error: unexpected response: 554 no"), 1, "{lines:#?}");
    assert_eq!(count("forwarding: ["), 0, "a short period is not worth a line: {lines:#?}");
}

#[test]
fn a_lingering_forwarder_does_not_knock_at_a_dead_hop_for_every_message() {
    let refusing = Script { greeting: Step::ReplyClose("554 no".to_owned()), ..Script::well() };
    let (spool, hop) = (TempSpool::new(), ScriptedHop::start(refusing));
    fill(&spool, 1);
    let args = ["--spool-dir", spool.arg(), "--forward-to", &hop.arg(), "--linger", "600", "--verbose"];
    let forward = Daemon::spawn(Program::Forward, &args);
    forward.line("smtp client error: ");
    for _ in 0..3 {
        fill_more(&spool);
        std::fs::write(spool.path().join("forward.request"), "").unwrap();
        let taken = || (!spool.path().join("forward.request").exists()).then_some(());
        wait_for("the request to be taken", Duration::from_secs(10), taken);
    }
    forward.signal(Signal::SIGTERM);
    let mut forward = forward;
    assert_eq!(forward.wait().code(), Some(75));
    assert_eq!(hop.connections(), 1);
    assert_eq!(spool.ready().len(), 4);
}

/// One more message, by way of the SMTP server.
fn fill_more(spool: &TempSpool) {
    let server = Daemon::server(spool, &[]);
    SmtpClient::connect(server.address()).send("a@example.com", &["b@example.com"], CONTENT);
    assert!(server.stop().success());
}

#[test]
fn a_damaged_envelope_is_reported_once_until_it_changes() {
    let (spool, hop) = (TempSpool::new(), ScriptedHop::start(Script::well()));
    let damaged = spool.path().join("x.envelope");
    std::fs::write(&damaged, "garbage").unwrap();
    let server = Daemon::server(&spool, &["--forward-to", &hop.arg(), "--forward-on-disconnect"]);
    let mut sent = 0;
    let mut send = || {
        SmtpClient::connect(server.address()).send("a@example.com", &["b@example.com"], CONTENT);
        sent += 1;
        hop.wait_accepted(sent);
    };
    let count = || server.lines().iter().filter(|line| line.contains("ignoring \"")).count();
    send();
    send();
    assert_eq!(count(), 1, "{:#?}", server.lines());
    std::fs::write(&damaged, "other garbage").unwrap();
    send();
    wait_for("the second report", Duration::from_secs(10), || (count() == 2).then_some(()));
}

#[test]
fn compat_takes_messages_in_the_order_of_their_names() {
    let (spool, hop) = (TempSpool::new(), ScriptedHop::start(Script::well()));
    fill(&spool, 2);
    for (name, since, seq) in [("first", "2000000000", "2"), ("second", "1000000000", "10")] {
        let ready = spool.ready().into_iter().find(|name| !name.contains(".77.")).unwrap();
        let id = format!("emailrelay.77.{since}.{seq}");
        edit(&spool, &ready, "example.com", &format!("{name}.example.com"));
        let content = ready.replace(".envelope", ".content");
        std::fs::rename(spool.path().join(content), spool.path().join(format!("{id}.content"))).unwrap();
        std::fs::rename(spool.path().join(ready), spool.path().join(format!("{id}.envelope"))).unwrap();
    }
    run(&spool, &hop.arg(), &["--compat", "2.6", "--forward-connections", "1"]);
    let order: Vec<String> = hop.accepted().iter().map(|one| one.rcpt[0].clone()).collect();
    assert!(order[0].contains("second.") && order[1].contains("first."), "{order:?}");
}

/// Makes a waiting message one of this content and declared kind.
fn rewrite(spool: &TempSpool, envelope: &str, body: &str, content: &[u8]) {
    let path = spool.path().join(envelope);
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, after) = text.split_once("X-MailRelay-Content: ").unwrap();
    let (_, after) = after.split_once("\r\n").unwrap();
    std::fs::write(&path, format!("{before}X-MailRelay-Content: {body}\r\n{after}")).unwrap();
    std::fs::write(path.with_extension("content"), content).unwrap();
}

#[test]
fn binary_content_goes_by_bdat_byte_for_byte() {
    let binary: Vec<u8> = (0..2_300_000u32).map(|n| (n.wrapping_mul(n) >> 7) as u8).collect();
    let text = b"Subject: t\r\n\r\n.dot\r\n".repeat(60_000);
    let offer = |keywords: &str| reply(&format!("250-hop.test\r\n250-{keywords}\r\n250 BINARYMIME"));
    let chunks_of_binary = [
        ("binarymime", &binary, "", &["BDAT 1000000", "BDAT 1000000", "BDAT 300000 LAST"][..]),
        ("binarymime", &binary, "chunking", &["BDAT 1000000", "BDAT 1000000", "BDAT 300000", "BDAT 0 LAST"]),
        ("8bit", &text, "chunking", &["BDAT 1000000", "BDAT 200000", "BDAT 0 LAST"]),
    ];
    for pipelining in ["CHUNKING", "PIPELINING\r\n250-CHUNKING"] {
        for (body, content, keyword, chunks) in chunks_of_binary {
            let hop = ScriptedHop::start(Script { ehlo: offer(pipelining), ..Script::well() });
            let spool = TempSpool::new();
            fill(&spool, 2);
            for envelope in spool.ready() {
                rewrite(&spool, &envelope, body, content);
            }
            let (code, lines) =
                run(&spool, &hop.arg(), &["--client-smtp-config", keyword, "--forward-connections", "1"]);
            assert_eq!((code, spool.files()), (0, vec![]), "{lines:#?}");
            let accepted = hop.accepted();
            assert_eq!(accepted.len(), 2);
            assert!(accepted.iter().all(|delivery| delivery.wire == *content));
            assert_eq!(accepted[0].mail.contains("BODY=BINARYMIME"), body == "binarymime");
            let commands = hop.commands(0);
            let sent: Vec<_> = commands.iter().filter(|line| line.starts_with("BDAT")).collect();
            assert_eq!(sent, [chunks, chunks].concat());
        }
    }
}

#[test]
fn a_refused_chunk_fails_only_its_own_message() {
    let ehlo = reply("250-hop.test\r\n250-PIPELINING\r\n250 CHUNKING");
    let refusing = Script { ehlo, chunk: reply("552 too big"), ..Script::well() };
    let (spool, hop) = (TempSpool::new(), ScriptedHop::start(refusing));
    fill(&spool, 2);
    // An empty message has no chunk but the last.
    rewrite(&spool, &spool.ready()[1], "7bit", b"");
    let args = ["--client-smtp-config", "chunking", "--forward-connections", "1"];
    assert_eq!(run(&spool, &hop.arg(), &args).0, 0);
    let bad = spool.bad();
    assert_eq!((bad.len(), spool.ready().len()), (1, 0), "{:?}", spool.files());
    assert_eq!(spool.envelope(&bad[0]).first("ReasonCode"), "552");
    assert_eq!(spool.content(&bad[0]), CONTENT);
    assert_eq!((hop.accepted().len(), hop.connections()), (1, 1));
    assert_eq!(hop.accepted()[0].wire, b"");
}
