//! `emailrelay-queue import-local`: what E-MailRelay up to 2.4 has set aside for local users.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::queue::{lock, python, queue};
use crate::support::daemon::{Daemon, Program};
use crate::support::hop::{Script, ScriptedHop};
use crate::support::need::{self, require};
use crate::support::spool::{self, TempSpool};
use crate::support::{PATIENCE, wait_for};

const ID: &str = "emailrelay.2345.123456.1";
const CONTENT: &str = "Subject: for local users\r\n\r\nhello\r\n";

/// As 1.x wrote it, for these users and one remote recipient.
fn plant(spool: &TempSpool, id: &str, users: &[&str]) {
    let local: String = users.iter().map(|user| format!("X-MailRelay-To-Local: {user}\r\n")).collect();
    let envelope = format!(
        "X-MailRelay-Format: #2821.3\r\nX-MailRelay-Content: 8bit\r\nX-MailRelay-From: a@example.com\r\n\
         X-MailRelay-ToCount: {}\r\n{local}X-MailRelay-To-Remote: x@remote.example\r\nX-MailRelay-Authentication: \r\n\
         X-MailRelay-Client: 10.0.0.1\r\nX-MailRelay-End: 1\r\n",
        users.len() + 1
    );
    fs::write(spool.path().join(format!("{id}.envelope.local")), envelope).unwrap();
    fs::write(spool.path().join(format!("{id}.content.local")), CONTENT).unwrap();
}

fn local_files(spool: &TempSpool) -> Vec<String> {
    spool.ending(".local")
}

#[test]
fn users_find_them_in_their_mailboxes() {
    require!(need::program("python3"));
    let spool = TempSpool::new();
    plant(&spool, ID, &["alice", "bob"]);
    // What is still to be sent to others goes its own way.
    spool.plant(ID, ".envelope", "a@example.com", &["x@remote.example"], "", CONTENT.as_bytes());
    let before = spool.files();
    let (code, text, _) = queue(&spool, &["import-local", "--dry-run"]);
    assert_eq!((code, text), (0, format!("{ID}: would go to alice, bob\n")));
    assert_eq!(spool.files(), before);
    assert_eq!(
        python(&spool, &["import-local"], "d"),
        format!(
            "{{'command': 'import-local', 'results': [{{'id': '{ID}', 'done': True, 'busy': False, 'error': None, 'to': ['alice', 'bob']}}]}}"
        )
    );
    assert_eq!(spool.files(), [format!("{ID}.content"), format!("{ID}.envelope")]);
    for user in ["alice", "bob"] {
        let folder = spool.path().join(user);
        let files = spool::list(&folder);
        let (content, envelope) = (&files[0], &files[1]);
        assert!(content.ends_with(".content") && envelope.ends_with(".envelope"), "{files:?}");
        assert_eq!(fs::read_to_string(folder.join(content)).unwrap(), CONTENT);
        let text = fs::read_to_string(folder.join(envelope)).unwrap();
        assert!(
            text.contains(&format!("X-MailRelay-To-Local: {user}\r\n")) && !text.contains("remote.example"),
            "{text}"
        );
    }
    assert_eq!(python(&spool, &["import-local"], "d['results']"), "[]");
}

#[test]
fn maildirs_elsewhere_take_them() {
    let spool = TempSpool::new();
    let mail = tempfile::tempdir().unwrap();
    plant(&spool, ID, &["alice", "bob"]);
    for folder in ["alice", "alice/tmp", "alice/new", "alice/cur"] {
        fs::create_dir(mail.path().join(folder)).unwrap();
    }
    let args = ["import-local", "--delivery-dir", mail.path().to_str().unwrap(), "-v"];
    let (code, text, stderr) = queue(&spool, &args);
    assert_eq!((code, text, stderr), (0, format!("{ID}: has gone to alice, bob\n"), String::new()));
    let new = spool::list(&mail.path().join("alice/new"));
    assert_eq!(fs::read_to_string(mail.path().join("alice/new").join(&new[0])).unwrap(), CONTENT);
    assert_eq!(spool::list(&mail.path().join("bob")).len(), 2);
    assert_eq!(spool.files(), Vec::<String>::new());
}

#[test]
fn they_are_sent_on_to_an_address() {
    let spool = TempSpool::new();
    plant(&spool, ID, &["alice", "bob"]);
    plant(&spool, "emailrelay.2345.123457.1", &["carol"]);
    assert_eq!(queue(&spool, &["import-local", "--to", "@mail.example.com"]).0, 0);
    assert_eq!(local_files(&spool), Vec::<String>::new());
    assert!(spool.path().join("forward.request").exists());
    let ready = spool.ready();
    let to = |name: &String| spool.envelope(name).all("To-Remote").join(" ");
    let mut recipients: Vec<String> = ready.iter().map(to).collect();
    recipients.sort();
    assert_eq!(recipients, ["alice@mail.example.com bob@mail.example.com", "carol@mail.example.com"]);
    assert_eq!(spool.envelope(&ready[0]).first("From"), "a@example.com");
    assert!(spool.envelope(&ready[0]).all("To-Local").is_empty());
    // A program that is started for it sends them.
    let hop = ScriptedHop::start(Script::well());
    plant(&spool, "emailrelay.2345.123458.1", &["dave"]);
    assert_eq!(queue(&spool, &["import-local", "--to", "postmaster@example.com"]).0, 0);
    let args = ["--spool-dir", spool.arg(), "--forward-to", &hop.arg(), "--forward"];
    assert_eq!(Daemon::spawn(Program::Forward, &args).wait().code(), Some(0));
    let delivered = hop.accepted();
    assert_eq!(delivered.len(), 3);
    assert!(delivered.iter().any(|one| one.rcpt == ["<postmaster@example.com>"]), "{delivered:?}");
    assert!(delivered.iter().all(|one| one.content == CONTENT.as_bytes()));
}

