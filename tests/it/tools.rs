//! The smaller tools: `emailrelay-resubmit`, `emailrelay-filter-copy`, `emailrelay-multicast`.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use crate::support::client::SmtpClient;
use crate::support::daemon::{Daemon, Program, forward};
use crate::support::hop::{Script, ScriptedHop, reply};
use crate::support::spool::TempSpool;

const CONTENT: &[u8] = b"Subject: x\r\n\r\nHello\r\n";
const REASON: &str = "X-MailRelay-Reason: no\r\nX-MailRelay-ReasonCode: 550\r\n";
const ID: &str = "emailrelay.77.1795170755.1";

/// A message in this state to one recipient.
fn plant(spool: &TempSpool, id: &str, suffix: &str, trailer: &str) {
    spool.plant(id, suffix, "a@example.com", &["b@example.net"], trailer, CONTENT);
}

/// Sub-directories for mailboxes.
fn folders(spool: &TempSpool, names: &[&str]) {
    names.iter().for_each(|name| fs::create_dir(spool.path().join(name)).unwrap());
}

/// The names of the files in a sub-directory, sorted.
fn inside(spool: &TempSpool, folder: &str) -> Vec<String> {
    crate::support::spool::list(&spool.path().join(folder))
}

#[test]
fn failed_messages_come_back_until_they_have_failed_five_times() {
    let spool = TempSpool::new();
    plant(&spool, ID, ".envelope.bad", &REASON.repeat(4));
    plant(&spool, "other", ".envelope.bad", REASON);
    plant(&spool, "often", ".envelope.bad", &REASON.repeat(5));
    plant(&spool, "taken", ".envelope.bad", REASON);
    plant(&spool, "taken", ".envelope", "");
    let (code, stdout, said) = Program::Resubmit.run(&["--dry-run", spool.arg()]);
    let both = format!("emailrelay-resubmit: resubmitting {ID}\nemailrelay-resubmit: resubmitting other\n");
    assert_eq!((code, stdout, spool.bad().len()), (Some(0), both, 4));
    let (code, stdout, stderr) = Program::Resubmit.run(&[spool.arg()]);
    assert_eq!((code, stdout.as_str(), said == stderr), (Some(0), "", true), "{said}");
    assert_eq!(stderr, "emailrelay-resubmit: taken: message exists already in that state\n");
    let ready: Vec<String> = [ID, "other", "taken"].map(|id| format!("{id}.envelope")).to_vec();
    assert_eq!(spool.ready(), ready);
    assert_eq!(spool.bad(), ["often.envelope.bad", "taken.envelope.bad"]);
    assert!(spool.path().join("forward.request").exists());
    let (_, stdout, _) = Program::Resubmit.run(&["-v", "--limit", "0", "-s", spool.arg()]);
    assert!(stdout.contains("emailrelay-resubmit: resubmitting often\n"), "{stdout}");
}

/// The disk was full when it was given up, or a person has renamed it.
#[test]
fn what_was_too_old_is_tried_for_as_long_again() {
    let spool = TempSpool::new();
    let old = "X-MailRelay-FirstTry: 1790000000\r\nX-MailRelay-Attempts: 30\r\nX-MailRelay-NextAttempt: 1790432000\r\n\
               X-MailRelay-Reason: 4.2.0 later\r\nX-MailRelay-ReasonCode: 450\r\n";
    plant(&spool, ID, ".envelope.bad", old);
    assert_eq!(Program::Resubmit.run(&[spool.arg()]).0, Some(0));
    let hop = ScriptedHop::start(Script {
        rcpt_for: vec![("b@".to_owned(), reply("450 4.2.0 later"))],
        ..Script::well()
    });
    assert_eq!(forward(&spool, &hop.arg(), &[]).0, 75);
    let ready = format!("{ID}.envelope");
    assert_eq!(spool.ready(), std::slice::from_ref(&ready), "{:?}", spool.files());
    assert_eq!(spool.envelope(&ready).all("Attempts"), ["1"]);
}

#[test]
fn the_ones_to_bring_back_can_be_chosen() {
    let spool = TempSpool::new();
    let temporary = "X-MailRelay-Reason: message is too old: later\r\nX-MailRelay-ReasonCode: 451\r\n";
    plant(&spool, "later", ".envelope.bad", temporary);
    plant(&spool, "never", ".envelope.bad", REASON);
    plant(
        &spool,
        "lost",
        ".envelope.bad",
        "X-MailRelay-Reason: peer disconnected\r\nX-MailRelay-ReasonCode:\r\n",
    );
    let run = |args: &[&str]| Program::Resubmit.run(&[args, &[spool.arg()]].concat()).1;
    assert_eq!(run(&["--older-than", "1h", "--dry-run"]), "");
    let both = "emailrelay-resubmit: resubmitting later\nemailrelay-resubmit: resubmitting lost\n";
    assert_eq!(run(&["--only", "4xx,none", "--dry-run"]), both);
    assert_eq!(spool.ready(), Vec::<String>::new());
    run(&["--only", "451"]);
    assert_eq!(spool.ready(), ["later.envelope"]);
    let (code, _, stderr) = Program::Resubmit.run(&["/nonexistent"]);
    assert_eq!((code, stderr.as_str()), (Some(1), "emailrelay-resubmit: invalid spool directory\n"));
    assert_eq!(Program::Resubmit.run(&["--foo"]).0, Some(64));
}

