//! `emailrelay-queue`: every command on messages in every state, as text and as JSON that another program reads.

use std::fs::{self, File};
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use crate::support::daemon::Program;
use crate::support::need::{self, require};
use crate::support::spool::{self, TempSpool};

const CONTENT: &[u8] = b"Subject: x\r\nX-Evil: \x1b[2J\r\n\r\nHello\r\n";
const REASON: &str = "X-MailRelay-Reason: no such user\r\nX-MailRelay-ReasonCode: 550\r\n";

/// A message in this state from a to b.
fn plant(spool: &TempSpool, id: &str, suffix: &str, trailer: &str) {
    spool.plant(id, suffix, "a@example.com", &["b@example.net"], trailer, CONTENT);
}

/// Our id for the nth message.
fn id(number: usize) -> String {
    format!("emailrelay.77.1795170755.{number}")
}

/// Exit code, standard output and standard error.
pub(crate) fn queue(spool: &TempSpool, args: &[&str]) -> (i32, String, String) {
    let (code, stdout, stderr) = Program::Queue.run(&[args, &["-s", spool.arg()]].concat());
    (code.unwrap(), stdout, stderr)
}

/// What the JSON that a command prints gives in an expression of Python, where it is `d`.
pub(crate) fn python(spool: &TempSpool, args: &[&str], expression: &str) -> String {
    let (_, json, _) = queue(spool, &[args, &["--json"]].concat());
    evaluate(&json, expression)
}

