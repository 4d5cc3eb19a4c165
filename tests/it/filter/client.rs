//! Filters at the client and routing positions, by the one-shot forwarder.

use std::fs;

use super::CONTENT;
use crate::support::client::SmtpClient;
use crate::support::daemon::{Daemon, forward};
use crate::support::hop::{Script, ScriptedHop};
use crate::support::script::Scripts;
use crate::support::spool::{TempSpool, list};
use crate::support::{PATIENCE, free_port, wait_for};

fn fill(spool: &TempSpool, count: usize) {
    let server = Daemon::server(spool, &["--anonymous=content"]);
    let mut client = SmtpClient::connect(server.address());
    for number in 0..count {
        client.send("a@example.com", &[&format!("to{number}@example.com")], CONTENT);
    }
    drop(client);
    assert!(server.stop().success());
}

/// Writes a message as a filter or a person would, with this `ForwardTo`.
fn inject(spool: &TempSpool, name: &str, forward_to: &str) {
    fs::write(spool.path().join(format!("{name}.content")), CONTENT).unwrap();
    let envelope = format!(
        "X-MailRelay-Format: #2821.8\r\nX-MailRelay-Content: 8bit\r\nX-MailRelay-From: a@example.com\r\n\
         X-MailRelay-ToCount: 1\r\nX-MailRelay-To-Remote: b@example.com\r\nX-MailRelay-Authentication: \r\n\
         X-MailRelay-Client: 127.0.0.1\r\nX-MailRelay-ClientCertificate:\r\nX-MailRelay-MailFromAuthIn: \r\n\
         X-MailRelay-MailFromAuthOut: \r\nX-MailRelay-ForwardTo: {forward_to}\r\nX-MailRelay-ForwardToAddress: \r\n\
         X-MailRelay-ClientAccountSelector: \r\nX-MailRelay-Utf8MailboxNames: 0\r\nX-MailRelay-End: 1\r\n"
    );
    fs::write(spool.path().join(format!("{name}.envelope")), envelope).unwrap();
}

/// A server-side run over messages with every exit code: what became of the message, and the lines of the log.
#[test]
fn every_exit_code_of_a_program_has_its_fate() {
    let (spool, scripts) = (TempSpool::new(), Scripts::new());
    let hop = ScriptedHop::start(Script::well());
    // The code is in the name of the file.
    let filter = scripts.shell(
        "filter",
        "echo '<<554 5.7.1 not wanted>>'; echo '<<the reason>>'; n=${1##*/c}; exit ${n%.content}",
    );
    for position in ["", "example.com"] {
        // Those that end the run are run alone.
        let ending = [102, 104, 105];
        let all: Vec<u32> = (0..=255).filter(|code| !ending.contains(code)).collect();
        let groups = std::iter::once(all).chain(ending.iter().map(|code| vec![*code]));
        for codes in groups {
            for code in &codes {
                inject(&spool, &format!("c{code}"), position);
            }
            let before = hop.accepted().len();
            let (exit, log) = forward(&spool, &hop.arg(), &["--client-filter", &filter]);
            let sent = hop.accepted().len() - before;
            assert_eq!(sent, codes.iter().filter(|code| matches!(code, 0 | 101..=103)).count(), "{codes:?}");
            let word = if position.is_empty() { "client-filter" } else { "routing-filter" };
            let mut abandoned = 0;
            for code in &codes {
                let name = format!("c{code}.envelope");
                match code {
                    0 | 101..=103 => {
                        assert!(!spool.files().iter().any(|file| file.starts_with(&format!("c{code}."))));
                    }
                    100 | 104 => {
                        assert_eq!(spool.ready(), [name], "{code}");
                        abandoned += 1;
                    }
                    _ => {
                        let bad = spool.envelope(&format!("{name}.bad"));
                        let (reason, number) = if position.is_empty() {
                            ("the reason", "554")
                        } else {
                            ("routing filter failed", "")
                        };
                        assert_eq!(
                            (bad.first("Reason"), bad.first("ReasonCode")),
                            (reason, number),
                            "{code}"
                        );
                        assert!(log.iter().any(|line| {
                            line.contains(&format!(
                                "{word} [filter] failed: exit code {code}: [5.7.1 not wanted](554)"
                            ))
                        }));
                    }
                }
            }
            assert_eq!(exit, if abandoned > 0 { 75 } else { 0 }, "{codes:?}");
            let breaks = log.iter().filter(|line| line.contains(" +break response=")).count();
            assert_eq!(breaks, usize::from(codes.len() == 1), "{codes:?}");
            for file in spool.files() {
                fs::remove_file(spool.path().join(file)).unwrap();
            }
        }
    }
}

