//! POP3 clients of other projects: each reads, keeps and deletes mail, by every mechanism that it has.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output, Stdio};

use crate::pop::PopSpool;
use crate::support::daemon::Daemon;
use crate::support::need::{self, require};

const LETTER: &[u8] = b"From: a@example.com\r\nTo: b@example.com\r\nSubject: one\r\nMessage-Id: <1@example.com>\r\n\r\n.dot\r\nbody\r\n";

fn served() -> (PopSpool, Daemon) {
    let pop = PopSpool::new();
    pop.put("one", LETTER);
    let server = pop.serve(&[]);
    (pop, server)
}

fn run(program: &str, args: &[&str]) -> Output {
    Command::new(need::path(program)).args(args).stdin(Stdio::null()).output().unwrap()
}

#[test]
fn curl_reads_and_deletes_by_every_mechanism() {
    require!(need::program("curl"));
    let (pop, server) = served();
    let url = format!("pop3://{}/", server.pop_address());
    let curl = |more: &[&str]| {
        let output = run("curl", &[&["-sS", "--user", "alice:secret1"], more].concat());
        assert!(output.status.success(), "{more:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    for login in ["AUTH=PLAIN", "AUTH=LOGIN", "AUTH=CRAM-MD5", "AUTH=+APOP", "AUTH=*"] {
        let one = curl(&["--login-options", login, &format!("{url}1")]);
        assert_eq!(one.as_bytes(), LETTER, "{login}");
    }
    assert_eq!(curl(&[&url]).trim(), format!("1 {}", LETTER.len()));
    curl(&["--request", "DELE", &format!("{url}1"), "--head"]);
    assert!(pop.spool.files().is_empty(), "{:?}", pop.spool.files());
}

#[test]
fn mpop_keeps_and_deletes_by_every_mechanism() {
    require!(need::program("mpop"));
    let (pop, server) = served();
    let dir = tempfile::tempdir().unwrap();
    let (port, inbox) = (server.pop_address().port().to_string(), dir.path().join("inbox"));
    fs::create_dir_all(dir.path().join("inbox")).unwrap();
    for sub in ["new", "cur", "tmp"] {
        fs::create_dir_all(inbox.join(sub)).unwrap();
    }
    let mechanisms = ["user", "apop", "plain", "cram-md5", "scram-sha-256", "login"];
    for (at, auth) in mechanisms.iter().enumerate() {
        let last = at + 1 == mechanisms.len();
        let keep = if last { "off" } else { "on" };
        let rc = dir.path().join("mpoprc");
        fs::write(
            &rc,
            format!(
                "account default\nhost 127.0.0.1\nport {port}\ntls off\nuser alice\npassword secret1\nauth {auth}\nkeep {keep}\n\
                 delivery maildir {}\nuidls_file {}/uidls.{auth}\n",
                inbox.display(),
                dir.path().display()
            ),
        )
        .unwrap();
        fs::set_permissions(&rc, fs::Permissions::from_mode(0o600)).unwrap();
        let output = run("mpop", &["-C", rc.to_str().unwrap(), "-a"]);
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        if said.contains("does not support authentication method") || said.contains("not supported") {
            continue;
        }
        assert!(output.status.success(), "{auth}: {said}");
        assert_eq!(pop.spool.ready().len(), usize::from(!last), "{auth}: {said}");
    }
    assert!(fs::read_dir(inbox.join("new")).unwrap().count() >= 4);
}

#[test]
fn fetchmail_keeps_and_deletes() {
    require!(need::program("fetchmail"));
    let (pop, server) = served();
    let dir = tempfile::tempdir().unwrap();
    let port = server.pop_address().port();
    let fetch = |auth: &str, keep: &str| {
        let rc = dir.path().join("fetchmailrc");
        let mda = format!("cat >> {}/mail", dir.path().display());
        fs::write(
            &rc,
            format!(
                "poll 127.0.0.1 protocol pop3 port {port} auth {auth} uidl user alice password secret1 sslproto '' {keep} mda \"{mda}\"\n"
            ),
        )
        .unwrap();
        fs::set_permissions(&rc, fs::Permissions::from_mode(0o600)).unwrap();
        let mut command = Command::new(need::path("fetchmail"));
        command.env("HOME", dir.path()).env("FETCHMAILHOME", dir.path());
        let idfile = dir.path().join(format!("ids.{auth}.{keep}"));
        command.args(["-f", rc.to_str().unwrap(), "-i", idfile.to_str().unwrap(), "--nosyslog"]);
        let output = command.stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert_eq!(output.status.code(), Some(0), "{auth}: {said}");
    };
    fetch("password", "keep");
    fetch("cram-md5", "keep");
    assert_eq!(pop.spool.ready().len(), 1);
    fetch("password", "no keep");
    assert!(pop.spool.files().is_empty());
    let mail = fs::read_to_string(dir.path().join("mail")).unwrap();
    assert_eq!(mail.matches("\n.dot\nbody\n").count(), 3, "{mail}");
}

#[test]
fn poplib_uses_every_command() {
    require!(need::program("python3"));
    let (pop, server) = served();
    let port = server.pop_address().port().to_string();
    let output = run("python3", &["-c", POPLIB, &port]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("PIPELINING") && said.contains("UTF8"), "{said}");
    assert!(pop.spool.files().is_empty());
}

const POPLIB: &str = r#"
import poplib, sys
def connect(): return poplib.POP3("127.0.0.1", int(sys.argv[1]))
server = connect()
print(sorted(server.capa()))
server.utf8()
server.user("alice"); server.pass_("secret1")
count, size = server.stat()
assert count == 1, count
assert server.list()[1] == [b"1 %d" % size]
assert server.uidl()[1] == [b"1 one.content"] and server.uidl(1) == b"+OK 1 one.content"
assert server.top(1, 1)[1][-1] == b".dot", server.top(1, 1)
assert server.retr(1)[1][-1] == b"body"
server.dele(1); server.rset(); server.noop(); server.quit()
server = connect()
server.apop("alice", "secret1")
server.dele(1)
server.quit()
server = connect()
server.user("alice"); server.pass_("secret1")
assert server.stat() == (0, 0)
server.quit()
"#;

#[test]
fn secrets_of_1_x_open_mailboxes_by_password_and_by_apop() {
    require!(need::program("python3"));
    let pop = PopSpool::new();
    fs::write(
        &pop.secrets,
        "login server alice secret1\nAPOP server bob secret2\nlogin client hop secret3\n",
    )
    .unwrap();
    let server = pop.serve(&[]);
    let port = server.pop_address().port().to_string();
    let output = run("python3", &["-c", OLD_SECRETS, &port]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    server.line("uses the old field order");
}

const OLD_SECRETS: &str = r#"
import poplib, sys
def connect(): return poplib.POP3("127.0.0.1", int(sys.argv[1]))
for user, password in ("alice", "secret1"), ("bob", "secret2"):
    server = connect()
    server.apop(user, password)
    assert server.stat() == (0, 0)
    server.quit()
    server = connect()
    server.user(user); server.pass_(password)
    server.quit()
server = connect()
server.user("hop")
try: server.pass_("secret3")
except poplib.error_proto: pass
else: sys.exit("our own account at the next hop is nobody's here")
"#;