fn evaluate(json: &str, expression: &str) -> String {
    let script = format!("import json,sys\nd = json.load(sys.stdin)\nprint(({expression}))");
    let mut python = Command::new("python3");
    python
        .args(["-c", &script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .env("PYTHONIOENCODING", "utf-8");
    let mut child = python.spawn().unwrap();
    child.stdin.take().unwrap().write_all(json.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{json}");
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

/// Locks a file as its owner does, until the value is dropped.
pub(crate) fn lock(spool: &TempSpool, name: &str) -> File {
    let file = File::options().read(true).write(true).open(spool.path().join(name)).unwrap();
    let whole = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    fcntl(&file, FcntlArg::F_OFD_SETLK(&whole)).unwrap();
    file
}

#[test]
fn every_state_is_listed_oldest_first() {
    require!(need::program("python3"));
    let spool = TempSpool::new();
    let later = "X-MailRelay-FirstTry: 1795170755\r\nX-MailRelay-Attempts: 3\r\nX-MailRelay-NextAttempt: 99999999999\r\n\
                 X-MailRelay-Reason: try later\r\nX-MailRelay-ReasonCode: 451\r\n";
    plant(&spool, &id(10), ".envelope", "");
    plant(&spool, &id(9), ".envelope", later);
    plant(&spool, &id(8), ".envelope.hold", "");
    plant(&spool, &id(7), ".envelope.busy", "");
    plant(&spool, &id(6), ".envelope.bad", REASON);
    plant(&spool, &id(5), ".envelope.new", "");
    fs::write(spool.path().join(format!("{}.envelope", id(4))), "rubbish\r\n").unwrap();
    spool.plant(&id(3), ".envelope", "", &["b@example.net", "c@example.net"], "", CONTENT);
    let states = python(&spool, &["list"], "[(m['id'].split('.')[3], m['state']) for m in d['messages']]");
    assert_eq!(
        states,
        "[('3', 'ready'), ('4', 'ready'), ('5', 'new'), ('6', 'failed'), ('7', 'busy'), ('8', 'held'), ('9', 'ready'), ('10', 'ready')]"
    );
    let fields = "{k: v for k, v in d['messages'][6].items() if k != 'age'}";
    assert_eq!(
        python(&spool, &["list"], fields),
        format!(
            "{{'id': '{}', 'state': 'ready', 'size': {}, 'arrived': 1795170755, 'sender': 'a@example.com', \
             'recipients': ['b@example.net'], 'mailboxes': [], 'attempts': 3, 'next_attempt': 99999999999, \
             'reason': 'try later', 'reason_code': 451, 'error': None}}",
            id(9),
            CONTENT.len()
        )
    );
    let damaged =
        "d['command'], d['messages'][1]['sender'], d['messages'][1]['size'], d['messages'][1]['error']";
    assert_eq!(
        python(&spool, &["list"], damaged),
        "('list', None, None, 'cannot read envelope file: expected \"X-MailRelay-Format:\"')"
    );
    let (code, text, _) = queue(&spool, &["list", "--state", "ready,failed"]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((code, lines.len()), (0, 8), "{text}");
    let row = |at: usize| lines[at].split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(row(0), "ID STATE SIZE AGE SENDER -> RECIPIENTS");
    assert!(row(1).starts_with(&format!("{} ready {} ", id(3), CONTENT.len())), "{text}");
    assert!(row(1).ends_with("<> -> b@example.net and 1 more"), "{text}");
    assert!(
        row(2).contains(" ready - ")
            && row(2).ends_with("? cannot read envelope file: expected \"X-MailRelay-Format:\"")
    );
    assert_eq!(row(4), "(550 no such user)");
    assert!(row(6).starts_with("(451 try later; again in "), "{text}");
    let (_, ids, _) = queue(&spool, &["list", "--ids", "--state=held,busy"]);
    assert_eq!(ids, format!("{}\n{}\n", id(7), id(8)));
    // Nothing is nothing, also in JSON.
    let empty = TempSpool::new();
    assert_eq!(queue(&empty, &["list"]), (0, String::new(), String::new()));
    assert_eq!(python(&empty, &["list"], "d"), "{'command': 'list', 'messages': []}");
}

#[test]
fn hostile_text_moves_nothing_on_a_terminal() {
    require!(need::program("python3"));
    let spool = TempSpool::new();
    let evil = "evil\u{1b}]0;x\u{7}\nid";
    let sender = "\u{1b}[31ma\u{202e}\u{9b}1m@ex\u{e9}mple.com";
    let reason = "X-MailRelay-Reason: \x1b[2Jno\x07\r\nX-MailRelay-ReasonCode: 550\r\n";
    spool.plant(evil, ".envelope.bad", sender, &["b\u{200b}@example.net\u{8}"], reason, CONTENT);
    let calm = |text: &str| {
        let bad = text.chars().find(|c| (c.is_control() && *c != '\n') || "\u{202e}\u{200b}".contains(*c));
        assert_eq!(bad, None, "{text:?}");
    };
    let (_, text, _) = queue(&spool, &["list"]);
    calm(&text);
    assert_eq!(text.lines().count(), 3, "{text}");
    assert!(
        text.contains("\\x1b[31ma\\u{202e}\\u{9b}1m@ex\u{e9}mple.com -> b\\u{200b}@example.net\\x08"),
        "{text}"
    );
    for args in [
        &["show", evil][..],
        &["check"],
        &["retry", "-v", evil],
        &["hold", evil],
        &["delete", "-v", "\u{1b}[2J"],
    ] {
        let (_, stdout, stderr) = queue(&spool, args);
        calm(&stdout);
        calm(&stderr);
    }
    // To programs it is told as it is.
    let told =
        python(&spool, &["list"], "[ascii(d['messages'][0][k]) for k in ('id', 'sender', 'recipients')]");
    assert!(told.contains(r"\\x1b[31ma\\u202e\\x9b1m@ex\\xe9mple.com"), "{told}");
    assert!(told.contains(r"evil\\x1b]0;x\\x07\\nid"), "{told}");
    let (_, text, _) = Program::Queue.run(&["list", "--json", "-s", spool.arg()]);
    assert_eq!(text.lines().count(), 3, "one message is one line: {text:?}");
    // As mailq it is the same danger.
    queue(&spool, &["release", evil]);
    let mailq = Command::new("sh")
        .args(["-c", "exec -a mailq \"$0\" -s \"$1\" 2>/dev/null", Program::Submit.path(), spool.arg()])
        .output()
        .unwrap();
    calm(&String::from_utf8_lossy(&mailq.stdout));
}

/// Written by 2.6, and by older ones.
#[test]
fn envelopes_of_all_versions_are_shown() {
    require!(need::program("python3"));
    let spool = TempSpool::new();
    let file =
        |name: &str, text: &str| fs::write(spool.path().join(name), text.replace('\n', "\r\n")).unwrap();
    file(
        "emailrelay.24456.1795170755.1.envelope.bad",
        "X-MailRelay-Format: #2821.8\nX-MailRelay-Content: 8bit\nX-MailRelay-From: a@example.com\nX-MailRelay-ToCount: 2\n\
         X-MailRelay-To-Local: al\nX-MailRelay-To-Remote: x@remote.example\nX-MailRelay-Authentication: bob\n\
         X-MailRelay-Client: 127.0.0.1\nX-MailRelay-ClientCertificate: -----BEGIN CERTIFICATE-----\n MIIDCTCCAfGg\n \
         -----END CERTIFICATE-----\nX-MailRelay-MailFromAuthIn: <>\nX-MailRelay-MailFromAuthOut: \nX-MailRelay-ForwardTo: \n\
         X-MailRelay-ForwardToAddress: \nX-MailRelay-ClientAccountSelector: \nX-MailRelay-Utf8MailboxNames: 0\n\
         X-MailRelay-End: 1\nX-MailRelay-Reason: no mail\nX-MailRelay-ReasonCode: 550\n",
    );
    file("emailrelay.24456.1795170755.1.content", "Received: from x\nSubject: s\n folded\n\nbody\n");
    // The times of 1.x have six digits.
    file(
        "emailrelay.2345.123456.1.envelope",
        "X-MailRelay-Format: #2821.3\nX-MailRelay-Content: 8bit\nX-MailRelay-From: old@example.com\nX-MailRelay-ToCount: 1\n\
         X-MailRelay-To-Remote: b@example.net\nX-MailRelay-Authentication: \nX-MailRelay-Client: 10.0.0.1\nX-MailRelay-End: 1\n",
    );
    file("emailrelay.2345.123456.1.content", "x\n");
    let old =
        File::options().write(true).open(spool.path().join("emailrelay.2345.123456.1.envelope")).unwrap();
    old.set_modified(SystemTime::now() - Duration::from_secs(7260)).unwrap();
    let (_, text, _) = queue(&spool, &["list"]);
    let first = text.lines().nth(1).unwrap();
    assert!(
        first.starts_with("emailrelay.2345.123456.1 ") && first.contains(" 2h  old@example.com -> b@"),
        "{text}"
    );
    assert!(text.contains("a@example.com -> mailbox al and 1 more\n    (550 no mail)\n"), "{text}");
    let new = "emailrelay.24456.1795170755.1";
    let (code, text, _) = queue(&spool, &["show", new]);
    assert_eq!(code, 0);
    for line in [
        &format!("Id: {new}"),
        "From: a@example.com",
        "To-Local: al",
        "Reason: no mail",
        "State: failed",
        "Subject: s",
    ] {
        assert!(text.lines().any(|have| have == line), "{line}: {text}");
    }
    assert!(!text.contains("body"), "{text}");
    let envelope = "[d['messages'][0]['envelope'][k] for k in ('From', 'To-Local', 'To-Remote', 'ClientCertificate', 'Trailer')]";
    assert_eq!(
        python(&spool, &["show", new], envelope),
        "['a@example.com', ['al'], ['x@remote.example'], \
         '-----BEGIN CERTIFICATE-----\\nMIIDCTCCAfGg\\n-----END CERTIFICATE-----', \
         ['X-MailRelay-Reason: no mail', 'X-MailRelay-ReasonCode: 550']]"
    );
    let more = "d['command'], d['messages'][0]['header'], d['messages'][0]['reason_code']";
    assert_eq!(
        python(&spool, &["show", new], more),
        "('show', ['Received: from x', 'Subject: s', ' folded'], 550)"
    );
    // What 2.6 has left is used as our own.
    assert_eq!(queue(&spool, &["retry", new]).0, 0);
    assert_eq!(queue(&spool, &["fail", "emailrelay.2345.123456.1", "--reason", "too old"]).0, 0);
    assert_eq!(spool.envelope("emailrelay.2345.123456.1.envelope.bad").first("Reason"), "too old");
    assert_eq!(spool.ready(), [format!("{new}.envelope")]);
}

#[test]
fn messages_are_moved_from_state_to_state() {
    require!(need::program("python3"));
    let spool = TempSpool::new();
    plant(&spool, "one", ".envelope", "");
    plant(&spool, "two", ".envelope.bad", REASON);
    let names = |names: &[&str]| {
        let mut files: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        files.sort();
        files
    };
    let quiet = (0, String::new(), String::new());
    assert_eq!(queue(&spool, &["hold", "one", "two"]), quiet);
    assert_eq!(
        spool.files(),
        names(&["one.content", "one.envelope.hold", "two.content", "two.envelope.hold"])
    );
    assert_eq!(queue(&spool, &["hold", "one", "--verbose"]), (0, "one: held\n".to_owned(), String::new()));
    assert_eq!(
        queue(&spool, &["fail", "one"]),
        (65, String::new(), "emailrelay-queue: one: message is not ready\n".to_owned())
    );
    assert_eq!(queue(&spool, &["release", "one", "two"]), quiet);
    assert!(spool.path().join("forward.request").exists(), "released messages are to be sent");
    fs::remove_file(spool.path().join("forward.request")).unwrap();
    let (code, _, stderr) = queue(&spool, &["release", "one"]);
    assert_eq!((code, stderr.as_str()), (65, "emailrelay-queue: one: message is not held\n"));
    assert_eq!(queue(&spool, &["fail", "two", "-r", "not wanted"]), quiet);
    assert_eq!(spool.envelope("two.envelope.bad").all("Reason"), ["no such user", "not wanted"]);
    assert!(!spool.path().join("forward.request").exists());
    // Due now: the time of the next attempt is over, failed ones wait again.
    plant(
        &spool,
        "three",
        ".envelope",
        "X-MailRelay-NextAttempt: 99999999999\r\nX-MailRelay-Reason: later\r\nX-MailRelay-ReasonCode: 450\r\n",
    );
    let told = python(&spool, &["retry", "two", "three", "four"], "d");
    assert_eq!(
        told,
        "{'command': 'retry', 'results': [{'id': 'two', 'done': True, 'busy': False, 'error': None}, \
         {'id': 'three', 'done': True, 'busy': False, 'error': None}, \
         {'id': 'four', 'done': False, 'busy': False, 'error': 'no such message'}]}"
    );
    assert_eq!(spool.ready(), names(&["one.envelope", "three.envelope", "two.envelope"]));
    assert_eq!(spool.envelope("three.envelope").first("NextAttempt"), "0");
    assert_eq!(spool.envelope("three.envelope").first("Reason"), "later");
    assert!(spool.path().join("forward.request").exists());
    assert_eq!(queue(&spool, &["delete", "one", "two", "three"]), quiet);
    assert_eq!(spool.files(), ["forward.request"]);
    // Nothing takes the place of something else.
    plant(&spool, "both", ".envelope", "");
    plant(&spool, "both", ".envelope.bad", REASON);
    let (code, _, stderr) = queue(&spool, &["retry", "both"]);
    assert_eq!(
        (code, stderr.as_str()),
        (65, "emailrelay-queue: both: message exists already in that state\n")
    );
    let states = "[(m['id'], m['state']) for m in d['messages']]";
    assert_eq!(python(&spool, &["list"], states), "[('both', 'ready'), ('both', 'failed')]");
}

#[test]
fn ids_come_from_standard_input_too() {
    let spool = TempSpool::new();
    for number in 1..=3 {
        plant(&spool, &id(number), ".envelope.bad", REASON);
    }
    plant(&spool, "stays", ".envelope", "");
    let line = "\"$0\" list --ids --state failed -s \"$1\" | \"$0\" delete -v - -s \"$1\"";
    let output = Command::new("sh").args(["-c", line, Program::Queue.path(), spool.arg()]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said, format!("{}: deleted\n{}: deleted\n{}: deleted\n", id(1), id(2), id(3)));
    assert_eq!(spool.files(), ["stays.content", "stays.envelope"]);
}

/// Whoever holds a message says so with a lock; it may be a forwarder, or one who reports failures.
#[test]
fn what_a_live_process_holds_is_not_touched() {
    require!(need::program("python3"));
    for (name, suffix) in [
        ("sent", ".envelope.busy"),
        ("taken", ".envelope"),
        ("told", ".envelope.bad"),
        ("new", ".envelope.new"),
    ] {
        let spool = TempSpool::new();
        plant(&spool, name, suffix, REASON);
        let files = spool.files();
        let envelope = format!("{name}{suffix}");
        let text = fs::read(spool.path().join(&envelope)).unwrap();
        let held = lock(&spool, &envelope);
        for verb in ["hold", "release", "retry", "fail", "delete"] {
            let (code, stdout, stderr) = queue(&spool, &[verb, name, "--stale-after", "0"]);
            assert_eq!((code, stdout.as_str()), (75, ""), "{verb} {envelope}");
            assert_eq!(stderr, format!("emailrelay-queue: {name}: message is busy\n"), "{verb} {envelope}");
            assert_eq!(spool.files(), files, "{verb} {envelope}");
        }
        assert_eq!(fs::read(spool.path().join(&envelope)).unwrap(), text);
        let told = python(&spool, &["delete", name], "d['results'][0]['busy'], d['results'][0]['done']");
        assert_eq!(told, "(True, False)");
        drop(held);
        if suffix != ".envelope.new" {
            assert_eq!(queue(&spool, &["delete", name, "--stale-after", "0"]).0, 0, "{envelope}");
            assert_eq!(spool.files(), Vec::<String>::new());
        }
    }
}

#[test]
fn what_was_left_behind_is_taken_back_after_a_time() {
    let spool = TempSpool::new();
    plant(&spool, "left", ".envelope.busy", "");
    // It may belong to E-MailRelay 2.6, which locks nothing.
    assert_eq!(queue(&spool, &["retry", "left"]).0, 75);
    assert_eq!(queue(&spool, &["check"]).0, 0);
    assert_eq!(spool.busy(), ["left.envelope.busy"]);
    let (code, stdout, _) = queue(&spool, &["check", "--stale-after", "0"]);
    assert_eq!(code, 1);
    assert!(stdout.starts_with("stale-busy          left.envelope.busy: held by nobody for "), "{stdout}");
    assert_eq!(queue(&spool, &["retry", "left", "--stale-after", "0"]).0, 0);
    assert_eq!(spool.ready(), ["left.envelope"]);
    plant(&spool, "left", ".envelope.busy", "");
    fs::remove_file(spool.path().join("left.envelope")).unwrap();
    assert_eq!(queue(&spool, &["hold", "left", "--stale-after=0s"]).0, 0);
    assert_eq!(spool.ending(".hold"), ["left.envelope.hold"]);
}

#[test]
fn check_finds_what_is_wrong() {
    require!(need::program("python3"));
    let spool = TempSpool::new();
    plant(&spool, "good", ".envelope", "");
    plant(&spool, "kept", ".envelope.hold", "");
    assert_eq!(queue(&spool, &["check", "--stale-after", "0"]), (0, String::new(), String::new()));
    assert_eq!(queue(&spool, &["check", "-v"]).1, "nothing is wrong\n");
    assert_eq!(python(&spool, &["check"], "d"), "{'command': 'check', 'problems': []}");
    let file = |name: &str, text: &str| fs::write(spool.path().join(name), text).unwrap();
    file("orphan.content", "Subject: lost\r\n\r\n");
    file("cut.envelope.new", "X-MailRelay-Format: #2821.8\r\n");
    file("cut.content", "");
    file("damaged.envelope.bad", "X-MailRelay-Format: #2821.9\r\n");
    file("damaged.content", "");
    fs::create_dir(spool.path().join("dir.envelope")).unwrap();
    plant(&spool, "gone", ".envelope", "");
    fs::remove_file(spool.path().join("gone.content")).unwrap();
    plant(&spool, "busy", ".envelope.busy", "");
    file("emailrelay.1.2.3.envelope.local", "X-MailRelay-Format: #2821.3\r\n");
    file("emailrelay.1.2.3.content.local", "");
    file("emailrelay.1.2.4.content.local", "");
    fs::create_dir(spool.path().join("alice")).unwrap();
    file("alice/emailrelay.7.1795170755.1.content", "");
    let before = (spool.files(), spool::list(&spool.path().join("alice")));
    let found = python(
        &spool,
        &["check", "--stale-after", "0"],
        "'\\n'.join(sorted(p['kind'] + ' ' + p['file'] + ' ' + str(p['id']) for p in d['problems']))",
    );
    let expected = [
        "local-message emailrelay.1.2.3.envelope.local emailrelay.1.2.3",
        "missing-content gone.envelope gone",
        "orphan alice/emailrelay.7.1795170755.1.content None",
        "orphan cut.envelope.new None",
        "orphan emailrelay.1.2.4.content.local None",
        "orphan orphan.content None",
        "stale-busy busy.envelope.busy busy",
        "unreadable-envelope damaged.envelope.bad damaged",
        "unreadable-envelope dir.envelope dir",
    ];
    assert_eq!(found.lines().collect::<Vec<_>>(), expected);
    let (code, text, _) = queue(&spool, &["check"]);
    assert_eq!(code, 1);
    assert_eq!(text.lines().count(), 4, "what is young may have an owner: {text}");
    assert!(text.contains(
        "unreadable-envelope damaged.envelope.bad: cannot read envelope file: unknown format id: #2821.9\n"
    ));
    assert_eq!((spool.files(), spool::list(&spool.path().join("alice"))), before);
    // What has an owner is in order.
    let locks =
        [lock(&spool, "busy.envelope.busy"), lock(&spool, "cut.content"), lock(&spool, "orphan.content")];
    let (_, text, _) = queue(&spool, &["check", "--stale-after", "0"]);
    assert!(!["stale-busy", "cut.", "orphan.content"].iter().any(|word| text.contains(word)), "{text}");
    drop(locks);
}

/// As `copy:pop` leaves them: envelopes in the mailboxes, the content above.
#[test]
fn mailboxes_are_spools_as_well() {
    require!(need::program("python3"));
    let spool = TempSpool::new();
    plant(&spool, "mail", ".envelope", "");
    let envelope = fs::read(spool.path().join("mail.envelope")).unwrap();
    fs::remove_file(spool.path().join("mail.envelope")).unwrap();
    for folder in ["alice", "bob"] {
        fs::create_dir(spool.path().join(folder)).unwrap();
        fs::write(spool.path().join(folder).join("mail.envelope"), &envelope).unwrap();
    }
    fs::write(spool.path().join("bob/own.envelope"), &envelope).unwrap();
    fs::write(spool.path().join("bob/own.content"), CONTENT).unwrap();
    let inside = |folder: &str, args: &[&str]| {
        let path = spool.path().join(folder);
        Program::Queue.run(&[args, &["-s", path.to_str().unwrap()]].concat())
    };
    assert_eq!(queue(&spool, &["list"]).1, "");
    let (_, json, _) = inside("alice", &["list", "--json"]);
    let sizes = "[(m['id'], m['size'], m['state']) for m in d['messages']]";
    assert_eq!(evaluate(&json, sizes), format!("[('mail', {}, 'ready')]", CONTENT.len()));
    assert!(inside("alice", &["show", "mail"]).1.contains("\nSubject: x\n"));
    assert_eq!(inside("bob", &["check", "--stale-after", "0"]).0, Some(0));
    assert_eq!(queue(&spool, &["check", "--stale-after", "0"]).0, 0);
    // Held in one of them it is needed as before.
    assert_eq!(inside("alice", &["hold", "mail"]).0, Some(0));
    assert_eq!(inside("bob", &["delete", "mail", "own"]), (Some(0), String::new(), String::new()));
    assert_eq!(spool::list(&spool.path().join("bob")), Vec::<String>::new());
    assert_eq!(spool.files(), ["mail.content"]);
    assert_eq!(inside("alice", &["delete", "mail"]).0, Some(0));
    assert_eq!(spool.files(), Vec::<String>::new(), "the last one takes the content with it");
}

#[test]
fn exit_codes_tell_what_is_the_matter() {
    let spool = TempSpool::new();
    assert_eq!(queue(&spool, &["show", "none"]).0, 66);
    assert_eq!(
        queue(&spool, &["delete", "none"]),
        (66, String::new(), "emailrelay-queue: none: no such message\n".to_owned())
    );
    assert_eq!(
        queue(&spool, &["hold", "a/b"]),
        (65, String::new(), "emailrelay-queue: a/b: invalid message id\n".to_owned())
    );
    plant(&spool, "busy", ".envelope.busy", "");
    assert_eq!(queue(&spool, &["delete", "none", "busy", "a/b"]).0, 75, "the highest counts");
    assert_eq!(queue(&spool, &["lits"]).0, 64);
    assert_eq!(queue(&spool, &[]).0, 64);
    let (code, _, stderr) = Program::Queue.run(&["list", "-s", "/nonexistent"]);
    let expected = "emailrelay-queue: invalid spool directory: /nonexistent: no such file or directory\n";
    assert_eq!((code, stderr.as_str()), (Some(66), expected));
    let (code, help, _) = Program::Queue.run(&["--help"]);
    assert_eq!(code, Some(0));
    assert!(
        ["  list  ", "  import-local  ", "--stale-after=<time>"].iter().all(|text| help.contains(text)),
        "{help}"
    );
    // A reader that has seen enough.
    let line = "\"$0\" list -s \"$1\" | head -n 1";
    let output = Command::new("sh").args(["-c", line, Program::Queue.path(), spool.arg()]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn those_without_the_right_are_told() {
    require!(need::root(), need::program("setpriv"));
    let spool = TempSpool::new();
    plant(&spool, "mine", ".envelope", "");
    let open = std::os::unix::fs::PermissionsExt::from_mode;
    fs::set_permissions(spool.path(), open(0o755)).unwrap();
    fs::set_permissions(spool.path().join("mine.envelope"), open(0o600)).unwrap();
    let copy = tempfile::tempdir().unwrap();
    fs::set_permissions(copy.path(), open(0o755)).unwrap();
    let program = copy.path().join("emailrelay-queue");
    fs::copy(Program::Queue.path(), &program).unwrap();
    let run = |args: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(&program).args(args);
        let output = command.args(["-s", spool.arg()]).output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (code, said) = run(&["list"]);
    assert!(code == Some(0) && said.contains("? cannot read mine: permission denied"), "{said}");
    assert_eq!(run(&["delete", "mine"]).0, Some(77));
    fs::set_permissions(spool.path(), open(0o700)).unwrap();
    assert_eq!(run(&["list"]).0, Some(77));
    assert_eq!(spool.ready(), ["mine.envelope"]);
}
