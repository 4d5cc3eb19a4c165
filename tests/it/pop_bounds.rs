//! What a POP connection may cost, whatever its client does: the figures of docs/limits.md.

use std::io::Write as _;
use std::time::Duration;

use crate::pop::PopSpool;
use crate::support::client::SmtpClient;
use crate::support::daemon::Daemon;
use crate::support::pop::PopClient;
use crate::support::{PATIENCE, wait_for};

/// KiB of a connection that waits for a command.
const IDLE: u64 = 12;
/// KiB of one whose client does its worst.
const BUSY: u64 = 256;
/// Bytes of a message in a mailbox that is open, what its list has taken while it was made included.
const LISTED: u64 = 128;

/// KiB that one more connection takes, when so many clients have done this and been answered.
fn cost(pop: &PopSpool, clients: usize, act: impl Fn(&mut PopClient)) -> u64 {
    let server = pop.serve(&["--pop-max-connections", "1000"]);
    let login = || PopClient::login(server.pop_address(), "alice", "secret1");
    // What every process needs once is not the client's.
    let _first = login();
    let before = server.memory();
    let clients: Vec<PopClient> = (0..clients)
        .map(|_| {
            let mut client = login();
            act(&mut client);
            client
        })
        .collect();
    server.memory().saturating_sub(before) / u64::try_from(clients.len()).unwrap()
}

#[test]
fn a_connection_costs_what_the_documentation_says() {
    let pop = PopSpool::new();
    // One line without an end, which is the hardest to send on.
    pop.put("large", &vec![b'x'; 2 << 20]);
    let idle = cost(&pop, 400, |_| {});
    let half = cost(&pop, 200, |client| {
        client.write(&[b"NOOP\r\n".to_vec(), vec![b'x'; 500]].concat());
        assert_eq!(client.line(), "+OK");
    });
    (0..2000).for_each(|number| pop.put(&format!("m{number}"), b"x\r\n"));
    let deaf = |command: &str| {
        cost(&pop, 10, |client| {
            let mut socket = client.socket();
            socket.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
            // As many as the server takes.
            while socket.write(command.repeat(1000).as_bytes()).is_ok() {}
        })
    };
    let (content, lists, marks) = (deaf("RETR 1\r\n"), deaf("UIDL\r\n"), deaf("DELE 2\r\nRSET\r\n"));
    eprintln!("KiB: idle {idle}, half a line {half}; deaf: RETR {content}, UIDL {lists}, DELE {marks}");
    assert!(idle.max(half) <= IDLE);
    assert!(content.max(lists).max(marks) <= BUSY);
}

#[test]
fn messages_in_a_mailbox_cost_what_the_documentation_says() {
    const MESSAGES: u64 = 30_000;
    let pop = PopSpool::new();
    let directory = pop.spool.path();
    std::fs::write(directory.join("first"), b"x\r\n").unwrap();
    for number in 0..MESSAGES {
        for suffix in ["content", "envelope"] {
            let name = format!("emailrelay.1.1.{number}.{suffix}");
            std::fs::hard_link(directory.join("first"), directory.join(name)).unwrap();
        }
    }
    // Lists of mailboxes of one's own are not shared: each is made at a login.
    std::fs::create_dir(directory.join("alice")).unwrap();
    std::fs::create_dir(directory.join("bob")).unwrap();
    for user in ["alice", "bob"] {
        for number in 0..MESSAGES {
            let name = format!("emailrelay.1.1.{number}.envelope");
            std::fs::File::create(directory.join(user).join(name)).unwrap();
        }
    }
    let server = pop.serve(&["--pop-by-name"]);
    // What was needed while the first list was made is there for the second.
    let mut alice = PopClient::login(server.pop_address(), "alice", "secret1");
    let before = server.memory();
    let mut bob = PopClient::login(server.pop_address(), "bob", "b b");
    let grown = server.memory().saturating_sub(before) * 1024 / MESSAGES;
    for client in [&mut alice, &mut bob] {
        assert_eq!(client.command("STAT"), format!("+OK {MESSAGES} {}", MESSAGES * 3));
    }
    eprintln!("{grown} bytes for each message");
    assert!(grown <= LISTED, "{grown}");
}

#[test]
fn a_connection_over_the_limit_is_told_so_and_others_are_served() {
    let pop = PopSpool::new();
    pop.put("m", b"x\r\n");
    let server = pop.serve(&["--pop-max-connections", "5"]);
    let address = server.pop_address();
    let mut held: Vec<PopClient> = (0..5).map(|_| PopClient::login(address, "alice", "secret1")).collect();
    let refused = PopClient::try_connect(address).unwrap();
    assert_eq!(refused.greeting, "-ERR [SYS/TEMP] too many connections");
    assert_eq!(refused.rest(), b"");
    server.line("too many connections: limit is 5");
    assert_eq!(held[0].command("NOOP"), "+OK");
    held.pop().unwrap().quit();
    wait_for("a place", PATIENCE, || {
        let client = PopClient::try_connect(address).ok()?;
        client.greeting.starts_with("+OK").then_some(())
    });
    // SMTP has limits of its own.
    assert_eq!(SmtpClient::connect(server.address()).command("NOOP").code, 250);
}

/// Lines, refusals and failures of one connection: what the transcripts show of the session, over the wire.
#[test]
fn a_connection_ends_at_its_limits() {
    let pop = PopSpool::new();
    let server = pop.serve(&[]);
    let ends = |server: &Daemon, input: &[u8], last: &str, reason: &str| {
        let client = PopClient::connect(server.pop_address());
        let _ = client.socket().write_all(input);
        let said = String::from_utf8(client.rest()).unwrap();
        assert!(said.ends_with(&format!("{last}\r\n")), "{reason}: {said}");
        server.line(&format!("pop connection closed: {reason}"));
    };
    let long = [vec![b'x'; 300], b"\r\n".to_vec()].concat();
    ends(&server, &long.repeat(10), "-ERR line too long", "too many errors");
    ends(&server, &vec![b'x'; 64 * 1024], "-ERR line too long", "pop protocol overflow");
    ends(&server, &b"FOO\r\n".repeat(51), "-ERR invalid command", "too many errors");
    let guesses = [&b"USER alice\r\n"[..], &b"PASS x\r\n".repeat(3)].concat();
    ends(&server, &guesses, "-ERR [AUTH] too many failures", "too many authentication failures");
}