#[test]
fn edits_count_routing_too() {
    let (spool, scripts) = (TempSpool::new(), Scripts::new());
    let (usual, other) = (ScriptedHop::start(Script::well()), ScriptedHop::start(Script::well()));
    fill(&spool, 1);
    let body = format!(
        "sed -i -e 's/^\\(X-MailRelay-ForwardToAddress:\\).*/\\1 {}\\r/' -e 's/to0@/edited@/' \"$2\"; printf 'more\\r\\n' >>\"$1\"",
        other.arg()
    );
    let (code, _) = forward(&spool, &usual.arg(), &["--client-filter", &scripts.shell("filter", &body)]);
    assert_eq!((code, usual.accepted().len(), other.accepted().len()), (0, 0, 1));
    let delivery = other.accepted().remove(0);
    assert_eq!(delivery.rcpt, ["<edited@example.com>"]);
    assert!(delivery.content.ends_with(b"hello content\r\nmore\r\n"));
    assert!(spool.files().is_empty());
    // No connection was made to the server that it was not for.
    assert_eq!(usual.connections(), 0);
}

#[test]
fn what_a_filter_takes_away_or_spoils_is_not_sent() {
    for (body, endings, reason) in [
        ("rm \"$1\" \"$2\"", &[][..], ""),
        ("rm \"$2\"", &["content"], ""),
        ("rm \"$1\"", &["envelope.bad"], "cannot open content file"),
        (
            "echo garbage >\"$2\"",
            &["content", "envelope.bad"],
            "cannot read envelope file: expected \"X-MailRelay-Format:\"",
        ),
        (
            "sed -i -e 's/ToCount: 1/ToCount: 0/' -e '/To-Remote/d' \"$2\"",
            &["content", "envelope.bad"],
            "no remote recipients",
        ),
        ("mv \"$2\" \"${2%.busy}.bad\"; exit 1", &["content", "envelope.bad"], ""),
        ("rm \"$1\" \"$2\"; exit 100", &[], ""),
    ] {
        let (spool, scripts) = (TempSpool::new(), Scripts::new());
        let hop = ScriptedHop::start(Script::well());
        fill(&spool, 1);
        let (code, _) = forward(&spool, &hop.arg(), &["--client-filter", &scripts.shell("filter", body)]);
        assert_eq!((code, hop.accepted().len(), hop.connections()), (0, 0, 0), "{body}");
        let left: Vec<String> =
            spool.files().iter().map(|name| name.splitn(5, '.').last().unwrap().to_owned()).collect();
        assert_eq!(left, endings, "{body}");
        if let [name] = &spool.bad()[..] {
            assert_eq!(spool.envelope(name).first("Reason"), reason, "{body}");
        }
    }
}

#[test]
fn a_filter_that_cannot_do_its_work_makes_mail_wait() {
    let scripts = Scripts::new();
    let slow = scripts.shell("slow", "sleep 600");
    let missing = scripts.path("missing").to_str().unwrap().to_owned();
    for (filter, reason) in [
        (missing, "filter exec error: no such file or directory".to_owned()),
        (slow, "timeout".to_owned()),
        (format!("net:127.0.0.1:{}", free_port()), "connect failure: cannot connect to 127.0.0.1".to_owned()),
    ] {
        let spool = TempSpool::new();
        let hop = ScriptedHop::start(Script::well());
        fill(&spool, 1);
        let options = ["--client-filter", filter.as_str(), "--filter-timeout=1"];
        let (code, _) = forward(&spool, &hop.arg(), &options);
        assert_eq!((code, hop.connections()), (75, 0), "{filter}");
        let envelope = spool.envelope(&spool.ready()[0]);
        assert!(envelope.first("Reason").starts_with(&reason), "{filter}: {:?}", envelope.first("Reason"));
        assert_eq!(envelope.all("NextAttempt").len(), 1);
    }
}

