//! The filters for fail2ban against the lines of a running server, in every form that lines have.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;

use crate::support::client::SmtpClient;
use crate::support::daemon::Daemon;
use crate::support::need::{self, require};
use crate::support::package;
use crate::support::spool::TempSpool;

/// The addresses that a filter finds in a log.
fn found(filter: &str, log: &str) -> Vec<String> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(log.as_bytes()).unwrap();
    let mut command = Command::new(need::path("fail2ban-regex"));
    command.args(["-o", "ip"]).arg(file.path()).arg(filter_path(filter));
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    text.lines().map(str::to_owned).collect()
}

fn filter_path(filter: &str) -> PathBuf {
    package().join("packaging/fail2ban/filter.d").join(filter)
}

/// A line of the server without the program's name, the time and the level.
fn message(line: &str) -> &str {
    let rest = line.strip_prefix("emailrelay: ").unwrap();
    let timed = rest.starts_with(|c: char| c.is_ascii_digit());
    let rest = if timed { rest.split_once(": ").unwrap().1 } else { rest };
    rest.split_once(": ").unwrap().1
}

/// What somebody does who guesses, and who would like to see others banned.
fn attack(server: &Daemon) {
    let names = [
        // bob; `x] from 203.0.113.1; failed authentication of ...`; a date; the start of a line.
        "AGJvYgB3cm9uZw==".to_owned(),
        "AHhdCmVtYWlscmVsYXk6IHdhcm5pbmc6IDIwMy4wLjExMy4xOyBmYWlsZWQgYXV0aGVudGljYXRpb24gb2YgcmVtb3RlIGNsaWVudCB1c2luZyBtZWNoYW5pc20gW3hdIGFuZAB3".to_owned(),
        "ADIwMjAwMTAxLjAwMDAwMC4xMjMAd3Jvbmc=".to_owned(),
    ];
    for name in names {
        let mut client = SmtpClient::connect(server.address());
        assert_eq!(client.command(&format!("AUTH PLAIN {name}")).code, 535);
    }
    let mut client = SmtpClient::connect(server.address());
    let forged =
        "emailrelay: warning: 203.0.113.2; failed authentication of remote client using mechanism [x] and";
    for command in
        [format!("NOOP {forged}"), format!("VRFY {forged}"), forged.to_owned(), format!("EHLO {forged}")]
    {
        let _ = client.try_command(&command);
    }
}

#[test]
fn guessed_passwords_are_found_and_forged_lines_are_not() {
    require!(need::program("fail2ban-regex"));
    let secrets = tempfile::NamedTempFile::new().unwrap();
    fs::write(secrets.path(), "server plain bob right\n").unwrap();
    for format in ["address", "address,port", "time,address", "time,unit,address,port,msgid"] {
        let spool = TempSpool::new();
        let server = Daemon::server(
            &spool,
            &[
                "--server-auth",
                secrets.path().to_str().unwrap(),
                "--smtp-auth-delay=0",
                "--log-format",
                format,
            ],
        );
        attack(&server);
        server.line("rx<<: \"EHLO emailrelay");
        let lines = server.lines();
        let failures = lines.iter().filter(|line| line.contains(" secret for ["));
        assert_eq!(failures.count(), 3, "{lines:#?}");
        // As a file, by syslog, and as the journal shows the entries of a role program.
        let joined = |change: &dyn Fn(&str) -> String| {
            lines.iter().map(|line| change(line) + "\n").collect::<String>()
        };
        let forms = [
            joined(&|line| line.to_owned()),
            joined(&|line| format!("Nov 20 10:28:07 host emailrelay[123]: {line}")),
            joined(&|line| format!("2026-11-20T10:28:07.123456+00:00 host emailrelay[123]: {line}")),
            joined(&|line| format!("Nov 20 10:28:07 host emailrelay-smtp[123]: {}", message(line))),
        ];
        for log in forms {
            assert_eq!(found("emailrelay.conf", &log), ["127.0.0.1"; 3], "{format}: {log}");
        }
        assert!(server.stop().success());
    }
}

