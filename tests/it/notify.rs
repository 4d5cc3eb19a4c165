//! `emailrelay-notify`: reports that a parser of another make understands, and what becomes of the messages.

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::container::installed_container;
use crate::crash::sweep;
use crate::support::daemon::{Program, forward};
use crate::support::hop::{Script, ScriptedHop, reply};
use crate::support::need::{self, require};
use crate::support::rootfs::Rootfs;
use crate::support::script::Scripts;
use crate::support::spool::TempSpool;
use crate::support::{PATIENCE, wait_for};

/// Tells what Python's email package makes of a message, in lines.
const READER: &str = r#"
import sys, email
from email import policy
message = email.message_from_bytes(sys.stdin.buffer.read(), policy=policy.default)
for name in ("From", "To", "Subject", "Auto-Submitted", "References"):
    print(name + ": " + str(message[name]))
print("type", message.get_content_type(), message.get_param("report-type"))
parts = list(message.iter_parts())
print("parts", *[part.get_content_type() for part in parts])
print("defects", sum(len(part.defects) for part in message.walk()))
print("text", repr(parts[0].get_content()))
for number, block in enumerate(parts[1].get_payload()):
    for name, value in block.items():
        print(number, name + ": " + str(value))
if len(parts) > 2:
    returned = parts[2].get_content()
    if isinstance(returned, str):
        returned = email.message_from_string(returned, policy=policy.default)
    print("returned", returned["Subject"], repr(returned.get_payload()))
"#;

const CONTENT: &[u8] =
    b"From: a@example.com\r\nTo: b@example.net\r\nSubject: lost letter\r\nMessage-ID: <1@example.com>\r\n\r\nHello\r\n";
/// 1795170755: when the messages came in.
const ID: &str = "emailrelay.77.1795170755.1";
const REASON: &str = "X-MailRelay-Reason: 5.1.1 no such user\r\nX-MailRelay-ReasonCode: 550\r\n";

/// As it is where a recipient could not be set aside, for want of room.
const REFUSED_AND_WAITING: &str = "X-MailRelay-FirstTry: 1795170755\r\nX-MailRelay-Attempts: 3\r\n\
                                   X-MailRelay-GiveUp: 1795602755\r\nX-MailRelay-NextAttempt: 1795180755\r\n\
                                   X-MailRelay-Reason: one or more recipients rejected\r\n\
                                   X-MailRelay-ReasonCode: 450\r\n\
                                   X-MailRelay-LastAttempt: 1795177955 192.0.2.1:25\r\n\
                                   X-MailRelay-RecipientReason: bad@example.net 550 5.1.1 no such user\r\n\
                                   X-MailRelay-RecipientReason: later@example.net 450 4.2.0 greylisted\r\n";

/// What the independent parser says of a report.
fn read(report: &[u8]) -> Vec<String> {
    let mut python = Command::new(need::path("python3"))
        .args(["-c", READER])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    python.stdin.take().unwrap().write_all(report).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(report));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[track_caller]
fn has(lines: &[String], wanted: &[&str]) {
    for line in wanted {
        assert!(lines.iter().any(|have| have == line), "{line:?} is not in {lines:#?}");
    }
}

/// A run over a spool; what it printed.
fn notify(spool: &TempSpool, args: &[&str]) -> String {
    let (code, stdout, stderr) =
        Program::Notify.run(&[&["-d", "relay.example.com"], args, &[spool.arg()]].concat());
    assert_eq!(code, Some(0), "{stderr}");
    stdout
}