/// A queue and a server that is not there: all of it waits, the log says so once, and nobody waits for each of the connections.
#[test]
fn a_server_that_is_not_there_is_one_line_for_a_whole_queue() {
    for position in ["", "example.com"] {
        let spool = TempSpool::new();
        let hop = ScriptedHop::start(Script::well());
        (0..30).for_each(|number| inject(&spool, &format!("m{number}"), position));
        let filter = format!("net:127.0.0.1:{}", free_port());
        let (code, log) = forward(&spool, &hop.arg(), &["--client-filter", &filter]);
        assert_eq!((code, hop.connections(), spool.ready().len()), (75, 0, 30));
        let told = log.iter().filter(|line| line.contains("warning: ") && line.contains("cannot connect to"));
        assert_eq!(told.count(), 1, "{log:#?}");
        for name in spool.ready() {
            let envelope = spool.envelope(&name);
            let reason = envelope.first("Reason");
            assert!(reason.starts_with("connect failure: cannot connect to 127.0.0.1:"), "{reason}");
        }
    }
}

/// Each built-in filter at the client position does the same as at the server's, to a locked message.
#[test]
fn built_in_filters_work_on_messages_in_the_queue() {
    let hop = ScriptedHop::start(Script::well());
    // A message without an id gets one, and the original in the queue is whole.
    let spool = TempSpool::new();
    inject(&spool, "one", "");
    assert_eq!(forward(&spool, &hop.arg(), &["--client-filter", "msgid:"]).0, 0);
    let sent = hop.wait_accepted(1).remove(0);
    assert!(sent.content.starts_with(b"Message-ID: <") && sent.content.ends_with(CONTENT), "{sent:?}");

    // Copies go to the sub-directories; with nodelete the message goes on, and what mailboxes share with it stays.
    for (filter, accepted, main) in [
        ("copy:", 1, 0),
        ("copy:nodelete", 2, 0),
        ("copy:pop", 2, 1),
        ("copy:pop;nodelete", 3, 1),
        ("copy:hardlink;nodelete", 4, 0),
    ] {
        let spool = TempSpool::new();
        let (ann, maildir) = (spool.path().join("ann"), spool.path().join("bob"));
        fs::create_dir(&ann).unwrap();
        ["tmp", "new", "cur"].iter().for_each(|part| fs::create_dir_all(maildir.join(part)).unwrap());
        inject(&spool, "one", "");
        let (code, log) = forward(&spool, &hop.arg(), &["--client-filter", filter]);
        assert_eq!(code, 0, "{filter}: {log:#?}");
        assert_eq!(hop.accepted().len(), accepted, "{filter}");
        assert_eq!(spool.files(), [&["one.content"][..main], &[][..]].concat(), "{filter}");
        let own =
            if filter.contains("pop") { vec!["one.envelope"] } else { vec!["one.content", "one.envelope"] };
        assert_eq!(list(&ann), own, "{filter}");
        let delivered = list(&maildir.join("new"));
        assert_eq!(fs::read(maildir.join("new").join(&delivered[0])).unwrap(), CONTENT, "{filter}");
    }

    // A message with local recipients only is none for forwarding, as in 2.6; with others it is delivered once.
    let spool = TempSpool::new();
    inject(&spool, "one", "");
    let envelope = fs::read_to_string(spool.path().join("one.envelope")).unwrap();
    let local = envelope.replace("ToCount: 1\r\n", "ToCount: 2\r\nX-MailRelay-To-Local: ann\r\n");
    fs::write(spool.path().join("one.envelope"), local).unwrap();
    assert_eq!(forward(&spool, &hop.arg(), &["--client-filter", "deliver:,exit:100"]).0, 75);
    assert_eq!(spool.envelope("one.envelope").all("Delivered"), ["ann"]);
    assert_eq!(forward(&spool, &hop.arg(), &["--client-filter", "deliver:"]).0, 0);
    assert_eq!(
        (hop.accepted().len(), list(&spool.path().join("ann"))),
        (5, vec!["one.content".to_owned(), "one.envelope".to_owned()])
    );
    assert!(spool.files().is_empty(), "{:?}", spool.files());

    // Split while it is locked: each part is sent.
    let spool = TempSpool::new();
    inject(&spool, "one", "");
    let envelope = fs::read_to_string(spool.path().join("one.envelope")).unwrap();
    let two = envelope.replace("ToCount: 1\r\n", "ToCount: 2\r\nX-MailRelay-To-Remote: c@example.org\r\n");
    fs::write(spool.path().join("one.envelope"), two).unwrap();
    // The new one waits for the next run, unless this one sees it.
    for _ in 0..2 {
        assert_eq!(forward(&spool, &hop.arg(), &["--client-filter", "split:"]).0, 0);
    }
    let mut to: Vec<Vec<String>> = hop.wait_accepted(7)[5..].iter().map(|one| one.rcpt.clone()).collect();
    to.sort();
    assert_eq!(to, [["<b@example.com>"], ["<c@example.org>"]]);
    assert!(spool.files().is_empty(), "{:?}", spool.files());
}

