//! Exit codes and texts, at the server position.

use super::{line, send, server};
use crate::support::client::SmtpClient;
use crate::support::script::Scripts;
use crate::support::spool::TempSpool;

/// What a client is told for an exit code, and whether the message is in the spool then.
fn expected(code: u32, text: &str) -> (String, bool) {
    match code {
        // Files that the filter leaves are queued also if it says that it has dealt with them.
        0 | 100..=103 => ("250 message processed".to_owned(), true),
        _ => (text.to_owned(), false),
    }
}

/// All of a program's codes on one connection, as a filter that reads its code from a file.
#[test]
fn every_exit_code_of_a_program_has_its_reply_and_its_files() {
    let (spool, scripts) = (TempSpool::new(), Scripts::new());
    let code_file = scripts.path("code");
    let filter = scripts.shell(
        "filter",
        &format!(
            "echo '<<451 4.7.1 not wanted>>'; echo '<<the reason>>'; exit $(cat {})",
            code_file.display()
        ),
    );
    let server = server(&spool, &[&filter]);
    let mut client = SmtpClient::connect(server.address());
    for code in 0..=255 {
        std::fs::write(&code_file, code.to_string()).unwrap();
        let reply = client.try_send("a@example.com", &["b@example.net"], super::CONTENT).unwrap();
        let (text, stays) = expected(code, "451 4.7.1 not wanted");
        assert_eq!(line(&reply), text, "{code}");
        assert_eq!(spool.files().len(), if stays { 2 } else { 0 }, "{code}: {:?}", spool.files());
        for file in spool.files() {
            std::fs::remove_file(spool.path().join(file)).unwrap();
        }
    }
    client.command("QUIT");
    server.line("smtp connection closed");
    let lines = server.lines();
    let count = |text: &str| lines.iter().filter(|line| line.contains(text)).count();
    // 100 and 102 are abandoned, 0, 101 and 103 ok, 251 others refused.
    assert_eq!(count("rejected by filter: [the reason]"), 251);
    assert_eq!(count(": ok response=[]"), 2);
    assert_eq!(count(": ok +rescan response=[]"), 1);
    assert_eq!(count(": ok(abandon) response=[]"), 1);
    assert_eq!(count(": ok(abandon) +rescan response=[]"), 1);
    assert_eq!(count(": failed response=[4.7.1 not wanted] reason=[the reason]"), 250);
    assert_eq!(count(": failed +rescan response=[4.7.1 not wanted] reason=[the reason]"), 1);
    assert_eq!(count("filter [filter] failed: exit code "), 253);
    assert_eq!(
        count("emailrelay: warning: filter [filter] failed: exit code 127: [4.7.1 not wanted](451)"),
        1
    );
    assert_eq!(count("emailrelay: info: filter [filter] failed: exit code 100: [4.7.1 not wanted](451)"), 1);
}

#[test]
fn emulated_exit_codes_are_as_those_of_programs() {
    for (spec, reply, reason) in [
        ("exit:0", "250 message processed", None),
        ("exit:100", "250 message processed", None),
        ("exit:103", "250 message processed", None),
        ("exit:5", "452 rejected", Some("exit:5")),
        ("exit:104", "452 rejected", Some("exit:104")),
        ("exit:999", "452 rejected", Some("exit:999")),
        ("exit:101,sleepms:10,exit:7,exit:0", "452 rejected", Some("exit:7")),
    ] {
        let spool = TempSpool::new();
        let server = server(&spool, &[spec]);
        assert_eq!(line(&send(&server)), reply, "{spec}");
        assert_eq!(spool.ready().len(), usize::from(reason.is_none()), "{spec}");
        if let Some(reason) = reason {
            server.line(&format!("rejected by filter: [{reason}]"));
        }
        server.line("smtp connection closed");
        // A filter that does nothing is worth no line; a chain has the names of all.
        let verdicts = server.lines().iter().filter(|line| line.contains(" response=[")).count();
        assert_eq!(verdicts, usize::from(spec != "exit:0"), "{spec}");
        if spec.starts_with("exit:101") {
            server.line("filter [exit:101,sleep,exit:7,exit:0]: [");
        }
    }
}

