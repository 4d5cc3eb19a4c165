//! The filters for fail2ban against the lines of a running server, in every form that lines have.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::pop::PopSpool;
use crate::support::client::SmtpClient;
use crate::support::daemon::Daemon;
use crate::support::need::{self, require};
use crate::support::pop::PopClient;
use crate::support::spool::TempSpool;
use crate::support::{PATIENCE, package, wait_for};

/// The addresses that a filter finds in a log.
fn found(filter: &str, log: &str) -> Vec<String> {
    found_by(&filter_path(filter), log)
}

/// The same for any filter file.
fn found_by(filter: &Path, log: &str) -> Vec<String> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(log.as_bytes()).unwrap();
    let mut command = Command::new(need::path("fail2ban-regex"));
    command.args(["-o", "ip"]).arg(file.path()).arg(filter);
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

/// The same at the POP server: by password, by mechanism, and by names that look like lines.
fn attack_pop(server: &Daemon) {
    let forged = "x] 203.0.113.1; failed authentication of remote client using mechanism [x] and";
    for user in ["bob", forged, "20200101.000000.123"] {
        let mut client = PopClient::connect(server.pop_address());
        client.command(&format!("USER {user}"));
        assert_eq!(client.command("PASS wrong"), "-ERR [AUTH] authentication failed");
        assert_eq!(client.command("AUTH PLAIN AGJvYgB3cm9uZw=="), "-ERR [AUTH] authentication failed");
        let _ = client.command(&format!("emailrelay: warning: {forged}"));
        let challenge = client.greeting.clone();
        assert!(challenge.contains('<'), "{challenge}");
        let digest = "00000000000000000000000000000000";
        assert_eq!(client.command(&format!("APOP bob {digest}")), "-ERR [AUTH] too many failures");
    }
}

#[test]
fn passwords_that_are_guessed_over_pop_are_found() {
    require!(need::program("fail2ban-regex"));
    for format in ["address", "address,port", "time,address", "time,unit,address,port,msgid"] {
        let pop = PopSpool::new();
        let server = pop.serve(&["--verbose", "--log-format", format]);
        attack_pop(&server);
        let closed = || {
            server
                .lines()
                .iter()
                .filter(|line| line.contains("closed: too many authentication failures:"))
                .count()
        };
        wait_for("the end of the sessions", PATIENCE, || (closed() == 3).then_some(()));
        let lines = server.lines();
        let file: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let journal: String = lines
            .iter()
            .map(|line| format!("Nov 20 10:28:07 host emailrelay-pop[123]: {}\n", message(line)))
            .collect();
        for log in [file, journal] {
            assert_eq!(found("emailrelay.conf", &log), ["127.0.0.1"; 9], "{format}: {log}");
        }
    }
    // This host is never blocked, so the line of one that is.
    let blocked = "emailrelay: warning: 192.0.2.7; pop address blocked after repeated authentication failures: 192.0.2.7\n";
    assert_eq!(found("emailrelay.conf", blocked), ["192.0.2.7"]);
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
    let expected = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1"];
    for filter in ["emailrelay.conf", "emailrelay.conf[mode=aggressive]"] {
        assert_eq!(found(filter, old), expected, "{filter}");
    }
}

/// What the filter that came with 2.6 looks for, anywhere in a line.
const OLD_FILTER: &str = "[Definition]
failregex = emailrelay: warning: <HOST>; failed authentication
            emailrelay: warning: <HOST>; .* AUTH requested but not advertised
            emailrelay: warning: <HOST>; empty MAIL-FROM return path
            emailrelay: info: <HOST>; address verifier: exit code
ignoreregex = emailrelay: warning: <HOST>; dnsbl
              emailrelay: info: <HOST>; address verifier: exit code 1:
";

#[test]
fn the_filter_of_2_6_finds_who_fails_and_nobody_else() {
    require!(need::program("fail2ban-regex"));
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    fs::write(path("old.conf"), OLD_FILTER).unwrap();
    fs::write(path("auth"), "server plain bob right\n").unwrap();
    // A good local recipient, a good remote one, and one that does not exist.
    let verifier =
        "#!/bin/sh\necho \"$1\"; echo \"$1\"\ncase \"$1\" in local*) exit 0;; far*) exit 1;; esac\nexit 2\n";
    fs::write(path("verifier"), verifier).unwrap();
    fs::set_permissions(path("verifier"), fs::Permissions::from_mode(0o755)).unwrap();
    let hits = |more: &[&str], commands: &[&str]| {
        let spool = TempSpool::new();
        let verifier = path("verifier");
        let common =
            ["--log-address", "--smtp-auth-delay=0", "--address-verifier", verifier.to_str().unwrap()];
        let server = Daemon::server(&spool, &[&common[..], more].concat());
        let mut client = SmtpClient::connect(server.address());
        for command in commands {
            let _ = client.try_command(command);
        }
        let _ = client.try_command("QUIT");
        server.line("smtp connection closed");
        found_by(&path("old.conf"), &(server.lines().join("\n") + "\n"))
    };
    let auth = ["--server-auth", &path("auth").display().to_string()].map(str::to_owned);
    let auth: Vec<&str> = auth.iter().map(String::as_str).collect();
    let ours = |count: usize| vec!["127.0.0.1".to_owned(); count];
    assert_eq!(hits(&auth, &["AUTH PLAIN AGJvYgB3cm9uZw=="]), ours(1));
    assert_eq!(hits(&[], &["AUTH PLAIN AGJvYgB3cm9uZw=="]), ours(1));
    assert_eq!(hits(&[], &["MAIL FROM:<>"]), ours(1));
    let recipients = ["MAIL FROM:<a@x.test>", "RCPT TO:<local@y.test>", "RCPT TO:<far@y.test>"];
    assert_eq!(hits(&[], &recipients), ours(0));
    assert_eq!(hits(&[], &["MAIL FROM:<a@x.test>", "RCPT TO:<other@y.test>"]), ours(1));
    let forged = "emailrelay: warning: 203.0.113.9; failed authentication x";
    for planted in [format!("NOOP {forged}"), forged.to_owned()] {
        assert_eq!(hits(&[], &[&planted]), ours(0), "{planted}");
    }
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