#[test]
fn one_message_for_each_run_is_one_message() {
    let (spool, scripts) = (TempSpool::new(), Scripts::new());
    let hop = ScriptedHop::start(Script::well());
    fill(&spool, 5);
    let program = scripts.shell("filter", "exit 102");
    for (run, filter) in ["exit:102", &program, "exit:102", &program].into_iter().enumerate() {
        let (code, log) = forward(&spool, &hop.arg(), &["--client-filter", filter]);
        assert_eq!((code, hop.accepted().len(), spool.ready().len()), (75, run + 1, 4 - run));
        assert!(log.iter().any(|line| line.contains(": ok +break response=[]")));
    }
}

#[test]
fn no_connection_waits_for_a_filter() {
    let (spool, scripts) = (TempSpool::new(), Scripts::new());
    let hop = ScriptedHop::start(Script::well());
    fill(&spool, 1);
    let (seen, go) = (scripts.path("seen"), scripts.path("go"));
    let body = format!("touch {}; while [ ! -e {} ]; do sleep 0.02; done", seen.display(), go.display());
    let filter = scripts.shell("filter", &body);
    std::thread::scope(|scope| {
        let running = scope.spawn(|| forward(&spool, &hop.arg(), &["--client-filter", &filter]));
        wait_for("the filter", PATIENCE, || seen.exists().then_some(()));
        assert_eq!(hop.connections(), 0);
        assert_eq!(spool.busy().len(), 1);
        fs::write(&go, "").unwrap();
        assert_eq!(running.join().unwrap().0, 0);
    });
    assert_eq!(hop.accepted().len(), 1);
}

#[test]
fn a_server_filter_has_messages_forwarded_at_once() {
    let spool = TempSpool::new();
    let hop = ScriptedHop::start(Script::well());
    let server = Daemon::server(&spool, &["--forward-to", &hop.arg(), "--filter=exit:103"]);
    let mut client = SmtpClient::connect(server.address());
    client.send("a@example.com", &["b@example.net"], CONTENT);
    server.line("forwarding: [rescan]");
    wait_for("the message", PATIENCE, || (hop.accepted().len() == 1).then_some(()));
    // The client is still there: it was not its leaving.
    assert_eq!(client.command("NOOP").code, 250);
    let quiet = TempSpool::new();
    let without = Daemon::server(&quiet, &["--filter=exit:103"]);
    SmtpClient::connect(without.address()).send("a@example.com", &["b@example.net"], CONTENT);
    assert_eq!(quiet.ready().len(), 1);
}