#[test]
fn a_refusal_goes_back_to_the_sender_in_a_form_that_others_read() {
    require!(need::program("python3"));
    let spool = TempSpool::new();
    let hop = ScriptedHop::start(Script {
        rcpt_for: vec![("b@example.net".to_owned(), reply("550 5.1.1 no such user"))],
        ..Script::well()
    });
    let mut submit = Program::Submit.command();
    submit.args(["-s", spool.arg(), "-f", "a@example.com", "b@example.net"]).stdin(Stdio::piped());
    let mut submit = submit.spawn().unwrap();
    submit.stdin.take().unwrap().write_all(CONTENT).unwrap();
    assert!(submit.wait().unwrap().success());
    forward(&spool, &hop.arg(), &[]);
    let bad = spool.bad();
    assert_eq!(bad.len(), 1);
    let id = bad[0].strip_suffix(".envelope.bad").unwrap();

    let said = notify(&spool, &[]);
    assert_eq!(
        said,
        format!("emailrelay-notify: delivering {}/{id}.content to a@example.com\n", spool.arg())
    );
    assert_eq!((spool.bad().len(), spool.ready().len()), (0, 1), "{:?}", spool.files());
    assert!(spool.path().join("forward.request").exists());
    forward(&spool, &hop.arg(), &[]);
    let delivery = hop.wait_accepted(1).remove(0);
    assert!(delivery.mail.starts_with("<>"), "{}", delivery.mail);
    assert_eq!(delivery.rcpt, ["<a@example.com>"]);
    let lines = read(&delivery.content);
    has(
        &lines,
        &[
            "From: Mail Delivery System <postmaster@relay.example.com>",
            "To: a@example.com",
            "Subject: Your e-mail could not be delivered",
            "Auto-Submitted: auto-replied",
            "References: <1@example.com>",
            "type multipart/report delivery-status",
            "parts text/plain message/delivery-status message/rfc822",
            "defects 0",
            "0 Reporting-MTA: dns; relay.example.com",
            &format!("0 X-EMailRelay-Id: {id}"),
            "1 Final-Recipient: rfc822; b@example.net",
            "1 Action: failed",
            "1 Status: 5.1.1",
            "1 Diagnostic-Code: smtp; 550 5.1.1 no such user",
            r"returned lost letter 'Hello\r\n'",
        ],
    );
    let text = lines.iter().find(|line| line.starts_with("text ")).unwrap();
    assert!(text.contains("Subject: lost letter") && text.contains("550 5.1.1 no such user"), "{text}");
    // What cannot be delivered either ends here.
    assert_eq!(notify(&spool, &[]), "");
    assert!(spool.ready().is_empty() && spool.bad().is_empty());
}

#[test]
fn each_recipient_has_the_reply_that_it_got() {
    require!(need::program("python3"));
    let (spool, other) = (TempSpool::new(), TempSpool::new());
    let trailer = "X-MailRelay-Reason: one or more recipients rejected\r\nX-MailRelay-ReasonCode: 550\r\n\
                   X-MailRelay-RecipientReason: b@example.net 550 5.7.1 not\\nwanted\r\n\
                   X-MailRelay-RecipientReason: \"c d\"@example.net 452 full\r\n";
    let to = ["b@example.net", "\"c d\"@example.net", "e@example.net", "b@example.net"];
    spool.plant(ID, ".envelope.bad", "a@example.com", &to, trailer, b"Subject: \xe9\r\n\r\nbare\rcr\r\n");
    notify(&spool, &["--to-spool", other.arg()]);
    assert_eq!(spool.files(), Vec::<String>::new());
    let ready = other.ready();
    let envelope = other.envelope(&ready[0]);
    assert_eq!((envelope.first("From"), envelope.first("Content")), ("", "8bit"));
    let lines = read(&other.content(&ready[0]));
    has(
        &lines,
        &[
            "parts text/plain message/delivery-status text/rfc822-headers",
            "defects 0",
            "0 Arrival-Date: Fri, 20 Nov 2026 10:32:35 +0000",
            "1 Diagnostic-Code: smtp; 550 5.7.1 not wanted",
            "1 Status: 5.7.1",
            "2 Final-Recipient: rfc822; \"c d\"@example.net",
            "2 Status: 4.3.1",
            "3 Final-Recipient: rfc822; e@example.net",
            "3 Status: 5.0.0",
            "3 Diagnostic-Code: x-emailrelay; one or more recipients rejected",
        ],
    );
    assert!(!lines.iter().any(|line| line.starts_with("4 ")), "once for each: {lines:#?}");
}

