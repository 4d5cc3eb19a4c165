//! The order of system calls: durable before it is acknowledged, answered for before it is removed; and what becomes of
//! a message when one of the calls fails.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::support::client::SmtpClient;
use crate::support::daemon::{Daemon, Program};
use crate::support::hop::{Script, ScriptedHop, reply};
use crate::support::need::{self, require};
use crate::support::spool::TempSpool;
use crate::support::strace::{Call, Strace};

const CLIENTS: u64 = 8;
const EACH: u64 = 15;

fn content(number: u64) -> Vec<u8> {
    format!("Subject: {number}\r\n\r\nbody\r\n").into_bytes()
}

/// `emailrelay` serving SMTP under strace.
fn traced_server(strace: &Strace, spool: &TempSpool, expressions: &[&str]) -> Daemon {
    let mut command = strace.command(Program::Emailrelay, expressions);
    command.args(["--no-daemon", "--log", "--no-syslog", "--anonymous=content", "--user", "root"]);
    command.args(["--interface", "127.0.0.1", "--port", "0", "--spool-dir", spool.arg()]);
    Daemon::start(command)
}

/// The last call of this name on a file whose path ends so that ended before `before`.
fn last<'a>(calls: &'a [Call], name: &str, file: &str, before: usize) -> Option<&'a Call> {
    calls
        .iter()
        .rfind(|call| call.name == name && call.worked && call.end < before && call.target().ends_with(file))
}

/// The name of the content file of each message, from the first write to it or read from it, without `.content`.
fn ids(calls: &[Call], names: &[&str]) -> HashMap<u64, String> {
    let data = calls.iter().filter(|call| names.contains(&call.name.as_str()));
    data.filter_map(|call| {
        let name = Path::new(call.target()).file_name()?.to_str()?;
        Some((call.subject()?, name.strip_suffix(".content")?.to_owned()))
    })
    .collect()
}

/// By message: where the event came that has `text` in a call `said` of the socket on which the message went by in a
/// call `went`.
fn answers<'a>(calls: &'a [Call], went: &str, said: &str, text: &str) -> HashMap<u64, &'a Call> {
    let mut current = HashMap::new();
    let mut answers = HashMap::new();
    for call in calls.iter().filter(|call| call.target().starts_with("socket:")) {
        if call.name == went
            && let Some(number) = call.subject()
        {
            current.insert(call.target(), number);
        } else if call.name == said && call.args.contains(text) {
            answers.insert(current[call.target()], call);
        }
    }
    answers
}

