//! Mailboxes through the server: `copy:`, `deliver:`, `split:` and `msgid:`, read back by other programs.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::support::client::SmtpClient;
use crate::support::daemon::Daemon;
use crate::support::dice::Dice;
use crate::support::need::{self, require};
use crate::support::spool::{self, TempSpool};

const CONTENT: &[u8] = b"From: a@example.com\r\nSubject: for mailboxes\r\n\r\nhello\r\n";

/// Makes every recipient at `here` a local one, by the local part.
const VERIFIER: &str = "#!/bin/sh
case \"$1\" in
*@here) printf 'Name\\n%s\\n' \"${1%@*}\"; exit 0;;
*) printf 'x\\n%s\\n' \"$1\"; exit 1;;
esac
";

struct Setting {
    spool: TempSpool,
    dir: TempDir,
}

impl Setting {
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("emailrelay-mailboxes.").tempdir().unwrap();
        let verifier = dir.path().join("verify.sh");
        fs::write(&verifier, VERIFIER).unwrap();
        fs::set_permissions(&verifier, fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(dir.path().join("in")).unwrap();
        Self { spool: TempSpool::new(), dir }
    }

    /// Where mail is delivered.
    fn mail(&self) -> PathBuf {
        self.dir.path().join("in")
    }

    fn mailbox(&self, name: &str) -> PathBuf {
        self.mail().join(name)
    }

    fn server(&self, filter: &str) -> Daemon {
        let (verifier, mail) = (self.dir.path().join("verify.sh"), self.mail());
        let (verifier, mail) = (verifier.to_str().unwrap(), mail.to_str().unwrap());
        Daemon::server(
            &self.spool,
            &[
                "--anonymous=content",
                "--filter",
                filter,
                "--address-verifier",
                verifier,
                "--delivery-dir",
                mail,
            ],
        )
    }
}

fn make_maildir(path: &Path) {
    for part in ["tmp", "new", "cur"] {
        fs::create_dir_all(path.join(part)).unwrap();
    }
}

fn count(path: &Path) -> usize {
    fs::read_dir(path).map_or(0, Iterator::count)
}

#[test]
fn local_recipients_get_the_message_and_remote_ones_stay_in_the_queue() {
    let setting = Setting::new();
    make_maildir(&setting.mailbox("ann"));
    let server = setting.server("deliver:");
    let mut client = SmtpClient::connect(server.address());
    client.send("a@example.com", &["ann@here", "bob@here", "c@there"], CONTENT);
    server.line("delivery: creating mailbox [bob]");
    server.line("delivery: recipient [ann]: delivery to mailbox [ann]");
    let queued = setting.spool.ready();
    let envelope = setting.spool.envelope(&queued[0]);
    assert_eq!((envelope.all("To-Local"), envelope.all("To-Remote")), (vec!["ann", "bob"], vec!["c@there"]));
    assert_eq!(envelope.all("Delivered"), ["ann", "bob"]);
    assert_eq!(
        spool::list(&setting.mailbox("bob")),
        [queued[0].replace(".envelope", ".content"), queued[0].clone()]
    );
    let new = spool::list(&setting.mailbox("ann/new"));
    assert_eq!(fs::read(setting.mailbox("ann/new").join(&new[0])).unwrap(), CONTENT);
    // Nobody else: the message is delivered, and gone from here.
    client.send("a@example.com", &["bob@here"], CONTENT);
    assert_eq!(setting.spool.files().len(), 2);
    assert_eq!(count(&setting.mailbox("bob")), 4);
}