#[test]
fn who_is_refused_for_good_does_not_wait_for_the_others() {
    require!(need::program("python3"));
    let (spool, other) = (TempSpool::new(), TempSpool::new());
    let hop = ScriptedHop::start(Script {
        rcpt_for: vec![
            ("bad@".to_owned(), reply("550 5.1.1 no such user")),
            ("later@".to_owned(), reply("450 4.2.0 greylisted")),
        ],
        ..Script::well()
    });
    let to = ["ok@example.net", "bad@example.net", "later@example.net"];
    spool.plant(ID, ".envelope", "a@example.com", &to, "", CONTENT);
    let patient = ["--forward-to-some", "--retry-first", "3600"];
    let (code, lines) = forward(&spool, &hop.arg(), &patient);
    assert_eq!((code, hop.accepted()[0].rcpt.as_slice()), (75, &["<ok@example.net>".to_owned()][..]));
    let (ready, bad) = (format!("{ID}.envelope"), spool.bad());
    assert_eq!((spool.ready(), bad.len()), (vec![ready.clone()], 1), "{:?}", spool.files());
    assert_eq!(spool.envelope(&ready).all("To-Remote"), ["later@example.net"]);
    let refused = spool.envelope(&bad[0]);
    assert_eq!(
        (refused.all("To-Remote"), refused.first("SplitFrom"), refused.first("ReasonCode")),
        (vec!["bad@example.net"], ID, "550")
    );
    assert_eq!(spool.content(&bad[0]), CONTENT);
    let part = bad[0].strip_suffix(".envelope.bad").unwrap();
    for text in [
        format!("recipients refused [{ID}]: to=<bad@example.net> set aside as [{part}]"),
        format!("message failed [{part}]: to=<bad@example.net> relay={} reply=[550 ", hop.arg()),
    ] {
        assert!(lines.iter().any(|line| line.contains(&text)), "{text:?} is not in {lines:#?}");
    }

    notify(&spool, &["--to-spool", other.arg()]);
    assert_eq!((spool.bad().len(), spool.ready().len(), other.ready().len()), (0, 1, 1));
    let lines = read(&other.content(&other.ready()[0]));
    has(
        &lines,
        &[
            "defects 0",
            "0 Arrival-Date: Fri, 20 Nov 2026 10:32:35 +0000",
            &format!("0 X-EMailRelay-Id: {ID}"),
            "1 Final-Recipient: rfc822; bad@example.net",
            "1 Action: failed",
            "1 Status: 5.1.1",
            "1 Remote-MTA: dns; [127.0.0.1]",
            "1 Diagnostic-Code: smtp; 550 5.1.1 no such user",
        ],
    );
    assert!(lines.iter().any(|line| line.starts_with("1 Last-Attempt-Date: ")), "{lines:#?}");
    assert!(!lines.iter().any(|line| line.starts_with("2 ") || line.contains("Will-Retry")), "{lines:#?}");

    // The others are late, at the same time or later, and only they.
    spool.plant("old", ".envelope", "a@example.com", &to[1..], REFUSED_AND_WAITING, CONTENT);
    std::fs::remove_file(spool.path().join(&ready)).unwrap();
    let other = TempSpool::new();
    notify(&spool, &["--delay", "1", "--to-spool", other.arg()]);
    let lines = read(&other.content(&other.ready()[0]));
    has(
        &lines,
        &[
            "defects 0",
            "1 Final-Recipient: rfc822; later@example.net",
            "1 Action: delayed",
            "1 Status: 4.2.0",
            "1 Remote-MTA: dns; [192.0.2.1]",
            "1 Last-Attempt-Date: Fri, 20 Nov 2026 12:32:35 +0000",
            "1 Will-Retry-Until: Wed, 25 Nov 2026 10:32:35 +0000",
        ],
    );
    assert!(!lines.iter().any(|line| line.contains("bad@example.net")), "{lines:#?}");
}