#[test]
fn filter_copy_gives_every_folder_the_envelope() {
    let spool = TempSpool::new();
    folders(&spool, &["alice", ".hidden", "postmaster"]);
    plant(&spool, ID, ".envelope.new", "");
    let content = format!("{}/{ID}.content", spool.arg());
    assert_eq!(Program::FilterCopy.run(&[&content, "more"]), (Some(100), String::new(), String::new()));
    let envelope = format!("{ID}.envelope");
    for folder in ["alice", ".hidden", "postmaster"] {
        assert_eq!(inside(&spool, folder), [&*envelope], "{folder}");
        let mode = fs::metadata(spool.path().join(folder).join(&envelope)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o660);
    }
    assert_eq!(spool.files(), [format!("{ID}.content")]);
    // Run by hand on one that waits.
    plant(&spool, "two", ".envelope", "");
    assert_eq!(Program::FilterCopy.run(&[&format!("{}/two.content", spool.arg())]).0, Some(100));
    assert_eq!(inside(&spool, "alice").len(), 2);
}

#[test]
fn filter_copy_refuses_what_it_cannot_copy() {
    let spool = TempSpool::new();
    let file = |name: &str| format!("{}/{name}", spool.arg());
    let failed =
        |text: &str| (Some(1), format!("<<filter failed>>\n<<filter error: {text}>>\n"), String::new());
    let usage = "usage error: must be run by emailrelay with the full path of a message content file";
    assert_eq!(Program::FilterCopy.run(&[]), failed(usage));
    assert_eq!(Program::FilterCopy.run(&[&file("x.content")]), failed("no such file"));
    fs::write(file("content.content"), "x").unwrap();
    assert_eq!(Program::FilterCopy.run(&[&file("content.content")]), failed("invalid filename"));
    fs::write(file("x.content"), "x").unwrap();
    let no_envelope = format!("no envelope file \"{}\"", file("x.envelope.new"));
    assert_eq!(Program::FilterCopy.run(&[&file("x.content")]), failed(&no_envelope));
    plant(&spool, ID, ".envelope.new", "");
    let content = file(&format!("{ID}.content"));
    let alone = failed("no sub-directories to copy into: check permissions");
    assert_eq!(Program::FilterCopy.run(&[&content]), alone);
    // All or none.
    folders(&spool, &["alice", "bob"]);
    fs::create_dir(spool.path().join("bob").join(format!("{ID}.envelope.new"))).unwrap();
    let (code, stdout, _) = Program::FilterCopy.run(&[&content]);
    assert_eq!(code, Some(1));
    let text = format!(
        "failed to copy envelope file {} into the \"bob\" sub-directory",
        file(&format!("{ID}.envelope.new"))
    );
    assert!(stdout.contains(&text), "{stdout}");
    assert_eq!(inside(&spool, "alice"), Vec::<String>::new());
    assert!(Program::FilterCopy.run(&["--help"]).0 == Some(1));
}

#[test]
fn filter_copy_copies_a_whole_spool() {
    let spool = TempSpool::new();
    plant(&spool, ID, ".envelope", "");
    plant(&spool, "foreign", ".envelope", "");
    let (code, _, stderr) = Program::FilterCopy.run(&["-d", spool.arg()]);
    assert_eq!(code, Some(1));
    assert_eq!(stderr, "emailrelay-filter-copy: no sub-directories to copy into: check permissions\n");
    assert_eq!(spool.ready().len(), 2, "put back");
    folders(&spool, &["alice"]);
    let (code, stdout, _) = Program::FilterCopy.run(&["-v", "--spool-dir", spool.arg()]);
    assert_eq!(code, Some(0));
    assert_eq!(stdout, format!("copied: {0}/{ID}.content {0}\n", spool.arg()));
    assert_eq!(
        (spool.ready(), inside(&spool, "alice")),
        (vec!["foreign.envelope".to_owned()], vec![format!("{ID}.envelope")])
    );
}

#[test]
fn multicast_shares_the_content() {
    let spool = TempSpool::new();
    plant(&spool, ID, ".envelope.new", "");
    let (content, envelope) =
        (format!("{}/{ID}.content", spool.arg()), format!("{}/{ID}.envelope.new", spool.arg()));
    assert_eq!(Program::Multicast.run(&[&content, &envelope]).0, Some(0), "no sub-directories");
    folders(&spool, &["alice", "bob"]);
    assert_eq!(Program::Multicast.run(&[&content]).0, Some(2));
    let wrong = format!("{}/other.envelope.new", spool.arg());
    let (code, stdout, _) = Program::Multicast.run(&[&content, &wrong]);
    assert_eq!(code, Some(1));
    assert_eq!(
        stdout,
        format!("<<multicast failed>>\n<<emailrelay-multicast: {content}: invalid filename>>\n")
    );
    assert_eq!(Program::Multicast.run(&[&content, &envelope]), (Some(100), String::new(), String::new()));
    assert_eq!(spool.files(), Vec::<String>::new());
    let copies = ["alice", "bob"].map(|folder| spool.path().join(folder).join(format!("{ID}.content")));
    let inodes = copies.map(|path| fs::metadata(path).unwrap().ino());
    assert_eq!(inodes[0], inodes[1]);
    assert_eq!(inside(&spool, "bob").len(), 2);
}

