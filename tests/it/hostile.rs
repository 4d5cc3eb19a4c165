//! Hostile peers against the real program: smuggled messages, floods, and peers without manners.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::Duration;

use crate::support::client::{Reply, SmtpClient};
use crate::support::daemon::{Daemon, forward};
use crate::support::hop::{Script, ScriptedHop};
use crate::support::need::{self, require};
use crate::support::sink::SmtpSink;
use crate::support::spool::TempSpool;
use crate::support::wire::{as_lines, has_bare_line_end, has_dangerous_dot};
use crate::support::{PATIENCE, wait_for};

const CONTENT: &[u8] = b"Subject: test\r\n\r\nbody\r\n";

/// Everything that some server has been known to take for a line end before or behind the final dot.
const LINE_ENDS: [&str; 9] = ["\r\n", "\n", "\r", "\n\r", "\r\r", "\n\n", "\r\n\0", "\0\r\n", "\r\r\n"];

/// What a smuggler puts behind a dot that only some servers take for the end: a message of another sender.
const SECOND: &str = "MAIL FROM:<evil@example.com>\r\nRCPT TO:<victim@example.com>\r\nDATA\r\n\
    From: evil\r\n\r\nsmuggled\r\n.\r\n";

/// Content as it goes over the wire, up to and with the final dot.
fn smuggling() -> Vec<Vec<u8>> {
    let rows: [&[u8]; 6] = [
        b".\r\n",
        b"a\n.\nb\r\n.\r\n",
        b"a\r\n.\nb\r\n.\r\n",
        b"a\n.\r\nb\r\n.\r\n",
        b"a\r\n.\rb\r\n.\r\n",
        b"a\r\n.\r\r\n.\r\n",
    ];
    let mut vectors: Vec<Vec<u8>> = rows.map(<[u8]>::to_vec).into();
    for before in LINE_ENDS {
        for after in LINE_ENDS {
            for dot in [".", ".."] {
                vectors.push(format!("a{before}{dot}{after}{SECOND}").into_bytes());
            }
        }
    }
    // Where the dot is in truth the final one the rest is not content any more.
    vectors.retain(|wire| end_of_data(wire) == wire.len());
    vectors
}

/// Where the content ends by the letter of RFC 5321, final dot and all.
fn end_of_data(wire: &[u8]) -> usize {
    if wire.starts_with(b".\r\n") {
        return 3;
    }
    wire.windows(5).position(|five| five == b"\r\n.\r\n").unwrap() + 5
}

/// One message with this content, byte for byte, and the reply to it.
fn send_raw(client: &mut SmtpClient, from: &str, wire: &[u8]) -> Reply {
    for command in [&format!("MAIL FROM:<{from}>"), "RCPT TO:<to@example.com>", "DATA"] {
        assert!(client.command(command).code < 400, "{command}");
    }
    client.write(wire).unwrap();
    client.reply().unwrap()
}

/// The content without the stuffed dots, and without the final one.
fn decoded(wire: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = &wire[..wire.len() - 3];
    while !rest.is_empty() {
        let end = rest.windows(2).position(|pair| pair == b"\r\n").unwrap() + 2;
        let (line, more) = rest.split_at(end);
        out.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
        rest = more;
    }
    out
}