/// Where a command fails for one of the users, the others do not get it again.
#[test]
fn a_command_takes_them_user_by_user() {
    let spool = TempSpool::new();
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("deliver.sh");
    let text = "#!/bin/sh\ncd \"${0%/*}\" || exit 1\ntest ! -e \"fail-$2\" || exit 75\n{ echo \"$1 $2\"; cat; } >>\"box-$2\"\n";
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(dir.path().join("fail-bob"), "").unwrap();
    plant(&spool, ID, &["alice", "bob", "alice"]);
    let command = format!("{} -d", script.display());
    let args = ["import-local", "--command", &command];
    let (code, _, stderr) = queue(&spool, &args);
    assert_eq!(code, 74);
    assert_eq!(stderr, format!("emailrelay-queue: {ID}: deliver.sh: exit status: 75\n"));
    assert_eq!(local_files(&spool).len(), 2);
    fs::remove_file(dir.path().join("fail-bob")).unwrap();
    assert_eq!(queue(&spool, &args).0, 0);
    for user in ["alice", "bob"] {
        let got = fs::read_to_string(dir.path().join(format!("box-{user}"))).unwrap();
        assert_eq!(got, format!("-d {user}\n{CONTENT}"));
    }
    assert_eq!(local_files(&spool), Vec::<String>::new());
}

#[test]
fn what_cannot_be_imported_stays() {
    let spool = TempSpool::new();
    plant(&spool, "outside", &["../etc"]);
    plant(&spool, "nobody", &[]);
    plant(&spool, "cut", &["alice"]);
    fs::write(spool.path().join("cut.envelope.local"), "X-MailRelay-Format: #2821.3\r\n").unwrap();
    plant(&spool, "empty", &["alice"]);
    fs::remove_file(spool.path().join("empty.content.local")).unwrap();
    plant(&spool, "taken", &["alice"]);
    let before = local_files(&spool);
    let held = lock(&spool, "taken.envelope.local");
    let (code, _, stderr) = queue(&spool, &["import-local"]);
    assert_eq!(code, 75, "{stderr}");
    for line in [
        "emailrelay-queue: outside: delivery: cannot create delivery directory: invalid mailbox name: ../etc",
        "emailrelay-queue: nobody: it has no local recipients",
        "emailrelay-queue: cut: cannot read envelope file: expected \"X-MailRelay-From:\"",
        "emailrelay-queue: empty: cannot open content: message is gone",
        "emailrelay-queue: taken: another program is importing it",
    ] {
        assert!(stderr.lines().any(|have| have == line), "{line}: {stderr}");
    }
    assert_eq!(local_files(&spool), before);
    assert_eq!(spool.files(), before, "nothing half done is left");
    drop(held);
    assert_eq!(queue(&spool, &["import-local"]).0, 65);
    assert_eq!(spool::list(&spool.path().join("alice")).len(), 2);
    // An address that would break the protocol is none.
    let spool = TempSpool::new();
    plant(&spool, ID, &["a b"]);
    assert_eq!(queue(&spool, &["import-local", "--to", "@x.org"]).0, 65);
    assert_eq!(local_files(&spool).len(), 2);
}

#[test]
fn killed_at_any_time_it_delivers_twice_at_most_and_never_not_at_all() {
    const MESSAGES: usize = 40;
    let spool = TempSpool::new();
    for number in 1..=MESSAGES {
        plant(&spool, &format!("emailrelay.2345.123456.{number}"), &["alice"]);
        let content = format!("Subject: {number}\r\n\r\nhello\r\n");
        fs::write(spool.path().join(format!("emailrelay.2345.123456.{number}.content.local")), content)
            .unwrap();
    }
    let envelopes = || spool.ending(".envelope.local").len();
    let mut kills = 0;
    for left in [39, 33, 32, 20, 7] {
        let mut command = Program::Queue.command();
        let mut child = command.args(["import-local", "-s", spool.arg()]).spawn().unwrap();
        wait_for("imports", PATIENCE, || {
            (envelopes() <= left || child.try_wait().unwrap().is_some()).then_some(())
        });
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
    }
    assert_eq!(queue(&spool, &["import-local"]).0, 0);
    assert_eq!(envelopes(), 0);
    // Killed between the two files of a message, it leaves content that `check` tells of.
    let lone = local_files(&spool).len();
    assert!(lone <= kills, "{lone}");
    let (_, problems, _) = queue(&spool, &["check", "--stale-after", "0"]);
    assert_eq!(problems.matches(".content.local: belongs to no message").count(), lone, "{problems}");
    let mailbox = spool.path().join("alice");
    let files = spool::list(&mailbox);
    let envelopes = files.iter().filter(|name| name.ends_with(".envelope"));
    let contents: Vec<String> = envelopes
        .map(|name| fs::read_to_string(mailbox.join(name.replace(".envelope", ".content"))).unwrap())
        .collect();
    for number in 1..=MESSAGES {
        let content = format!("Subject: {number}\r\n\r\nhello\r\n");
        assert!(contents.contains(&content), "{number} is lost");
    }
    assert!(contents.len() <= MESSAGES + kills, "{}", contents.len());
}