#[test]
fn nothing_goes_to_the_null_sender_but_the_postmaster_may_know() {
    let spool = TempSpool::new();
    spool.plant(ID, ".envelope.bad", "", &["b@example.net"], REASON, CONTENT);
    let report = b"Content-Type: multipart/report; boundary=x\r\n\r\n--x--\r\n";
    spool.plant("bounce", ".envelope.bad", "mailer@example.com", &["b@example.net"], REASON, report);
    let run = |args: &[&str]| Program::Notify.run(&[args, &[spool.arg()]].concat());
    let (code, stdout, stderr) = run(&[]);
    assert_eq!((code, stdout.as_str()), (Some(0), ""), "{stderr}");
    let warning =
        |id: &str, why: &str| format!("emailrelay-notify: warning: failure of [{id}] not reported: {why}");
    let mut said: Vec<&str> = stderr.lines().collect();
    said.sort_unstable();
    assert_eq!(said, [warning("bounce", "it is a report"), warning(ID, "its sender is the null sender")]);
    assert_eq!(run(&[]), (Some(0), String::new(), String::new()), "said once");
    let (_, stdout, _) = run(&["-v"]);
    let nobody = |id: &str| format!("emailrelay-notify: {id} is reported to nobody\n");
    assert_eq!(stdout, nobody(ID) + &nobody("bounce"));
    assert_eq!((spool.bad().len(), spool.ready().len()), (2, 0), "both stay");

    spool.plant(ID, ".envelope.bad", "", &["b@example.net"], REASON, CONTENT);
    spool.plant("loop", ".envelope.bad", "", &["Post@example.com"], REASON, CONTENT);
    notify(&spool, &["--postmaster", "post@example.com"]);
    assert_eq!(spool.bad(), ["bounce.envelope.bad", "loop.envelope.bad"]);
    let ready = spool.ready();
    assert_eq!(ready.len(), 1, "{ready:?}");
    assert_eq!(spool.envelope(&ready[0]).all("To-Remote"), ["post@example.com"]);
}

#[test]
fn kept_messages_are_reported_once_for_each_failure() {
    let spool = TempSpool::new();
    spool.plant(ID, ".envelope.bad", "a@example.com", &["b@example.net"], REASON, CONTENT);
    notify(&spool, &["--dry-run", "--keep"]);
    assert_eq!((spool.ready().len(), spool.bad().len()), (0, 1));
    notify(&spool, &["--keep"]);
    notify(&spool, &["--keep"]);
    assert_eq!((spool.ready().len(), spool.bad().len()), (1, 1));
    let envelope = spool.envelope(&spool.bad()[0]);
    assert_eq!((envelope.all("Notified").len(), envelope.first("ReasonCode")), (1, "550"));
    // Without --keep it was reported as well.
    notify(&spool, &[]);
    assert_eq!((spool.ready().len(), spool.bad().len()), (1, 1));
    let path = spool.path().join(&spool.bad()[0]);
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text + REASON).unwrap();
    notify(&spool, &[]);
    assert_eq!((spool.ready().len(), spool.bad().len()), (2, 0));
}