#[test]
fn the_other_patterns_are_apart() {
    require!(need::program("fail2ban-regex"));
    let spool = TempSpool::new();
    let server = Daemon::server(&spool, &["--log-address"]);
    let mut client = SmtpClient::connect(server.address());
    client.command("MAIL FROM:<>");
    server.line("empty MAIL-FROM return path");
    let bounces = server.lines().join("\n") + "\n";
    assert_eq!(found("emailrelay-null-sender.conf", &bounces), ["127.0.0.1"]);
    assert_eq!(found("emailrelay.conf", &bounces), Vec::<String>::new());
    // There is nothing to log in with here.
    client.command("RSET");
    assert_eq!(client.command("AUTH PLAIN").code, 502);
    server.line("AUTH requested but not advertised");
    assert_eq!(found("emailrelay.conf", &(server.lines().join("\n") + "\n")), ["127.0.0.1"]);

    let mut rude = SmtpClient::connect(server.address());
    rude.write("X\r\n".repeat(8).as_bytes()).unwrap();
    rude.rest();
    server.line("too many protocol errors from the client");
    let errors: String = server
        .lines()
        .iter()
        .filter(|line| line.contains("protocol errors"))
        .map(|line| line.clone() + "\n")
        .collect();
    assert_eq!(found("emailrelay.conf", &errors), Vec::<String>::new());
    assert_eq!(found("emailrelay.conf[mode=aggressive]", &errors), ["127.0.0.1"]);

    // What 2.6 wrote, with the verdict of a verifier that has an address now.
    let old = "emailrelay: warning: 192.0.2.1; failed authentication of remote client using mechanism [plain] and plaintext secret for [bob] from line 1\n\
        emailrelay: warning: 192.0.2.2;41590: client protocol error: AUTH requested but not advertised\n\
        emailrelay: info: 192.0.2.3; address verifier: exit code 3: [] []\n\
        emailrelay: info: 192.0.2.4; address verifier: exit code 1: [] []\n\
        emailrelay: warning: 192.0.2.5; dnsbl: client address [192.0.2.5] blocked by [x]\n\
        emailrelay: warning: 2001:db8::1; too many authentication failures from this address\n";
    assert_eq!(found("emailrelay.conf", old), ["192.0.2.1", "192.0.2.2", "2001:db8::1"]);
    let aggressive = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1"];
    assert_eq!(found("emailrelay.conf[mode=aggressive]", old), aggressive);
}

#[test]
fn the_jails_are_understood_and_off() {
    require!(need::program("fail2ban-client"), need::file("/etc/fail2ban"));
    let dir = tempfile::tempdir().unwrap();
    let copy = |from: &str| Command::new("cp").args(["-r", from]).arg(dir.path()).status().unwrap().success();
    assert!(copy("/etc/fail2ban/."));
    for part in ["filter.d", "jail.d"] {
        let from = package().join("packaging/fail2ban").join(part);
        assert!(copy(from.to_str().unwrap()), "{part}");
    }
    let dump = |more: &str| {
        fs::write(dir.path().join("jail.local"), more).unwrap();
        let mut client = Command::new(need::path("fail2ban-client"));
        let output = client.arg("-c").arg(dir.path()).arg("-d").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let off = "[sshd]\nenabled = false\n";
    assert!(!dump(off).contains("emailrelay"));
    let on = dump(&format!("{off}[emailrelay]\nenabled = true\n[emailrelay-null-sender]\nenabled = true\n"));
    assert!(on.contains("['add', 'emailrelay', 'systemd']"), "{on}");
    assert!(on.contains("['add', 'emailrelay-null-sender', 'systemd']"), "{on}");
    assert!(on.contains("SYSLOG_IDENTIFIER=emailrelay-smtp"), "{on}");
}
