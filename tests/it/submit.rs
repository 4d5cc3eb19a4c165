//! `emailrelay-submit`, the real program on temporary spools.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "helpers of tests fail the test, and skipped tests say so"
)]

mod copy;
mod faults;
mod samples;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_emailrelay-submit");

/// A temporary spool directory.
struct Spool {
    dir: TempDir,
}

/// What a run of the program gave.
#[derive(Debug, PartialEq)]
struct Run {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Spool {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The program with `--spool-dir` set.
    fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(PROGRAM);
        command.arg("--spool-dir").arg(self.path()).args(arguments);
        command
    }

    fn submit(&self, arguments: &[&str], input: impl AsRef<[u8]>) -> Run {
        run(self.command(arguments), input)
    }

    /// All files but the request for forwarding, by name.
    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let entries = fs::read_dir(self.path()).unwrap().map(|entry| entry.unwrap());
        let named =
            entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()));
        named.filter(|(name, _)| name != "forward.request").collect()
    }

    /// The files with this ending, in order of their names.
    fn ending(&self, suffix: &str) -> Vec<String> {
        let files = self.files().into_iter().filter(|(name, _)| name.ends_with(suffix));
        files.map(|(_, bytes)| String::from_utf8_lossy(&bytes).into_owned()).collect()
    }

    /// The one content file, for whatever bytes are in it.
    fn content_bytes(&self) -> Vec<u8> {
        let mut contents = self.files().into_iter().filter(|(name, _)| name.ends_with(".content"));
        let (_, bytes) = contents.next().unwrap();
        assert!(contents.next().is_none());
        bytes
    }
}

