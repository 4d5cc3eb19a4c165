//! What filters do to the files of a message, and to the client's reply, at the server position.

use std::fs;

use nix::sys::signal::Signal;

use super::{CONTENT, line, send, server};
use crate::support::client::SmtpClient;
use crate::support::script::Scripts;
use crate::support::spool::TempSpool;
use crate::support::{PATIENCE, wait_for};

/// The reply, and the endings of the files that are left.
fn after(body: &str) -> (String, Vec<String>) {
    let (spool, scripts) = (TempSpool::new(), Scripts::new());
    let server = server(&spool, &[&scripts.shell("filter", body)]);
    let reply = line(&send(&server));
    let ending = |name: &String| name.splitn(5, '.').last().unwrap().to_owned();
    (reply, spool.files().iter().map(ending).collect())
}

#[test]
fn every_row_of_the_table() {
    const OK: &str = "250 message processed";
    for (body, reply, files) in [
        ("rm \"$1\" \"$2\"; exit 100", OK, &[][..]),
        ("rm \"$1\" \"$2\"; exit 0", "451 rejected", &[]),
        ("rm \"$2\"; exit 0", "451 rejected", &[]),
        ("rm \"$2\"; exit 100", OK, &["content"]),
        ("rm \"$1\"; exit 0", "451 rejected", &["envelope.bad"]),
        ("mv \"$2\" \"${2%.new}\"; exit 0", OK, &["content", "envelope"]),
        ("mv \"$2\" \"${2%.new}.bad\"; exit 100", OK, &["content", "envelope.bad"]),
        ("mv \"$2\" \"${2%.new}.bad\"; echo '<<550 no>>'; exit 1", "550 no", &["envelope.bad"]),
        ("echo garbage >\"$2\"; exit 0", "451 rejected", &["content", "envelope.bad"]),
        ("exit 100", OK, &["content", "envelope"]),
        ("exit 102", OK, &["content", "envelope"]),
        ("exit 1", "452 rejected", &[]),
        ("rm -rf \"$(dirname \"$1\")\"/*; exit 0", "451 rejected", &[]),
        ("ln -sf /etc/passwd \"$1\"; exit 0", "451 rejected", &["envelope.bad"]),
    ] {
        let (found, left) = after(body);
        assert_eq!(
            (found.as_str(), left),
            (reply, files.iter().map(|s| (*s).to_owned()).collect()),
            "{body}"
        );
    }
}

#[test]
fn what_filters_write_is_what_is_stored() {
    for body in [
        // In place, by a pipe over the content, by the name derived from the content's, and by rename.
        "printf 'more\\r\\n' >>\"$1\"; sed -i 's/c@example.org/d@example.org/' \"$2\"",
        "tr a-z A-Z <\"$1\" >\"$1.x\"; mv \"$1.x\" \"$1\"",
        "e=$(echo \"$1\" | sed 's/content/envelope.new/'); grep -q To-Remote \"$e\" || exit 9; sed -i 's/b@example.net/x@example.net/' \"$e\"",
    ] {
        let (spool, scripts) = (TempSpool::new(), Scripts::new());
        let server = server(&spool, &[&scripts.shell("filter", body)]);
        assert_eq!(send(&server).code, 250, "{body}");
        let ready = spool.ready();
        let (envelope, content) = (spool.envelope(&ready[0]), spool.content(&ready[0]));
        let content = String::from_utf8(content).unwrap();
        match body.split(' ').next().unwrap() {
            "printf" => {
                assert!(content.ends_with("hello content\r\nmore\r\n"), "{content}");
                assert_eq!(envelope.all("To-Remote"), ["b@example.net", "d@example.org"]);
            }
            "tr" => assert!(content.contains("HELLO CONTENT\r\n"), "{content}"),
            _ => assert_eq!(envelope.all("To-Remote"), ["x@example.net", "c@example.org"]),
        }
    }
}

#[test]
fn filters_that_follow_one_that_abandons_are_skipped_and_that_is_said() {
    let (spool, scripts) = (TempSpool::new(), Scripts::new());
    let second = scripts.shell("second", "exit 5");
    let first = scripts.shell("first", "exit 100");
    let chain = server(&spool, &[&format!("{first},{second}")]);
    assert_eq!(send(&chain).code, 250);
    chain.line("filter [first,second] abandoned with message files still present: later filters skipped");
    assert_eq!(spool.ready().len(), 1);
    // A flag of one that ran stays though another refuses.
    let first = scripts.shell("third", "exit 103");
    let place = TempSpool::new();
    let chain = server(&place, &[&first, &second]);
    assert_eq!(line(&send(&chain)), "452 rejected");
    chain.line("filter [third,second]: [");
    chain.line("failed +rescan response=[rejected]");
}