#[test]
fn smuggled_messages_are_refused_or_harmless() {
    require!(need::program("smtp-sink"));
    let vectors = smuggling();
    assert!(vectors.len() > 120, "{}", vectors.len());
    for policy in ["smuggling", "accept", "reject"] {
        let spool = TempSpool::new();
        let keyword = format!("barelf={policy}");
        let server = Daemon::quiet_server(&spool, &["--anonymous=content", "--server-smtp-config", &keyword]);
        let mut accepted = Vec::new();
        for (number, wire) in vectors.iter().enumerate() {
            let mut client = SmtpClient::connect(server.address());
            let reply = send_raw(&mut client, &format!("{number}@example.com"), wire);
            let what = format!("{policy}: {}: {reply:?}", wire.escape_ascii());
            let bad = has_dangerous_dot(&wire[..wire.len() - 3]);
            match policy {
                "smuggling" => assert_eq!(reply.code, if bad { 554 } else { 250 }, "{what}"),
                "accept" => assert_eq!(reply.code, 250, "{what}"),
                _ => assert!(reply.code == 250 || reply.code == 554, "{what}"),
            }
            if policy == "reject" && reply.code == 250 {
                assert!(!bad, "{what}");
            }
            if reply.code == 250 {
                accepted.push(number);
            }
            assert_eq!(client.command("NOOP").lines, ["noop"], "{what}");
        }
        assert!(server.stop().success());
        let ready = spool.ready();
        assert_eq!(ready.len(), accepted.len());
        for name in &ready {
            let from = spool.envelope(name).first("From").to_owned();
            let number: usize = from.split('@').next().unwrap().parse().unwrap();
            assert_eq!(spool.content(name), decoded(&vectors[number]), "{policy}: {from}");
        }
        leaves_harmless(&spool, &vectors, &accepted);
    }
}

/// Forwards a spool to a strict and to a lax server: as many messages arrive as there were, of the right senders.
fn leaves_harmless(spool: &TempSpool, vectors: &[Vec<u8>], accepted: &[usize]) {
    let (hop, sink) = (ScriptedHop::start(Script::well()), SmtpSink::start(&[]));
    let copy = TempSpool::new();
    for name in spool.files() {
        std::fs::copy(spool.path().join(&name), copy.path().join(&name)).unwrap();
    }
    for (spool, hop) in [(spool, hop.arg()), (&copy, sink.arg())] {
        let (code, lines) = forward(spool, &hop, &["--forward-connections", "1"]);
        assert_eq!((code, spool.ready().len(), spool.bad().len()), (0, 0, 0), "{lines:#?}");
    }
    let delivered = hop.accepted();
    let senders: Vec<&str> = delivered.iter().map(|sent| sent.mail.split(' ').next().unwrap()).collect();
    let expected: Vec<String> = accepted.iter().map(|number| format!("<{number}@example.com>")).collect();
    assert_eq!(senders, expected);
    for (number, sent) in accepted.iter().zip(&delivered) {
        assert!(!has_bare_line_end(&sent.wire), "{}", sent.wire.escape_ascii());
        assert_eq!(sent.content, as_lines(&decoded(&vectors[*number])), "{number}");
    }
    let sunk = sink.messages();
    assert_eq!(sunk.len(), accepted.len());
    assert!(!sunk.iter().any(|message| message.mail.contains("evil")));
}

#[test]
fn replies_that_nobody_reads_cost_no_memory() {
    let spool = TempSpool::new();
    let server = Daemon::quiet_server(&spool, &[]);
    let mut other = SmtpClient::connect(server.address());
    let flood = b"NOOP\r\n".repeat(100_000);
    for _ in 0..20 {
        other.write(b"NOOP\r\n".repeat(1000).as_slice()).unwrap();
        (0..1000).for_each(|_| assert_eq!(other.reply().unwrap().code, 250));
    }
    let before = server.memory();
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
    let mut written = 0;
    while written < 100_000_000 {
        match stream.write(&flood[written % 6..]) {
            Ok(count) => written += count,
            // Nothing has moved for a while: the server has stopped reading.
            Err(_) => break,
        }
    }
    let grown = server.memory().saturating_sub(before);
    assert!(written < 100_000_000, "the server reads on while its replies pile up");
    assert!(grown < 2 * 1024, "{grown} KiB more after {written} bytes");
    assert_eq!(other.command("NOOP").code, 250);
    // It was only waiting: every whole command is answered as soon as the replies are read.
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let answers = text.matches("250 noop\r\n").count();
    assert_eq!(answers, written / 6);
    eprintln!("{written} bytes taken, {grown} KiB more");
}

