//! `emailrelay-queue` where there is much to do: a long queue, and a relay at work on the same directory.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::support::client::SmtpClient;
use crate::support::daemon::{Daemon, Program};
use crate::support::dice::Dice;
use crate::support::hop::{Delivery, Script, ScriptedHop};
use crate::support::need::{self, require};
use crate::support::spool::TempSpool;
use crate::support::{PATIENCE, wait_for};

/// Each has a kibibyte of reasons: all of them would not fit.
#[test]
fn a_hundred_thousand_are_listed_in_little_memory() {
    const MESSAGES: usize = 100_000;
    /// Of data, in KiB.
    const LIMIT: usize = 40 * 1024;
    require!(need::program("sh"));
    let spool = TempSpool::new();
    let reason = format!("X-MailRelay-Reason: {}\r\nX-MailRelay-ReasonCode: 550\r\n", "x".repeat(1000));
    for number in 0..MESSAGES {
        let first = number - number % 20_000;
        let name = |number: usize, suffix: &str| {
            spool.path().join(format!("emailrelay.1234.1795170755.{number}{suffix}"))
        };
        if number == first {
            let id = format!("emailrelay.1234.1795170755.{number}");
            spool.plant(&id, ".envelope.bad", "a@example.com", &["b@example.net"], &reason, b"x\r\n");
        } else {
            for suffix in [".envelope.bad", ".content"] {
                fs::hard_link(name(first, suffix), name(number, suffix)).unwrap();
            }
        }
    }
    for form in ["", "--json"] {
        let line = format!("ulimit -d {LIMIT}; \"$0\" list {form} -s \"$1\" | wc -l");
        let output =
            Command::new("sh").args(["-c", &line, Program::Queue.path(), spool.arg()]).output().unwrap();
        let (lines, stderr) =
            (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        let expected = if form.is_empty() { 1 + 2 * MESSAGES } else { 2 + MESSAGES };
        assert_eq!((lines.trim(), stderr.as_str()), (&*expected.to_string(), ""));
    }
}

/// Somebody holds, releases, retries and deletes whatever there is, while it comes in and goes out.
#[test]
fn beside_a_relay_under_load_nothing_is_lost_or_doubled() {
    const CLIENTS: usize = 3;
    const EACH: usize = 100;
    let (spool, hop) = (TempSpool::new(), ScriptedHop::start(Script::well()));
    let args = ["--forward-to", &hop.arg(), "--poll", "1"];
    let relay = Daemon::quiet_server(&spool, &args);
    let over = AtomicBool::new(false);
    let deleted = thread::scope(|scope| {
        let (relay, spool, over) = (&relay, &spool, &over);
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                scope.spawn(move || {
                    for number in (0..EACH).map(|number| client * EACH + number) {
                        let mut client = SmtpClient::connect(relay.address());
                        let content = format!("Subject: {number}\r\n\r\nhello\r\n");
                        client.send(
                            "a@example.com",
                            &[&format!("n{number}@example.net")],
                            content.as_bytes(),
                        );
                    }
                })
            })
            .collect();
        let people: Vec<_> =
            [1, 2].into_iter().map(|seed| scope.spawn(move || meddle(spool, over, seed))).collect();
        // Whoever fails must not leave the others at it for ever.
        let sent: Vec<_> = clients.into_iter().map(thread::ScopedJoinHandle::join).collect();
        over.store(true, Ordering::SeqCst);
        let deleted: Vec<String> = people.into_iter().flat_map(|person| person.join().unwrap()).collect();
        sent.into_iter().for_each(|sent| sent.unwrap());
        deleted
    });
    let held = list(&spool, &["--state", "held"]);
    for (id, _) in &held {
        assert_eq!(run(&spool, &["release", id]), 0, "{id}");
    }
    wait_for("an empty queue", PATIENCE, || list(&spool, &[]).is_empty().then_some(()));
    assert!(relay.stop().success());
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for Delivery { rcpt, .. } in hop.accepted() {
        *counts.entry(rcpt[0].trim_start_matches('<').split('@').next().unwrap().to_owned()).or_default() +=
            1;
    }
    let doubled: Vec<_> = counts.iter().filter(|(_, count)| **count != 1).collect();
    assert!(doubled.is_empty(), "{doubled:?}");
    let expected = CLIENTS * EACH;
    eprintln!("{} delivered, {} deleted, {} held at the end", counts.len(), deleted.len(), held.len());
    for number in (0..expected).map(|number| format!("n{number}")) {
        assert_ne!(counts.contains_key(&number), deleted.contains(&number), "{number}");
    }
    assert_eq!(run(&spool, &["check", "--stale-after", "0"]), 0);
    assert_eq!(spool.files().iter().filter(|name| name.contains("emailrelay.")).count(), 0);
}

/// Gives the names of those that it has deleted.
fn meddle(spool: &TempSpool, over: &AtomicBool, seed: u64) -> Vec<String> {
    let mut dice = Dice::new(seed);
    let mut deleted = Vec::new();
    while !over.load(Ordering::SeqCst) {
        for (id, name) in list(spool, &[]).into_iter().take(5) {
            let verbs = ["hold", "hold", "release", "retry", "show", "check", "delete"];
            let verb = verbs[usize::try_from(dice.between(0, 6)).unwrap()];
            let args: &[&str] = if verb == "check" { &["check"] } else { &[verb, &id] };
            let code = run(spool, args);
            // Done, wrong state, gone, busy.
            assert!([0, 65, 66, 75].contains(&code), "{verb}: {code}");
            if (verb, code) == ("delete", 0) {
                deleted.push(name);
            }
        }
    }
    deleted
}

fn run(spool: &TempSpool, args: &[&str]) -> i32 {
    crate::queue::queue(spool, args).0
}

/// Ids, and the names of the recipients.
fn list(spool: &TempSpool, args: &[&str]) -> Vec<(String, String)> {
    let (code, json, stderr) = crate::queue::queue(spool, &[&["list", "--json"], args].concat());
    assert_eq!((code, stderr.as_str()), (0, ""));
    let list: serde_json::Value = serde_json::from_str(&json).unwrap();
    let messages = list["messages"].as_array().unwrap();
    let of = |message: &serde_json::Value| {
        let name = message["recipients"][0].as_str()?.split('@').next()?.to_owned();
        Some((message["id"].as_str()?.to_owned(), name))
    };
    messages.iter().filter_map(of).collect()
}