#[test]
fn a_client_that_leaves_loses_nothing_and_what_is_behind_the_message_waits() {
    let (spool, scripts) = (TempSpool::new(), Scripts::new());
    let go = scripts.path("go");
    let wait = format!("while [ ! -e {} ]; do sleep 0.02; done", go.display());
    let server = server(&spool, &[&scripts.shell("filter", &wait), "--idle-timeout=1"]);
    let mut client = SmtpClient::connect(server.address());
    let mut pipelined = b"MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n".to_vec();
    pipelined.extend(CONTENT);
    pipelined.extend(b".\r\nNOOP\r\nRSET\r\nQUIT\r\n");
    client.write(&pipelined).unwrap();
    let codes = [250, 250, 354].map(|_| client.reply().unwrap().code);
    assert_eq!(codes, [250, 250, 354]);
    server.line(": running /");

    let mut gone = SmtpClient::connect(server.address());
    for command in ["MAIL FROM:<gone@example.com>", "RCPT TO:<b@example.net>", "DATA"] {
        gone.command(command);
    }
    gone.write(b"x\r\n.\r\n").unwrap();
    wait_for("the second filter", PATIENCE, || {
        (server.lines().iter().filter(|line| line.contains(": running /")).count() == 2).then_some(())
    });
    drop(gone);
    // Others are served meanwhile, and the idle time of those who wait has passed.
    let mut other = SmtpClient::connect(server.address());
    assert_eq!(other.command("NOOP").code, 250);
    drop(other.rest());
    fs::write(&go, "").unwrap();
    let replies: Vec<String> = (0..4).map(|_| line(&client.reply().unwrap())).collect();
    assert_eq!(replies, ["250 message processed", "250 noop", "250 state reset", "221 OK"]);
    server.line("client gone before reply: [");
    assert_eq!(spool.ready().len(), 2);
}

#[test]
fn a_stop_ends_filters_and_leaves_no_half_message() {
    let (spool, scripts) = (TempSpool::new(), Scripts::new());
    let pid = scripts.path("pid");
    let filter =
        scripts.shell("filter", &format!("trap '' TERM; echo $$ >{}; sleep 600 & wait", pid.display()));
    let server = server(&spool, &[&filter, "--stop-timeout=1"]);
    let mut client = SmtpClient::connect(server.address());
    for command in ["MAIL FROM:<a@example.com>", "RCPT TO:<b@example.net>", "DATA"] {
        client.command(command);
    }
    client.write(b"x\r\n.\r\n").unwrap();
    let number = wait_for("the filter", PATIENCE, || {
        fs::read_to_string(&pid).ok().filter(|text| text.ends_with('\n')).map(|text| text.trim().to_owned())
    });
    assert_eq!(spool.files().len(), 2);
    server.stop();
    assert_eq!(spool.files(), Vec::<String>::new());
    let state = fs::read_to_string(format!("/proc/{number}/stat")).unwrap_or_default();
    assert!(state.is_empty() || state.contains(") Z "), "{state}");
}

#[test]
fn a_crash_leaves_nothing_once_the_server_is_back() {
    let (spool, scripts) = (TempSpool::new(), Scripts::new());
    let filter = scripts.shell("filter", "echo hello >>\"$1\"; sleep 600");
    let server = server(&spool, &[&filter]);
    let mut clients: Vec<SmtpClient> = (0..5).map(|_| SmtpClient::connect(server.address())).collect();
    for client in &mut clients {
        for command in ["MAIL FROM:<a@example.com>", "RCPT TO:<b@example.net>", "DATA"] {
            client.command(command);
        }
        client.write(b"x\r\n.\r\n").unwrap();
    }
    wait_for("the filters", PATIENCE, || {
        (server.lines().iter().filter(|line| line.contains(": running /")).count() == 5).then_some(())
    });
    server.signal(Signal::SIGKILL);
    drop(clients);
    drop(server);
    assert_eq!(spool.files().len(), 10);
    // Old enough to belong to nobody. Nothing announces the passing of time.
    std::thread::sleep(std::time::Duration::from_millis(2100));
    let again = super::server(&spool, &[]);
    again.line(".envelope.new");
    wait_for("an empty spool", PATIENCE, || spool.files().is_empty().then_some(()));
}
