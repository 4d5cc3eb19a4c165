//! `tests/command-lines.txt`: the command lines and configuration entries that users of older versions have, and what each is told.
//!
//! A line is a command line, as a shell reads it, or `conf` and an entry of a configuration file; the indented lines below it are all
//! that `emailrelay --check` says to it on standard error, without the program's name. `@DIR@` is a directory with what the lines name.
//! A spool directory is added where a line names none.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::certs::Authority;
use crate::support::daemon::Program;
use crate::support::package;

/// A line, and what is said to it.
struct Case {
    line: String,
    said: Vec<String>,
}

fn cases() -> Vec<Case> {
    let text = fs::read_to_string(package().join("tests/command-lines.txt")).unwrap();
    let mut cases: Vec<Case> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match line.strip_prefix("    ") {
            Some(said) => cases.last_mut().unwrap().said.push(said.to_owned()),
            None => cases.push(Case { line: line.to_owned(), said: Vec::new() }),
        }
    }
    cases
}

/// What the lines name: a spool, a filter, accounts, a certificate.
fn surroundings() -> tempfile::TempDir {
    let dir = tempfile::Builder::new().prefix("emailrelay-lines.").tempdir().unwrap();
    fs::create_dir(dir.path().join("spool")).unwrap();
    let put = |name: &str, text: &str, mode: u32| {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    put("filter", "#!/bin/sh\nexit 0\n", 0o755);
    put("emailrelay.auth", "client plain me secret\nserver plain me secret\n", 0o600);
    let authority = Authority::new();
    let certificate = fs::read_to_string(authority.issue("cert.pem", &["smtp.example.com"])).unwrap();
    put("cert.pem", &(certificate + &fs::read_to_string(authority.file()).unwrap()), 0o600);
    dir
}

/// Exit code, and what is said on standard error.
fn check(line: &str, dir: &str) -> (Option<i32>, Vec<String>) {
    let line = line.replace("@DIR@", dir);
    let words = match line.strip_prefix("conf ") {
        Some(entry) => {
            fs::write(format!("{dir}/conf"), format!("{entry}\n")).unwrap();
            format!("--as-server --syslog --pid-file {dir}/pid {dir}/conf")
        }
        None => line,
    };
    let names_spool = ["spool-dir", "-s "].iter().any(|option| words.contains(option));
    let spool = if names_spool { String::new() } else { format!("--spool-dir {dir}/spool ") };
    let output = Command::new("sh")
        .args(["-c", &format!("exec \"$0\" --check {spool}{words}"), Program::Emailrelay.path()])
        .current_dir(dir)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap().replace(dir, "@DIR@");
    (output.status.code(), stderr.lines().map(|line| line.replacen("emailrelay: ", "", 1)).collect())
}

#[test]
fn every_old_command_line_is_accepted_or_refused_with_the_right_text() {
    let dir = surroundings();
    let mut wrong = Vec::new();
    let cases = cases();
    assert!(cases.len() > 150, "{}", cases.len());
    // Where 1.x had its accounts: --pop alone takes them, if they are there.
    let old_accounts = Path::new("/etc/emailrelay.auth").exists();
    for Case { line, said } in cases {
        if old_accounts && line.starts_with("--pop ") && !line.contains("--pop-auth") {
            continue;
        }
        let (code, really) = check(&line, dir.path().to_str().unwrap());
        let refused = said.iter().any(|text| !text.starts_with("warning: "));
        if said != really || code != Some(i32::from(refused)) {
            wrong.push(format!("{line}\n    exit code {code:?}: {really:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