#[test]
fn a_maildir_is_read_by_dovecot() {
    require!(need::program("doveadm"));
    require!(need::root());
    let setting = Setting::new();
    make_maildir(&setting.mailbox("ann"));
    let server = setting.server("deliver:");
    SmtpClient::connect(server.address()).send("a@example.com", &["ann@here"], CONTENT);
    let maildir = setting.mailbox("ann");
    let owner = |path: &Path| std::os::unix::fs::chown(path, Some(12345), Some(12345)).unwrap();
    for part in ["", "tmp", "cur", "new"] {
        owner(&maildir.join(part));
    }
    for name in spool::list(&maildir.join("new")) {
        owner(&maildir.join("new").join(name));
    }
    for above in [setting.dir.path(), &setting.mail()] {
        fs::set_permissions(above, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let config = setting.dir.path().join("dovecot.conf");
    let text = format!(
        "log_path = /dev/stderr\nmail_location = maildir:{}\nmail_uid = 12345\nmail_gid = 12345\nfirst_valid_uid = 1\nssl = no\n",
        maildir.display()
    );
    fs::write(&config, text).unwrap();
    let output = Command::new("doveadm")
        .env("USER", "ann")
        .env("HOME", &maildir)
        .arg("-c")
        .arg(&config)
        .args(["fetch", "hdr.subject body", "all"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("hdr.subject: for mailboxes") && text.contains("hello"), "{output:?}");
}

#[test]
fn copies_go_to_all_sub_directories() {
    let setting = Setting::new();
    for name in ["ann", "bob", "postmaster", ".hidden"] {
        fs::create_dir(setting.spool.path().join(name)).unwrap();
    }
    for (filter, content, original) in
        [("copy:", true, 0), ("copy:hardlink;nodelete", true, 2), ("copy:pop", false, 1)]
    {
        let server = setting.server(filter);
        SmtpClient::connect(server.address()).send("a@example.com", &["c@there"], CONTENT);
        server.line(" copied to [ann,bob] not [.hidden,postmaster]");
        let files = setting.spool.files();
        let files: Vec<_> = files.iter().filter(|name| name.starts_with("emailrelay.")).collect();
        assert_eq!(files.len(), original, "{filter}: {files:?}");
        for name in ["ann", "bob"] {
            let mailbox = setting.spool.path().join(name);
            assert_eq!(count(&mailbox), if content { 2 } else { 1 }, "{filter}");
            spool::list(&mailbox).iter().for_each(|file| fs::remove_file(mailbox.join(file)).unwrap());
        }
        assert_eq!(count(&setting.spool.path().join("postmaster")), 0);
        files.iter().for_each(|file| fs::remove_file(setting.spool.path().join(file)).unwrap());
    }
}

#[test]
fn a_later_refusal_takes_everything_back() {
    let setting = Setting::new();
    fs::create_dir(setting.mailbox("ann")).unwrap();
    fs::create_dir(setting.spool.path().join("box")).unwrap();
    let server = setting.server("deliver:nodelete,copy:nodelete,split:,exit:5");
    let reply = SmtpClient::connect(server.address())
        .try_send("a@example.com", &["ann@here", "b@one.net", "c@two.net"], CONTENT)
        .unwrap();
    assert_eq!((reply.code, reply.lines.join("")), (452, "rejected".to_owned()));
    assert!(server.stop().success());
    for place in [setting.mailbox("ann"), setting.spool.path().join("box")] {
        assert_eq!(count(&place), 0, "{}", place.display());
    }
    assert!(setting.spool.ending(".content").is_empty() && setting.spool.ready().is_empty());
}

#[test]
fn hostile_mailboxes_are_refused_and_full_ones_are_temporary() {
    require!(need::root());
    let setting = Setting::new();
    fs::create_dir(setting.mailbox("ann")).unwrap();
    fs::create_dir(setting.mailbox("full")).unwrap();
    std::os::unix::fs::symlink(setting.dir.path(), setting.mailbox("link")).unwrap();
    let server = setting.server("deliver:");
    let mut client = SmtpClient::connect(server.address());
    client.command("MAIL FROM:<a@example.com>");
    for name in ["..", ".", "../up", "a/b", ".x", "tmp"] {
        assert_eq!(client.command(&format!("RCPT TO:<{name}@here>")).code, 451, "{name}");
    }
    client.command("RSET");
    let full = setting.mailbox("full");
    let mounted =
        Command::new("mount").args(["-t", "tmpfs", "-o", "size=4k,nr_inodes=1", "none"]).arg(&full).status();
    assert!(mounted.unwrap().success());
    let replies: Vec<_> = ["full@here", "link@here"]
        .map(|other| client.try_send("a@example.com", &["ann@here", other], CONTENT).unwrap().code)
        .to_vec();
    assert!(Command::new("umount").arg(&full).status().unwrap().success());
    assert_eq!(replies, [452, 452]);
    assert!(server.stop().success());
    assert_eq!(count(&setting.mailbox("ann")), 0);
    assert!(setting.spool.ready().is_empty() && setting.spool.ending(".content").is_empty());
    assert_eq!(count(setting.dir.path()), 2, "nothing was written through the link");
}

#[test]
fn a_message_is_split_by_domains() {
    let setting = Setting::new();
    let server = setting.server("split:2525");
    let recipients = ["x@b.net", "y@A.net", "ann@here", "z@a.net"];
    SmtpClient::connect(server.address()).send("a@example.com", &recipients, CONTENT);
    let ready = setting.spool.ready();
    assert_eq!(ready.len(), 2, "{ready:?}");
    let envelopes: Vec<_> = ready.iter().map(|name| setting.spool.envelope(name)).collect();
    let first = envelopes.iter().find(|envelope| envelope.first("ForwardTo") == "A.net:2525").unwrap();
    let second = envelopes.iter().find(|envelope| envelope.first("ForwardTo") == "b.net:2525").unwrap();
    assert_eq!((first.all("To-Local"), first.all("To-Remote")), (vec!["ann"], vec!["y@A.net", "z@a.net"]));
    assert_eq!((second.all("To-Local"), second.all("To-Remote")), (vec![], vec!["x@b.net"]));
    for (name, envelope) in ready.iter().zip(&envelopes) {
        assert_eq!(envelope.first("SplitGroupCount"), "2");
        assert_eq!(envelope.all("SplitGroup").len(), 2);
        assert_eq!(setting.spool.content(name), CONTENT);
    }
}

#[test]
fn a_missing_message_id_is_added_in_front() {
    let setting = Setting::new();
    let server = setting.server("msgid:date;from");
    let mut client = SmtpClient::connect(server.address());
    client.send("a@example.com", &["b@there"], b"Subject: x\r\n\r\nMessage-ID: <not@this>\r\n");
    let content = String::from_utf8(setting.spool.content(&setting.spool.ready()[0])).unwrap();
    let lines: Vec<_> = content.lines().collect();
    assert!(lines[0].starts_with("Message-ID: <") && lines[0].ends_with('>'), "{content}");
    assert!(lines[1].starts_with("Date: ") && lines[2] == "From: <a@example.com>", "{content}");
    assert_eq!(lines[3..], ["Subject: x", "", "Message-ID: <not@this>"]);
}

/// Clients send, the server dies at any moment and starts again: what was acknowledged is in the mailbox, and nothing in
/// any mailbox is half a message.
#[test]
fn what_was_acknowledged_survives_kills() {
    let setting = Setting::new();
    make_maildir(&setting.mailbox("ann"));
    let mut dice = Dice::new(8);
    let mut acknowledged = Vec::new();
    for round in 0..12 {
        let server = setting.server("deliver:");
        let address = server.address();
        let sender = thread::spawn(move || {
            let mut sent = Vec::new();
            for number in 0.. {
                let mark = format!("mark-{round}-{number}-end");
                let content = format!("Subject: {mark}\r\n\r\n{}\r\n", "x".repeat(20_000));
                let Ok(mut client) = SmtpClient::try_connect(address) else { break };
                let reply = client.try_command("EHLO x").and_then(|_| {
                    client.try_send("a@example.com", &["ann@here", "bob@here"], content.as_bytes())
                });
                match reply {
                    Ok(reply) if reply.code == 250 => sent.push(mark),
                    Ok(_) => {}
                    Err(_) => break,
                }
            }
            sent
        });
        thread::sleep(Duration::from_millis(dice.between(20, 400)));
        server.crash();
        acknowledged.extend(sender.join().unwrap());
    }
    let ann: Vec<String> = contents(&setting.mailbox("ann/new"), "");
    let bob = contents(&setting.mailbox("bob"), ".content");
    for mark in &acknowledged {
        for (name, mailbox) in [("ann", &ann), ("bob", &bob)] {
            assert!(mailbox.iter().any(|text| text.contains(mark)), "{name} has not got {mark}");
        }
    }
    for text in &ann {
        assert!(text.len() > 20_000 && text.ends_with("x\r\n"), "half a message of {} bytes", text.len());
    }
    for envelope in spool::list(&setting.mailbox("bob")).iter().filter(|name| name.ends_with(".envelope")) {
        let content = setting.mailbox("bob").join(envelope.replace(".envelope", ".content"));
        assert!(
            fs::metadata(&content).is_ok_and(|facts| facts.len() > 20_000),
            "{envelope} has no whole content"
        );
    }
}

fn contents(directory: &Path, suffix: &str) -> Vec<String> {
    let names = spool::list(directory).into_iter().filter(|name| name.ends_with(suffix));
    names.map(|name| fs::read_to_string(directory.join(name)).unwrap()).collect()
}