#[test]
fn a_late_message_is_told_of_once_and_without_its_body() {
    require!(need::program("python3"));
    let (spool, other) = (TempSpool::new(), TempSpool::new());
    let retried = "X-MailRelay-FirstTry: 1795170755\r\nX-MailRelay-Attempts: 3\r\nX-MailRelay-NextAttempt: 1795180755\r\n\
                   X-MailRelay-Reason: 4.7.1 greylisted\r\nX-MailRelay-ReasonCode: 450\r\n";
    spool.plant(ID, ".envelope", "a@example.com", &["b@example.net"], retried, CONTENT);
    spool.plant("untried", ".envelope", "a@example.com", &["b@example.net"], "", CONTENT);
    // It has waited since 2026; 136 years are the longest that can be asked for.
    notify(&spool, &["--delay", "4294967295", "--to-spool", other.arg()]);
    assert!(other.ready().is_empty());
    for _ in 0..2 {
        notify(&spool, &["--delay", "1", "--to-spool", other.arg()]);
    }
    let ready = other.ready();
    assert_eq!((ready.len(), spool.ready().len()), (1, 2));
    let lines = read(&other.content(&ready[0]));
    has(
        &lines,
        &[
            "Subject: Your e-mail is delayed",
            "parts text/plain message/delivery-status text/rfc822-headers",
            "defects 0",
            "1 Action: delayed",
            "1 Status: 4.7.1",
            "1 Diagnostic-Code: smtp; 450 4.7.1 greylisted",
        ],
    );
    // It still is what it was, and due when it was.
    let envelope = spool.envelope(&format!("{ID}.envelope"));
    assert_eq!((envelope.first("NextAttempt"), envelope.first("Attempts")), ("1795180755", "3"));
    assert_eq!(envelope.all("Delayed").len(), 1);
}

#[test]
fn what_has_waited_too_long_is_given_up_only_when_asked_and_seen_before() {
    require!(need::program("python3"));
    let (spool, other) = (TempSpool::new(), TempSpool::new());
    spool.plant(ID, ".envelope", "a@example.com", &["b@example.net"], "", CONTENT);
    let age = ["--max-age", "1", "--delay", "0", "--to-spool", other.arg()];
    notify(&spool, &age);
    assert_eq!((spool.ready().len(), other.ready().len()), (1, 0), "this run has seen it wait");
    // An hour later.
    let path = spool.path().join(format!("{ID}.envelope"));
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, _) = text.split_once("X-MailRelay-Delayed: ").unwrap();
    std::fs::write(&path, format!("{before}X-MailRelay-Delayed: 1795170755\r\n")).unwrap();
    notify(&spool, &age);
    assert_eq!(spool.files(), Vec::<String>::new());
    let lines = read(&other.content(&other.ready()[0]));
    has(&lines, &["1 Action: failed", "1 Status: 4.4.7", "defects 0"]);
}

#[test]
fn a_command_takes_the_report_or_leaves_the_message() {
    let (spool, scripts) = (TempSpool::new(), Scripts::new());
    let taken = scripts.path("taken");
    let take =
        scripts.shell("take", &format!("cat >'{}'; echo \"$1 $2\" >>'{}'", taken.display(), taken.display()));
    let refuse = scripts.shell("refuse", "exit 75");
    spool.plant(ID, ".envelope.bad", "a@example.com", &["b@example.net"], REASON, CONTENT);
    let (code, _, stderr) = Program::Notify.run(&["-c", &refuse, spool.arg()]);
    assert_eq!((code, spool.bad().len()), (Some(75), 1));
    assert!(stderr.contains(&format!("error: cannot report [{ID}]: refuse: exit status: 75")), "{stderr}");
    let (code, _, _) = Program::Notify.run(&["-c", "/nonexistent/program", spool.arg()]);
    assert_eq!((code, spool.bad().len()), (Some(75), 1));
    notify(&spool, &["--command", &format!("{take} -d")]);
    assert_eq!(spool.files(), Vec::<String>::new());
    let report = std::fs::read_to_string(taken).unwrap();
    assert!(
        report.starts_with("From: Mail Delivery System") && report.ends_with("-d a@example.com\n"),
        "{report}"
    );
}