/// Runs a command with this standard input.
fn run(mut command: Command, input: impl AsRef<[u8]>) -> Run {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A program that fails early does not read its input.
    let _ = child.stdin.take().unwrap().write_all(input.as_ref());
    let output = child.wait_with_output().unwrap();
    Run {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn done() -> Run {
    Run { code: Some(0), stdout: String::new(), stderr: String::new() }
}

/// An envelope as it is in the spool; all recipients are remote.
fn envelope(from: &str, recipients: &[&str], auth: [&str; 3], utf8: u8) -> String {
    let [authentication, auth_in, auth_out] = auth;
    let to: String = recipients.iter().map(|to| format!("X-MailRelay-To-Remote: {to}\n")).collect();
    let text = format!(
        "X-MailRelay-Format: #2821.8\nX-MailRelay-Content: unknown\nX-MailRelay-From: {from}\n\
         X-MailRelay-ToCount: {}\n{to}X-MailRelay-Authentication: {authentication}\nX-MailRelay-Client: 127.0.0.1\n\
         X-MailRelay-ClientCertificate: \nX-MailRelay-MailFromAuthIn: {auth_in}\n\
         X-MailRelay-MailFromAuthOut: {auth_out}\nX-MailRelay-ForwardTo: \nX-MailRelay-ForwardToAddress: \n\
         X-MailRelay-ClientAccountSelector: \nX-MailRelay-Utf8MailboxNames: {utf8}\nX-MailRelay-End: 1\n",
        recipients.len()
    );
    text.replace('\n', "\r\n")
}

#[test]
fn a_message_is_two_files_and_a_request_to_forward() {
    let spool = Spool::new();
    assert_eq!(spool.submit(&["-f", "f@x.com", "a@y.com", "b@z.com"], "Subject: s\n\nbody\n.\nend"), done());
    let files = spool.files();
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    let id = names[0].strip_suffix(".content").unwrap();
    assert_eq!(names, [format!("{id}.content"), format!("{id}.envelope")]);
    let parts: Vec<&str> = id.split('.').collect();
    assert!(parts[0] == "emailrelay" && parts.len() == 4 && parts[3] == "1", "{id}");
    assert_eq!(spool.content_bytes(), b"Subject: s\r\n\r\nbody\r\n.\r\nend\r\n");
    assert_eq!(spool.ending(".envelope"), [envelope("f@x.com", &["a@y.com", "b@z.com"], [""; 3], 0)]);
    assert!(spool.path().join("forward.request").exists());
}

#[test]
fn envelope_options_are_written_as_xtext() {
    let spool = Spool::new();
    let arguments =
        ["-a", "bob+x y", "-i", "", "--from-auth-out=a=b", "-f", "j\u{f6}rg@b\u{fc}cher.example", "t@x"];
    assert_eq!(spool.submit(&arguments, ""), done());
    let auth = ["bob+2Bx+20y", "<>", "a+3Db"];
    assert_eq!(spool.ending(".envelope"), [envelope("j\u{f6}rg@xn--bcher-kva.example", &["t@x"], auth, 1)]);
    assert_eq!(spool.content_bytes(), b"\r\n");
}

#[test]
fn sender_and_recipients_come_from_the_header() {
    let spool = Spool::new();
    let input = "From: <a@b>\nTo: <c@d>, E <e@f>\nBcc: \"g,h\"@i\nSubject: s\n\nx\n";
    assert_eq!(spool.submit(&[], input), done());
    assert_eq!(spool.ending(".envelope"), [envelope("a@b", &["c@d", "e@f", "\"g,h\"@i"], [""; 3], 0)]);
    assert_eq!(spool.content_bytes(), b"From: <a@b>\r\nTo: <c@d>, E <e@f>\r\nSubject: s\r\n\r\nx\r\n");
}

#[test]
fn mail_from_cron_is_accepted() {
    let spool = Spool::new();
    let input = "From: root (Cron Daemon)\nTo: root\nSubject: Cron <root@host> job\n\noutput\n";
    assert_eq!(spool.submit(&["--domain=ex.org"], input), done());
    assert_eq!(spool.ending(".envelope"), [envelope("root@ex.org", &["root@ex.org"], [""; 3], 0)]);
}

#[test]
fn bcc_split_stores_a_message_for_each() {
    let spool = Spool::new();
    let input = "To: a@x\nBcc: B <b@x>\nSubject: s\nBcc: c@x\n\nbody\n";
    let result = spool.submit(&["--bcc-split", "--filename", "-f", "f@x"], input);
    let names: Vec<String> = spool.files().into_keys().filter(|name| name.ends_with(".content")).collect();
    assert_eq!(result, Run { stdout: names.iter().map(|name| format!("{name}\n")).collect(), ..done() });
    let content = |bcc: &str| format!("To: a@x\r\n{bcc}Subject: s\r\n{bcc}\r\nbody\r\n");
    let contents = [content(""), content("bcc: \"B\" <b@x>\r\n"), content("bcc: c@x\r\n")];
    assert_eq!(spool.ending(".content"), contents);
    let envelopes = ["a@x", "b@x", "c@x"].map(|to| envelope("f@x", &[to], [""; 3], 0));
    assert_eq!(spool.ending(".envelope"), envelopes);
}

#[test]
fn content_options_and_input_are_put_together() {
    let spool = Spool::new();
    // Subject: s | (empty) | first
    let arguments = ["-C", "U3ViamVjdDogcw", "--content=,Zmlyc3Q=", "-F", "-t", "-f", "f@x", "a@x", "b@x"];
    assert_eq!(spool.submit(&arguments, "To: old@x\r\nX: y\r\n\r\nsecond\r\n"), done());
    assert_eq!(
        spool.content_bytes(),
        b"To: a@x,b@x\r\nFrom: f@x\r\nSubject: s\r\nX: y\r\n\r\nfirst\r\nsecond\r\n"
    );
}

#[test]
fn added_date_and_message_id_are_well_formed() {
    let spool = Spool::new();
    let mut command = spool.command(["-d", "--content-message-id=ex.org", "-N", "a@x"]);
    command.env("TZ", "America/St_Johns");
    assert_eq!(run(command, ""), done());
    let content = String::from_utf8(spool.content_bytes()).unwrap();
    let (id, date) = content.split_once("\r\n").unwrap();
    let id = id.strip_prefix("Message-ID: <").unwrap().strip_suffix("@ex.org>").unwrap();
    let parts: Vec<&str> = id.split('.').collect();
    assert!(parts.len() == 3 && parts[1].len() == 6, "{id}");
    let date = date.strip_prefix("Date: ").unwrap().trim_end();
    let read = jiff::fmt::rfc2822::parse(date).unwrap();
    assert_eq!(read.timestamp().as_second(), parts[0].parse::<i64>().unwrap());
    let (_, zone) = date.rsplit_once(' ').unwrap();
    // Machines without zone data show UTC.
    assert!(["-0330", "-0230", "+0000"].contains(&zone), "{date}");
    assert_eq!(date.len(), "Fri, 20 Nov 2026 07:09:14 -0330".len());
}

#[test]
fn input_comes_from_a_file() {
    let spool = Spool::new();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("message");
    fs::write(&file, "To: a@x\n\nfrom file\n").unwrap();
    for extra in [&["-x", file.to_str().unwrap()] as &[_], &["-N", "-x", file.to_str().unwrap()]] {
        let spool = Spool::new();
        assert_eq!(spool.submit(extra, "not read\n"), done());
        assert_eq!(spool.content_bytes(), b"To: a@x\r\n\r\nfrom file\r\n");
    }
    assert!(spool.files().is_empty());
}

#[test]
fn verbose_prints_the_path_with_the_directory_as_given() {
    let spool = Spool::new();
    let mut command = Command::new(PROGRAM);
    command.current_dir(spool.path()).args(["-s", "./.", "-v", "-N", "a@x"]);
    let result = run(command, "");
    let name = spool.files().into_keys().next().unwrap();
    assert_eq!(result, Run { stdout: format!("././{name}\n"), ..done() });
}

#[test]
fn message_files_are_for_owner_and_group_whatever_the_mask() {
    use std::os::unix::fs::PermissionsExt;
    for mask in ["000", "077", "777"] {
        let spool = Spool::new();
        let mut command = Command::new("sh");
        command.args(["-c", &format!("umask {mask}; exec \"$@\""), "sh", PROGRAM, "-s"]).arg(spool.path());
        command.args(["-N", "a@x"]);
        assert_eq!(run(command, ""), done());
        for name in spool.files().keys() {
            let mode = fs::metadata(spool.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o660, "{name} with mask {mask}");
        }
    }
}

#[test]
fn help_and_version_need_no_spool() {
    let plain = |argument: &str| {
        let mut command = Command::new(PROGRAM);
        command.arg(argument);
        run(command, "")
    };
    assert_eq!(plain("--version"), Run { stdout: format!("{}\n", emailrelay::VERSION), ..done() });
    let help = plain("-h").stdout;
    assert!(help.starts_with("E-MailRelay V") && help.contains("abbreviated usage: emailrelay-submit "));
    let full = plain("-hv").stdout;
    assert!(full.len() > help.len() && full.contains("--from-auth-in") && !full.contains("--debug"));
}

#[test]
fn debug_tells_what_was_decided() {
    let spool = Spool::new();
    let result = spool.submit(&["--debug", "-F"], "From: a@b\nTo: c@d\nCc: e@f\nBcc: g@h\n");
    let lines = [
        "content: from/sender: [a@b]",
        "content: to/cc: [c@d,e@f]",
        "content: bcc: [g@h]",
        "content: added: From: a@b",
    ];
    let stderr = lines.map(|line| format!("emailrelay-submit: info: submit: {line}\n")).concat();
    assert_eq!(result, Run { stderr, ..done() });
}

#[test]
fn a_dot_ends_the_message_on_a_terminal() {
    let spool = Spool::new();
    let mut command = Command::new("script");
    let inner = format!("{PROGRAM} -s {} -f f@x t@x", spool.path().display());
    command.args(["-qec", &inner, "/dev/null"]);
    if Command::new("script").arg("--version").stdout(Stdio::null()).status().is_err() {
        skip("no script program to make a terminal");
        return;
    }
    assert_eq!(run(command, "Subject: s\n\nx\n.\n").code, Some(0));
    assert_eq!(spool.content_bytes(), b"Subject: s\r\n\r\nx\r\n");
}

/// Says why a test cannot run here; where everything must be there, this is a failure.
fn skip(reason: &str) {
    let in_ci = std::env::var_os("EMAILRELAY_CI").is_some_and(|value| value == "1");
    assert!(!in_ci, "cannot be skipped: {reason}");
    eprintln!("skipped: {reason}");
}

/// The directory of the program, which `@app` stands for.
fn program_directory() -> PathBuf {
    Path::new(PROGRAM).parent().unwrap().to_owned()
}