#[test]
fn a_command_line_of_any_length_is_one_error() {
    let spool = TempSpool::new();
    let server = Daemon::quiet_server(&spool, &[]);
    let mut client = SmtpClient::connect(server.address());
    let before = server.memory();
    for length in [4096, 70_000] {
        let line = [b"MAIL FROM:<".as_slice(), &b"x".repeat(length), b"@y>\r\nNOOP\r\n"].concat();
        client.write(&line).unwrap();
        assert_eq!(client.reply().unwrap().lines, ["line too long"], "{length}");
        assert_eq!(client.reply().unwrap().lines, ["noop"], "{length}");
    }
    // What never ends is not SMTP.
    let mut endless = SmtpClient::connect(server.address());
    let _ = endless.write(&b"x".repeat(20_000_000));
    server.line("server protocol overflow");
    let grown = server.memory().saturating_sub(before);
    assert!(grown < 4 * 1024, "{grown} KiB more");
    client.send("a@example.com", &["b@example.com"], CONTENT);
    assert_eq!(spool.ready().len(), 1);
}

#[test]
fn ten_thousand_recipients_and_one() {
    let spool = TempSpool::new();
    let server = Daemon::quiet_server(&spool, &[]);
    let mut client = SmtpClient::connect(server.address());
    assert_eq!(client.command("MAIL FROM:<a@example.com>").code, 250);
    for thousand in 0..10 {
        let batch: String =
            (0..1000).map(|n| format!("RCPT TO:<to{}@example.com>\r\n", thousand * 1000 + n)).collect();
        client.write(batch.as_bytes()).unwrap();
        (0..1000).for_each(|_| assert_eq!(client.reply().unwrap().code, 250));
    }
    let over = client.command("RCPT TO:<over@example.com>");
    assert_eq!((over.code, over.lines[0].as_str()), (452, "too many recipients"));
    assert_eq!(client.command("DATA").code, 354);
    client.write(b"hi\r\n.\r\n").unwrap();
    assert_eq!(client.reply().unwrap().code, 250);
    let ready = spool.ready();
    let envelope = spool.envelope(&ready[0]);
    assert_eq!((envelope.all("To-Remote").len(), envelope.first("ToCount")), (10_000, "10000"));
    drop(client);
    assert!(server.stop().success());
    let hop = ScriptedHop::start(Script::well());
    assert_eq!(forward(&spool, &hop.arg(), &[]).0, 0);
    let sent = hop.accepted();
    assert_eq!((sent.len(), sent[0].rcpt.len()), (1, 10_000));
    assert_eq!(sent[0].rcpt[9_999], "<to9999@example.com>");
}

#[test]
fn ten_thousand_connections_leave_nothing_behind() {
    let spool = TempSpool::new();
    let server = Daemon::quiet_server(&spool, &[]);
    let visit = |number: usize| {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let words: &[u8] = match number % 4 {
            0 => b"QUIT\r\n",
            1 => b"EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nhalf",
            2 => b"EHLO x\r\nMAIL FROM:<a@b>\r\n",
            _ => return,
        };
        stream.write_all(words).unwrap();
        if number.is_multiple_of(4) {
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            assert!(text.ends_with("221 OK\r\n"), "{text}");
        }
    };
    (0..500).for_each(visit);
    settled(&server, 0);
    let (memory, descriptors) = (server.memory(), server.descriptors());
    (0..9500).for_each(visit);
    settled(&server, descriptors);
    let grown = server.memory().saturating_sub(memory);
    assert!(grown < 8 * 1024, "{grown} KiB more");
    SmtpClient::connect(server.address()).send("a@example.com", &["b@example.com"], CONTENT);
    assert_eq!((spool.ready().len(), spool.ending(".content").len()), (1, 1), "no half message stays");
    assert!(server.stop().success());
}