#[test]
fn killed_at_any_time_it_reports_twice_at_most_and_never_not_at_all() {
    const MESSAGES: usize = 40;
    let (spool, other) = (TempSpool::new(), TempSpool::new());
    let ids: Vec<String> =
        (1..=MESSAGES).map(|number| format!("emailrelay.77.1795170755.{number}")).collect();
    for id in &ids {
        spool.plant(id, ".envelope.bad", "a@example.com", &["b@example.net"], REASON, CONTENT);
    }
    let args = ["-d", "relay.example.com", "--to-spool", other.arg(), spool.arg()];
    let mut kills = 0;
    for reports in [1, 7, 8, 20, 33] {
        let mut command = Program::Notify.command();
        let mut child = command.args(args).stdout(Stdio::null()).spawn().unwrap();
        wait_for("reports", PATIENCE, || {
            (other.ready().len() >= reports || child.try_wait().unwrap().is_some()).then_some(())
        });
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
    }
    assert_eq!(Program::Notify.run(&args).0, Some(0));
    // Killed between the two files of a message that it removes, it leaves content to be swept.
    let orphans = sweep(&spool);
    assert!(orphans <= kills, "{orphans}");
    let reports: Vec<String> =
        other.ready().iter().map(|name| String::from_utf8(other.content(name)).unwrap()).collect();
    for id in &ids {
        let line = format!("X-EMailRelay-Id: {id}\r\n");
        assert!(reports.iter().any(|report| report.contains(&line)), "{id} is lost");
    }
    assert!(reports.len() <= MESSAGES + kills, "{}", reports.len());
    assert!(reports.iter().all(|report| report.ends_with("--\r\n")), "half a report");
}

#[test]
fn mistakes_and_missing_spools_have_their_exit_codes() {
    let (code, _, stderr) = Program::Notify.run(&["/nonexistent/spool"]);
    assert_eq!(code, Some(1));
    assert_eq!(
        stderr,
        "emailrelay-notify: invalid spool directory: /nonexistent/spool: no such file or directory\n"
    );
    let (code, _, stderr) = Program::Notify.run(&["--delay=x"]);
    assert_eq!(
        (code, stderr.as_str()),
        (Some(64), "emailrelay-notify: error: invalid time for --delay: [x]\n")
    );
    let (code, help, _) = Program::Notify.run(&["-h"]);
    assert!(code == Some(0) && help.contains("--max-age=<time>"), "{help}");
    let spool = TempSpool::new();
    std::fs::write(spool.path().join("x.envelope.bad"), "garbage").unwrap();
    let (code, _, stderr) = Program::Notify.run(&[spool.arg()]);
    assert!(code == Some(75) && stderr.contains("cannot report [x]"), "{stderr}");
}

#[test]
fn the_installed_service_reports_from_within_its_sandbox() {
    require!(Rootfs::missing());
    let (container, planted) = (installed_container(), TempSpool::new());
    planted.plant(ID, ".envelope.bad", "a@example.com", &["b@example.net"], REASON, CONTENT);
    let spool = "/var/spool/emailrelay";
    for name in planted.files() {
        let text = std::fs::read_to_string(planted.path().join(&name)).unwrap();
        container.write(&format!("{spool}/{name}"), &text);
    }
    container.sh(&format!("chown emailrelay:emailrelay {spool}/*; chmod 660 {spool}/*"));
    container.systemctl(&["start", "emailrelay-notify.service"]);
    let files = container.sh(&format!("ls {spool}"));
    assert!(!files.contains(ID) && files.contains(".envelope\n"), "{files}");
    let report = container.sh(&format!("cat {spool}/*.content"));
    assert!(report.contains("Final-Recipient: rfc822; b@example.net"), "{report}");
    // The story of the message is found by its id.
    let told = container.journal(&[&format!("EMAILRELAY_MSGID={ID}"), "-o", "cat"]);
    assert!(
        told.contains(&format!("failure of [{ID}] reported to <a@example.com> by [emailrelay.")),
        "{told}"
    );
    container.power_off();
}