#[test]
fn every_acknowledged_message_was_made_durable_first() {
    require!(need::program("strace"), need::root());
    let (strace, spool) = (Strace::new(), TempSpool::new());
    let server = traced_server(&strace, &spool, &[]);
    let address = server.address();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            thread::spawn(move || {
                let mut session = SmtpClient::connect(address);
                for number in (0..EACH).map(|count| client * EACH + count) {
                    session.send("a@example.com", &["b@example.com"], &content(number));
                }
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
    assert!(server.stop().success());
    let calls = strace.calls();
    let ids = ids(&calls, &["write"]);
    let acknowledged = answers(&calls, "recvfrom", "sendto", "250 message processed");
    assert_eq!((ids.len() as u64, acknowledged.len() as u64), (CLIENTS * EACH, CLIENTS * EACH));
    let mut directory_syncs = HashSet::new();
    for (number, acknowledged) in &acknowledged {
        let id = &ids[number];
        let step = |name: &str, file: &str, before: usize| {
            last(&calls, name, file, before)
                .unwrap_or_else(|| panic!("{number}: no {name} of {file} in time"))
        };
        let renamed = calls.iter().find(|call| {
            call.name == "renameat2" && call.worked && call.args.contains(&format!("\"{id}.envelope\""))
        });
        let renamed = renamed.expect("a rename");
        for suffix in [".content", ".envelope.new"] {
            let file = format!("{id}{suffix}");
            let synced = step("fdatasync", &file, renamed.begin);
            let written = step("write", &file, usize::MAX);
            assert!(written.end < synced.begin, "{number}: {file} written after it was synced");
        }
        // The first sync that begins behind the rename is the one that makes it durable.
        let synced = calls.iter().find(|call| {
            call.name == "fsync" && call.worked && call.target() == spool.arg() && call.begin > renamed.end
        });
        let synced = synced.filter(|call| call.end < acknowledged.begin);
        directory_syncs
            .insert(synced.unwrap_or_else(|| panic!("{number}: 250 before the directory sync")).begin);
    }
    eprintln!("{} messages checked, {} directory syncs", acknowledged.len(), directory_syncs.len());
    assert!(directory_syncs.len() < acknowledged.len(), "no sync was shared");
}

#[test]
fn nothing_is_removed_before_the_next_hop_has_answered() {
    require!(need::program("strace"), need::root());
    let spool = TempSpool::new();
    let script = Script { dot: reply("250 2.0.0 taken"), ..Script::well() };
    let hop = ScriptedHop::start(script.clone());
    let server = Daemon::server(&spool, &["--anonymous=content"]);
    let mut client = SmtpClient::connect(server.address());
    (0..60).for_each(|number| client.send("a@example.com", &["b@example.com"], &content(number)));
    drop(client);
    assert!(server.stop().success());
    let run = || {
        let strace = Strace::new();
        let mut command = strace.command(Program::Forward, &[]);
        command.args(["--spool-dir", spool.arg(), "--forward-to", &hop.arg(), "--retry-first", "1"]);
        let code = Daemon::start(command).wait().code();
        (code, strace.calls())
    };

    hop.set(Script { dot: reply("451 4.3.0 later"), ..script.clone() });
    let (code, calls) = run();
    assert_eq!(code, Some(75));
    let removals = |calls: &[Call]| -> Vec<(usize, String)> {
        let unlinks = calls.iter().filter(|call| call.name == "unlinkat" && call.worked);
        unlinks.filter_map(|call| Some((call.begin, call.args.split('"').nth(1)?.to_owned()))).collect()
    };
    let names = removals(&calls);
    assert!(
        !names.iter().any(|(_, name)| name.ends_with(".content") || name.ends_with(".busy")),
        "{names:?}"
    );
    let edits: Vec<&Call> =
        calls.iter().filter(|call| call.name == "renameat" && call.args.contains(".busy.tmp\"")).collect();
    assert_eq!(edits.len(), 60);
    for edit in edits {
        let name = edit.args.split('"').nth(1).unwrap();
        assert!(last(&calls, "fdatasync", name, edit.begin).is_some(), "{name} renamed before it was synced");
    }

    hop.set(script);
    thread::sleep(Duration::from_millis(1100));
    let (code, calls) = run();
    assert_eq!((code, spool.files()), (Some(0), Vec::new()));
    let ids = ids(&calls, &["read", "pread64"]);
    let taken = answers(&calls, "sendto", "recvfrom", "250 2.0.0 taken");
    assert_eq!((ids.len(), taken.len()), (60, 60));
    let removed: HashMap<String, usize> = removals(&calls).into_iter().map(|(at, name)| (name, at)).collect();
    for (number, answer) in taken {
        let (envelope, content) =
            (format!("{}.envelope.busy", ids[&number]), format!("{}.content", ids[&number]));
        assert!(answer.end < removed[&envelope], "{number}: removed before the answer");
        assert!(removed[&envelope] < removed[&content], "{number}: the content went first");
    }
}

/// Sends messages until one was refused and two were accepted; the numbers of the refused and of the accepted.
fn send_until_refused(client: &mut SmtpClient, fault: &str) -> (Vec<u64>, Vec<u64>) {
    let (mut refused, mut accepted) = (Vec::new(), Vec::new());
    // More than there can be threads, each of which strace lets fail once.
    for number in 0..100 {
        let reply = client.try_send("a@example.com", &["b@example.com"], &content(number)).unwrap();
        match reply.code {
            250 => accepted.push(number),
            451 => refused.push(number),
            _ => panic!("{fault}, message {number}: {reply:?}"),
        }
        if !refused.is_empty() && accepted.len() >= 2 {
            return (refused, accepted);
        }
    }
    panic!("{fault}: {} refused, {} accepted", refused.len(), accepted.len());
}

#[test]
fn a_failed_sync_or_rename_refuses_the_message_and_leaves_nothing() {
    require!(need::program("strace"), need::root());
    // strace counts the calls of each thread. A message has two file syncs by whichever thread writes it, then a rename
    // and a directory sync by the commit thread.
    let cases = [
        ("inject=fdatasync:error=EIO:when=1", "cannot write to disk: "),
        ("inject=fdatasync:error=EIO:when=2", "cannot write to disk: "),
        ("inject=fsync:error=EIO:when=2", "cannot write to disk: "),
        ("inject=renameat2:error=EIO:when=2", "cannot rename envelope file to "),
        ("inject=renameat2:error=ENOSPC:when=3", "cannot rename envelope file to "),
    ];
    for (fault, logged) in cases {
        let (strace, spool) = (Strace::new(), TempSpool::new());
        let server = traced_server(&strace, &spool, &[fault]);
        let mut client = SmtpClient::connect(server.address());
        let (refused, accepted) = send_until_refused(&mut client, fault);
        let line = server.line(logged);
        let level = if logged.contains("disk") { "error: message store error: " } else { "warning: " };
        assert!(line.contains(level), "{line}");
        let stored = accepted.len();
        assert_eq!(
            (spool.files().len(), spool.ready().len()),
            (2 * stored, stored),
            "{fault}: {:?}",
            spool.files()
        );
        for envelope in spool.ready() {
            assert!(!refused.iter().any(|number| spool.content(&envelope) == content(*number)));
        }
        assert!(server.stop().success());
    }
}

/// A file system of this size, unmounted when dropped.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    fn mount(path: &'a Path, size: &str) -> Self {
        let mut mount = Command::new(need::path("mount"));
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(path);
        assert!(mount.status().unwrap().success());
        Self(path)
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new(need::path("umount")).arg("-l").arg(self.0).status();
    }
}

#[test]
fn a_full_disk_refuses_the_message_and_leaves_nothing() {
    require!(need::program("mount"), need::root());
    let spool = TempSpool::new();
    let _disk = SmallDisk::mount(spool.path(), "256k");
    let server = Daemon::server(&spool, &["--anonymous=content"]);
    let mut client = SmtpClient::connect(server.address());
    let large = b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd\r\n".repeat(16 * 1024);
    let reply = client.try_send("a@example.com", &["b@example.com"], &large).unwrap();
    assert_eq!((reply.code, spool.files()), (452, Vec::new()), "{reply:?}");
    server.line("spool directory is full");
    let reply = client.command(&format!("MAIL FROM:<a@example.com> SIZE={}", large.len()));
    assert_eq!(reply.code, 452, "{reply:?}");
    client.send("a@example.com", &["b@example.com"], &content(1));
    assert_eq!(spool.files().len(), 2);
    assert!(server.stop().success());
}
