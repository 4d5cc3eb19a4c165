//! Many filters at the same time, and filters that misbehave.

use std::time::{Duration, Instant};

use super::{CONTENT, line, send, server};
use crate::support::client::SmtpClient;
use crate::support::daemon::Daemon;
use crate::support::script::Scripts;
use crate::support::spool::TempSpool;

#[test]
fn two_hundred_sessions_share_the_places_there_are() {
    let (spool, scripts) = (TempSpool::new(), Scripts::new());
    let (running, seen) = (scripts.path("running"), scripts.path("seen"));
    std::fs::create_dir(&running).unwrap();
    std::fs::create_dir(&seen).unwrap();
    // Each leaves a mark while it runs, and notes how many it sees.
    let filter = scripts.shell(
        "filter",
        &format!(
            "cd {} && touch $$ && ls | wc -l >{}/$$; sleep 1; ls | wc -l >>{1}/$$; rm $$; exit 0",
            running.display(),
            seen.display()
        ),
    );
    let server =
        Daemon::quiet_server(&spool, &["--filter", &filter, "--filter-max=20", "--filter-queue-timeout=120"]);
    let address = server.address();
    let start = Instant::now();
    let senders: Vec<_> = (0..200)
        .map(|_| {
            std::thread::spawn(move || {
                let mut client = SmtpClient::connect(address);
                client.write(b"MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n").unwrap();
                let codes = [client.reply(), client.reply(), client.reply()].map(|reply| reply.unwrap().code);
                assert_eq!(codes, [250, 250, 354]);
                client.write(b"x\r\n.\r\n").unwrap();
                loop {
                    // The reply may take longer than one read may.
                    match client.reply() {
                        Ok(reply) => return reply.code,
                        Err(broken) => assert!(start.elapsed() < Duration::from_secs(120), "{broken:?}"),
                    }
                }
            })
        })
        .collect();
    // A session without a message in hand is not held up: most of the others have no reply yet.
    let mut other = SmtpClient::connect(address);
    assert_eq!(other.command("NOOP").code, 250);
    assert!(senders.into_iter().all(|sender| sender.join().unwrap() == 250));
    let took = start.elapsed();
    eprintln!("200 messages through 20 places of one second: {took:?}");
    assert_eq!(spool.ready().len(), 200);
    let counts = std::fs::read_dir(&seen).unwrap().map(|file| {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        text.split_whitespace().map(|word| word.parse::<usize>().unwrap()).max().unwrap()
    });
    let counts: Vec<usize> = counts.collect();
    assert_eq!((counts.len(), counts.iter().max()), (200, Some(&20)), "all places were used, and no more");
}

#[test]
fn who_waits_too_long_for_a_place_is_told_to_try_again() {
    let (spool, scripts) = (TempSpool::new(), Scripts::new());
    let go = scripts.path("go");
    let filter = scripts.shell("filter", &format!("while [ ! -e {} ]; do sleep 0.02; done", go.display()));
    let server = server(&spool, &[&filter, "--filter-max=1", "--filter-queue-timeout=1"]);
    let mut first = SmtpClient::connect(server.address());
    for command in ["MAIL FROM:<a@example.com>", "RCPT TO:<b@example.net>", "DATA"] {
        first.command(command);
    }
    first.write(b"x\r\n.\r\n").unwrap();
    server.line(": running /");
    assert_eq!(line(&send(&server)), "451 4.3.2 too busy");
    std::fs::write(&go, "").unwrap();
    assert_eq!(first.reply().unwrap().code, 250);
    assert_eq!(spool.ready().len(), 1);
}

#[test]
fn output_without_end_and_children_that_hold_it_harm_nobody() {
    let (spool, scripts) = (TempSpool::new(), Scripts::new());
    let endless = scripts.shell("endless", "echo '<<550 first>>'; exec cat /dev/zero");
    let one = server(&spool, &[&endless, "--filter-timeout=2"]);
    let before = one.memory();
    assert_eq!(line(&send(&one)), "452 error");
    assert!(one.memory() < before + 20_000, "{} KiB, then {}", before, one.memory());
    one.line("filter [endless] timed out after 2s");

    let much = scripts.shell("much", "echo '<<550 first>>'; head -c 100000000 /dev/zero; exit 1");
    let two = server(&spool, &[&much]);
    assert_eq!(line(&send(&two)), "550 first");

    let held = scripts.shell("held", "(sleep 1; touch \"$1.held\") & exit 0");
    let three = server(&spool, &[&held]);
    assert_eq!(send(&three).code, 250);
    assert_eq!(spool.ending(".held").len(), 1, "the reply waited for whoever held the output");

    let freed = scripts.shell("freed", "sleep 600 >/dev/null & exit 0");
    let four = server(&spool, &[&freed]);
    let start = Instant::now();
    assert_eq!(send(&four).code, 250);
    assert!(start.elapsed() < Duration::from_secs(60));
}

#[test]
fn without_filters_nothing_is_different() {
    let spool = TempSpool::new();
    let server = Daemon::server(&spool, &["--verbose"]);
    let mut client = SmtpClient::connect(server.address());
    client.send("a@example.com", &["b@example.net"], CONTENT);
    let threads = std::fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap();
    let names: Vec<String> =
        threads.map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).unwrap()).collect();
    assert!(!names.iter().any(|name| name.trim() == "programs"), "{names:?}");
    assert!(!server.lines().iter().any(|line| line.contains("filter [")));
}