#[test]
fn texts_reach_the_client_as_the_table_says() {
    let (spool, scripts) = (TempSpool::new(), Scripts::new());
    let text = scripts.path("text");
    let filter = scripts.shell("filter", &format!("cat {}; exit 7", text.display()));
    let server = server(&spool, &[&filter]);
    let mut client = SmtpClient::connect(server.address());
    let early = format!("{}\n<<550 in time>>\n", "x".repeat(1000));
    let late = format!("{}\n<<550 too late>>\n", "x".repeat(1030));
    for (output, reply) in [
        ("<<550 go away>>\n<<second>>\n", "550 go away"),
        ("[[450  later]]\n", "450  later"),
        ("<<554>>\n", "554 rejected"),
        ("<<650 x>>", "452 650 x"),
        ("<<250 ok>>", "452 250 ok"),
        ("<<>>\n<<why>>\n", "452 rejected"),
        ("<<a>>b>>", "452 a"),
        ("<<a\\b\u{1}c\td>>", "452 a\\\\b\\x01c\\td"),
        (" <<a>>\n", "452 rejected"),
        (&early, "550 in time"),
        (&late, "452 rejected"),
    ] {
        std::fs::write(&text, output).unwrap();
        let answer = client.try_send("a@example.com", &["b@example.net"], super::CONTENT).unwrap();
        assert_eq!(line(&answer), reply, "{output}");
    }
    assert!(spool.files().is_empty());
}

#[test]
fn a_program_that_cannot_be_run_is_a_temporary_failure() {
    let scripts = Scripts::new();
    let missing = scripts.path("missing").to_str().unwrap().to_owned();
    let plain = scripts.file("plain", "#!/bin/sh\n", 0o644);
    let odd = scripts.file("odd", "\u{1}\u{2}\n", 0o755);
    let directory = scripts.dir().to_str().unwrap().to_owned();
    for (filter, reason, at_start) in [
        (&missing, "no such file or directory", Some("filter program does not exist: ")),
        (&plain, "permission denied", None),
        (&odd, "exec format error", None),
        (&directory, "permission denied", Some("invalid program: ")),
    ] {
        let spool = TempSpool::new();
        let server = server(&spool, &[filter]);
        if let Some(text) = at_start {
            server.line(&format!("{text}{filter}"));
        }
        assert_eq!(line(&send(&server)), "452 rejected", "{filter}");
        server.line(&format!("failed response=[rejected] reason=[filter exec error: {reason}]"));
        server.line("failed: exit code 127: [rejected]");
        assert!(spool.files().is_empty(), "{:?}", spool.files());
    }
}

#[test]
fn a_filter_that_is_killed_or_takes_too_long_says_no_for_now() {
    let (spool, scripts) = (TempSpool::new(), Scripts::new());
    let killed = scripts.shell("killed", "echo '<<go>>'; kill -9 $$");
    let one = server(&spool, &[&killed]);
    assert_eq!(line(&send(&one)), "452 go");
    one.line("failed: exit code 137: [go]");

    let slow = scripts.shell("slow", "trap '' TERM; echo '<<550 x>>'; touch \"$1.late\"; sleep 600 & wait");
    let two = server(&spool, &[&slow, "--filter-timeout=1"]);
    assert_eq!(line(&send(&two)), "452 error");
    two.line("filter [slow] timed out after 1s");
    two.line("failed response=[error] reason=[timeout]");
    assert_eq!(spool.ending(".late").len(), spool.files().len());
}

#[test]
fn what_a_program_gets_is_what_is_documented() {
    let (spool, scripts) = (TempSpool::new(), Scripts::new());
    let out = scripts.path("out");
    let filter = scripts.shell(
        "look",
        &format!(
            "exec >{}; echo \"$0\"; echo \"$1\"; echo \"$2\"; echo \"$#\"; umask; ls /proc/$$/fd | tr '\\n' ' '; echo; \
             readlink /proc/$$/fd/0; readlink /proc/$$/fd/2; tr '\\0\\n' '|_' </proc/$$/environ; echo; \
             cut -d' ' -f1,5 /proc/$$/stat; stat -c %a \"$1\" \"$2\"; cat \"$1\" \"$2\"",
            out.display()
        ),
    );
    let server = server(&spool, &[&filter]);
    assert_eq!(send(&server).code, 250);
    let text = std::fs::read_to_string(&out).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let id = spool.ready()[0].replace(".envelope", "");
    let path = |suffix: &str| format!("{}/{id}{suffix}", spool.arg());
    assert_eq!(lines[0], filter);
    assert_eq!((lines[1], lines[2], lines[3]), (&*path(".content"), &*path(".envelope.new"), "2"));
    assert_eq!((lines[4], lines[6], lines[7]), ("0077", "/dev/null", "/dev/null"));
    // A shell has its script open beside the three.
    assert_eq!(lines[5].trim().split(' ').take(3).collect::<Vec<_>>(), ["0", "1", "10"]);
    let mut environment: Vec<&str> = lines[8].split('|').collect();
    environment.sort_unstable();
    assert_eq!(environment, ["", "IFS= \t_", "PATH=/usr/bin:/bin"], "{text}");
    assert!(text.contains("\n660\n660\n"), "{text}");
    assert!(text.contains("hello content\r\nX-MailRelay-Format: "), "the files are complete: {text}");
}