/// Waits until all sessions have ended: the descriptors are back at `count`, or do not change when that is 0.
fn settled(server: &Daemon, count: usize) {
    wait_for("the end of all sessions", PATIENCE, || {
        let now = server.descriptors();
        let quiet = count == 0 && {
            thread::sleep(Duration::from_millis(300));
            server.descriptors() == now
        };
        (quiet || now == count).then_some(())
    });
}

#[test]
fn slow_clients_are_served_and_hinder_nobody() {
    let spool = TempSpool::new();
    let server = Daemon::quiet_server(&spool, &["--anonymous=content"]);
    let address = server.address();
    let slow: Vec<_> = (0..20)
        .map(|number| {
            thread::spawn(move || {
                let mut stream = TcpStream::connect(address).unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                stream.set_nodelay(true).unwrap();
                let words = format!(
                    "EHLO x\r\nMAIL FROM:<{number}@b.c>\r\nRCPT TO:<d@e.f>\r\nDATA\r\n..\r\n.a\r\n\r\n.\r\nQUIT\r\n"
                );
                for byte in words.bytes() {
                    stream.write_all(&[byte]).unwrap();
                    thread::sleep(Duration::from_millis(2));
                }
                let mut text = String::new();
                stream.read_to_string(&mut text).unwrap();
                assert!(text.ends_with("250 message processed\r\n221 OK\r\n"), "{text}");
            })
        })
        .collect();
    SmtpClient::connect(address).send("quick@example.com", &["b@example.com"], CONTENT);
    slow.into_iter().for_each(|client| client.join().unwrap());
    let ready = spool.ready();
    assert_eq!(ready.len(), 21);
    let whole = ready.iter().filter(|name| spool.content(name) == b".\r\na\r\n\r\n").count();
    assert_eq!(whole, 20);
}

#[test]
fn early_talkers_and_half_closed_peers_get_their_replies() {
    let spool = TempSpool::new();
    let server = Daemon::quiet_server(&spool, &["--anonymous=content"]);
    let message = "EHLO x\r\nMAIL FROM:<a@b.c>\r\nRCPT TO:<d@e.f>\r\nDATA\r\nhi\r\n.\r\n";
    // All at once, before the greeting, and then only listening.
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.write_all(message.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let text = read_all(stream);
    assert!(text.starts_with("220 ") && text.ends_with("250 message processed\r\n"), "{text}");
    assert_eq!(spool.ready().len(), 1);
    // Half-closed in the middle of a command and of a message: nothing of it counts.
    for cut in ["EHLO x\r\nNOOP", &message[..message.len() - 1], &message[..message.len() - 3]] {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        stream.write_all(cut.as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let text = read_all(stream);
        assert!(text.ends_with("250 8BITMIME\r\n") || text.ends_with("<CRLF>.<CRLF>\r\n"), "{text}");
    }
    // A goodbye at any time is answered, and is the last word.
    for early in ["QUIT\r\n", "QUIT\r\nNOOP\r\n", "EHLO x\r\nMAIL FROM:<a@b.c>\r\nQUIT\r\nRSET\r\n"] {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        stream.write_all(early.as_bytes()).unwrap();
        let text = read_all(stream);
        assert!(text.starts_with("220 ") && text.ends_with("\r\n221 OK\r\n"), "{text}");
    }
    // A client that only wanted to leave its message and is gone before the reply: it is stored all the same.
    let mut client = SmtpClient::connect(server.address());
    for command in ["MAIL FROM:<a@b.c>", "RCPT TO:<d@e.f>", "DATA"] {
        client.command(command);
    }
    client.write(b"hi\r\n.\r\n").unwrap();
    drop(client);
    wait_for("the message", PATIENCE, || (spool.ready().len() == 2).then_some(()));
    assert_eq!(spool.files().len(), 4, "{:?}", spool.files());
    assert!(server.stop().success());
}

fn read_all(mut stream: TcpStream) -> String {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}