/// What the log says of filters, without what is different each time.
fn filter_lines(server: &Daemon, path: &str) -> Vec<String> {
    let lines = server.lines().into_iter().filter(|line| line.contains("filter"));
    let no_digits = |line: String| line.replace(path, "PATH").replace(|c: char| c.is_ascii_digit(), "");
    lines.map(no_digits).collect()
}

/// Sends once without sub-directories and once with one: replies, log lines, what there is then.
fn copied_by(filter: &str, start: impl FnOnce(&[&str]) -> Daemon) -> (Vec<String>, Vec<String>, Vec<u32>) {
    let spool = TempSpool::new();
    let server = start(&[
        "--interface",
        "127.0.0.1",
        "--port",
        "0",
        "--verbose",
        "--spool-dir",
        spool.arg(),
        "--filter",
        filter,
    ]);
    let mut client = SmtpClient::connect(server.address());
    let refused = client.try_send("a@example.com", &["b@example.net"], CONTENT).unwrap();
    let alice = spool.path().join("alice");
    fs::create_dir(&alice).unwrap();
    fs::set_permissions(&alice, fs::Permissions::from_mode(0o2770)).unwrap();
    let taken = client.try_send("a@example.com", &["b@example.net"], CONTENT).unwrap();
    let replies = [refused, taken].map(|reply| format!("{} {}", reply.code, reply.lines.join("|"))).to_vec();
    let envelope = crate::support::spool::list(&alice).pop().unwrap();
    let modes = vec![fs::metadata(alice.join(envelope)).unwrap().permissions().mode() & 0o7777];
    assert_eq!((spool.ending(".content").len(), spool.files().len()), (1, 1));
    drop(client);
    // Behind this line there is no other.
    server.line("smtp connection closed");
    let lines = filter_lines(&server, filter);
    assert!(server.stop().success());
    (replies, lines, modes)
}

#[test]
fn filter_copy_needs_no_process_where_it_is_a_link_to_the_server() {
    let program = Program::FilterCopy.path();
    let apart = copied_by(program, |args| Daemon::foreground(Program::Emailrelay.command(), args));
    assert!(apart.0[0].starts_with("452 "), "{:?}", apart.0);
    assert!(apart.0[1].starts_with("250 "), "{:?}", apart.0);

    let root = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let own = root.path().join("emailrelay");
    fs::copy(Program::Emailrelay.path(), &own).unwrap();
    let link = root.path().join("emailrelay-filter-copy");
    std::os::unix::fs::symlink("emailrelay", &link).unwrap();
    let start = |args: &[&str]| {
        let server = Daemon::foreground(Program::command_of(&own), args);
        // From now on nobody can start it.
        fs::set_permissions(&own, fs::Permissions::from_mode(0o644)).unwrap();
        server
    };
    assert_eq!(copied_by(link.to_str().unwrap(), start), apart);
}

#[test]
fn a_filter_copy_of_somebody_else_is_run() {
    let (spool, root) = (TempSpool::new(), tempfile::tempdir().unwrap());
    let script = root.path().join("emailrelay-filter-copy");
    fs::write(&script, "#!/bin/sh\nexit 0\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let server = Daemon::server(&spool, &["--filter", script.to_str().unwrap()]);
    let mut client = SmtpClient::connect(server.address());
    client.send("a@example.com", &["b@example.net"], CONTENT);
    assert_eq!(spool.ready().len(), 1);
}

#[test]
fn a_server_runs_them_as_filters() {
    for program in [Program::FilterCopy, Program::Multicast] {
        let spool = TempSpool::new();
        let server = Daemon::server(&spool, &["--filter", program.path()]);
        let mut client = SmtpClient::connect(server.address());
        let refused = client.try_send("a@example.com", &["b@example.net"], CONTENT).unwrap();
        let copied = spool.path().join("alice");
        fs::create_dir(&copied).unwrap();
        fs::set_permissions(&copied, fs::Permissions::from_mode(0o2770)).unwrap();
        if matches!(program, Program::FilterCopy) {
            assert_eq!((refused.code, spool.files().len()), (452, 0));
        }
        client.send("a@example.com", &["b@example.net"], CONTENT);
        assert_eq!(inside(&spool, "alice").iter().filter(|name| name.ends_with(".envelope")).count(), 1);
        drop(client);
        assert!(server.stop().success());
    }
}
