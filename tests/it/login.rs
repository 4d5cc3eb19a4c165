//! Logins at the SMTP server: clients of other projects by every mechanism they have, files that change, guesses.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::support::client::{Reply, SmtpClient};
use crate::support::daemon::{Daemon, Program};
use crate::support::need::{self, require};
use crate::support::spool::TempSpool;
use crate::support::{PATIENCE, wait_for};

/// Accounts of all kinds; every password is pass1.
const ACCOUNTS: &str = "server plain alice pass1\n\
    server md5 erik hNtQOHXk3ILKXdDP23to/+nwgSPLCb207nxW2b7nKNk=\n\
    server sha1 sonja d/rrK7oS7aBo6Qz3gvI2cbWeehuzTf6gqwOg7R/L8CWKzyNhIVAmsQ==\n";

/// A secrets file beside a spool directory.
pub(crate) struct Accounts {
    _directory: tempfile::TempDir,
    path: PathBuf,
}

impl Accounts {
    pub(crate) fn new(text: &str) -> Self {
        let directory = tempfile::Builder::new().prefix("emailrelay-auth.").tempdir().unwrap();
        let accounts = Self { path: directory.path().join("relay.auth"), _directory: directory };
        accounts.write(text);
        accounts
    }

    pub(crate) fn write(&self, text: &str) {
        let new = self.path.with_extension("new");
        fs::write(&new, text).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).unwrap();
        fs::rename(new, &self.path).unwrap();
    }

    pub(crate) fn arg(&self) -> &str {
        self.path.to_str().unwrap()
    }

    pub(crate) fn server(&self, spool: &TempSpool, args: &[&str]) -> Daemon {
        let all =
            [&["--server-auth", self.arg(), "--domain", "relay.test", "--smtp-auth-delay=0"], args].concat();
        Daemon::server(spool, &all)
    }
}

fn login(server: &Daemon, credentials: &str) -> (SmtpClient, Reply) {
    let mut client = SmtpClient::connect(server.address());
    let reply = client.command(&format!("AUTH PLAIN {credentials}"));
    (client, reply)
}

/// `alice` with `pass1` and with `pass2`.
const GOOD: &str = "AGFsaWNlAHBhc3Mx";
const BAD: &str = "AGFsaWNlAHBhc3My";

#[test]
fn a_login_opens_the_way_and_is_in_envelope_and_content() {
    let (spool, accounts) = (TempSpool::new(), Accounts::new(ACCOUNTS));
    let server = accounts.server(&spool, &[]);
    let mut client = SmtpClient::connect(server.address());
    let refused = client.command("MAIL FROM:<a@example.com>");
    assert_eq!((refused.code, refused.lines), (530, vec!["authentication required".to_owned()]));
    drop(client);
    let (mut client, reply) = login(&server, GOOD);
    assert_eq!((reply.code, reply.lines), (235, vec!["authentication successful".to_owned()]));
    server.line(
        "successful authentication of remote client using mechanism [plain] and plaintext secret for [alice] from line 1",
    );
    client.send("a@example.com", &["b@example.com"], b"Subject: x\r\n\r\nx\r\n");
    let name = &spool.ready()[0];
    assert_eq!(spool.envelope(name).first("Authentication"), "alice");
    let content = String::from_utf8(spool.content(name)).unwrap();
    assert!(content.contains(" by relay.test with ESMTPA ; "), "{content}");
    assert!(server.line("message stored [").contains(" auth=alice"));
    assert!(!server.lines().iter().any(|line| line.contains(GOOD) || line.contains("pass1")));
}

#[test]
fn a_refused_login_is_a_line_that_fail2ban_matches() {
    let (spool, accounts) = (TempSpool::new(), Accounts::new(ACCOUNTS));
    let server = accounts.server(&spool, &["--log-format=address"]);
    assert_eq!(login(&server, BAD).1.code, 535);
    let line = server.line("failed authentication");
    assert!(
        line.ends_with(
            "emailrelay: warning: 127.0.0.1; failed authentication of remote client using mechanism [plain] \
         and plaintext secret for [alice] from line 1"
        ),
        "{line}"
    );
    // nobody, pass1
    assert_eq!(login(&server, "AG5vYm9keQBwYXNzMQ==").1.code, 535);
    server.line("using mechanism [plain] and missing secret for [nobody]");
    require!(need::program("fail2ban-regex"));
    let log = accounts.path.with_extension("log");
    let dated: Vec<String> =
        server.lines().iter().map(|line| format!("Nov 20 10:31:43 host emailrelay[1]: {line}\n")).collect();
    fs::write(&log, dated.concat()).unwrap();
    let rule = r"emailrelay: warning: <HOST>; failed authentication";
    let output = run(Command::new(need::path("fail2ban-regex")).args([log.to_str().unwrap(), rule]));
    let report = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(report.contains("2 matched"), "{report}");
}

#[test]
fn repeated_guesses_wait_longer_and_end_the_connection() {
    let (spool, accounts) = (TempSpool::new(), Accounts::new(ACCOUNTS));
    let server = Daemon::server(&spool, &["--server-auth", accounts.arg()]);
    let (mut client, reply) = login(&server, BAD);
    assert_eq!(reply.code, 535);
    for _ in 0..3 {
        assert_eq!(client.command(&format!("AUTH PLAIN {BAD}")).code, 535);
    }
    let last = client.command(&format!("AUTH PLAIN {BAD}"));
    assert_eq!((last.code, last.lines), (421, vec!["too many authentication failures".to_owned()]));
    server.line("smtp connection closed: smtp protocol done: too many authentication failures");
    assert_eq!(login(&server, GOOD).1.code, 235);
}

#[test]
fn trusted_addresses_need_no_login() {
    let (spool, accounts) = (TempSpool::new(), Accounts::new("server none 127.0.0.1/8 office\n"));
    let server = accounts.server(&spool, &[]);
    server.line("relay.auth(1): address bits behind the prefix are ignored: [127.0.0.1/8]");
    SmtpClient::connect(server.address()).send("a@example.com", &["b@example.com"], b"x\r\n");
    server.line("trusting [127.0.0.1]: matched [127.0.0.1/8] from line 1");
    let name = &spool.ready()[0];
    assert_eq!(spool.envelope(name).first("Authentication"), "office");
    assert!(String::from_utf8(spool.content(name)).unwrap().contains(" with ESMTP ; "));
}

#[test]
fn the_file_may_change_break_and_vanish_while_it_is_used() {
    let (spool, accounts) = (TempSpool::new(), Accounts::new(ACCOUNTS));
    let server = accounts.server(&spool, &[]);
    let eventually = |credentials: &str, code: u16| {
        wait_for("the new accounts", PATIENCE, || (login(&server, credentials).1.code == code).then_some(()));
    };
    assert_eq!(login(&server, BAD).1.code, 535);
    accounts.write("server plain alice pass2\n");
    eventually(BAD, 235);
    server.line(&format!("info: re-reading secrets file: {}", accounts.arg()));
    accounts.write("server plain alice pass1\nserver plain bob\n");
    // SIGHUP looks at once.
    server.signal(nix::sys::signal::Signal::SIGHUP);
    server.line(&format!("warning: problems reading secrets file [{}]...", accounts.arg()));
    server.line("error: relay.auth(2): too few fields");
    assert_eq!(login(&server, BAD).1.code, 235, "the accounts of before stay");
    fs::remove_file(&accounts.path).unwrap();
    wait_for("a look at the file", PATIENCE, || {
        let code = login(&server, BAD).1.code;
        assert_eq!(code, 235);
        let gone = |line: &String| line.contains("cannot read secrets file: ");
        server.lines().iter().any(gone).then_some(())
    });
    accounts.write(ACCOUNTS);
    eventually(GOOD, 235);
}

#[test]
fn a_bad_file_is_an_error_at_the_start() {
    let spool = TempSpool::new();
    let start = |path: &Path| {
        let args = [
            "--no-daemon",
            "--log",
            "--no-syslog",
            "--port",
            "0",
            "--interface",
            "127.0.0.1",
            "--user",
            "root",
        ];
        let mut command = Program::Emailrelay.command();
        command.args(args).args(["--spool-dir", spool.arg(), "--server-auth"]).arg(path);
        let output = run(&mut command);
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    require!(need::root());
    let accounts = Accounts::new("server plain al sesame\nserver plain al sesame2\nserver plain bob p+x\n");
    let (code, text) = start(&accounts.path);
    assert_eq!(code, Some(1));
    assert_eq!(
        text,
        format!(
            "emailrelay: warning: problems reading secrets file [{}]...\n\
             emailrelay: error: relay.auth(2): duplicate server secret\n\
             emailrelay: error: relay.auth(3): invalid xtext encoding of secret\n\
             emailrelay: error: invalid secrets file\n",
            accounts.arg()
        )
    );
    let (code, text) = start(Path::new("/nonexistent/relay.auth"));
    assert_eq!(code, Some(1));
    assert_eq!(
        text,
        "emailrelay: error: cannot read secrets file: /nonexistent/relay.auth: no such file or directory\n"
    );
}

fn run(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap()
}

/// A client of another project logs in as `user` by one mechanism and sends a message.
struct Peer {
    program: &'static str,
    mechanisms: &'static [(&'static str, &'static str)],
    command: fn(&mut Command, &Daemon, &TempSpool, mechanism: &str, user: &str, password: &str),
}

/// Mechanisms with an account that has it; swaks has them all.
const PEERS: &[Peer] = &[
    Peer {
        program: "swaks",
        mechanisms: &[
            ("PLAIN", "alice"),
            ("LOGIN", "alice"),
            ("CRAM-MD5", "alice"),
            ("CRAM-SHA1", "sonja"),
            ("CRAM-MD5", "erik"),
        ],
        command: |command, server, _, mechanism, user, password| {
            let address = server.address();
            command.args(["--server", &address.ip().to_string(), "--port", &address.port().to_string()]);
            command.args(["--from", "a@example.com", "--to", "b@example.com", "--helo", "client.test"]);
            command.args(["--auth", mechanism, "--auth-user", user, "--auth-password", password]);
        },
    },
    Peer {
        program: "curl",
        mechanisms: &[("PLAIN", "alice"), ("LOGIN", "alice"), ("CRAM-MD5", "alice"), ("CRAM-MD5", "erik")],
        command: |command, server, spool, mechanism, user, password| {
            let file = spool.path().join("letter");
            fs::write(&file, "Subject: x\r\n\r\nx\r\n").unwrap();
            command.args([
                "--silent",
                "--show-error",
                "--max-time",
                "30",
                "--url",
                &format!("smtp://{}", server.address()),
            ]);
            command
                .args(["--mail-from", "a@example.com", "--mail-rcpt", "b@example.com", "--upload-file"])
                .arg(file);
            command.args([
                "--user",
                &format!("{user}:{password}"),
                "--login-options",
                &format!("AUTH={mechanism}"),
            ]);
        },
    },
    Peer {
        program: "msmtp",
        mechanisms: &[
            ("plain", "alice"),
            ("login", "alice"),
            ("cram-md5", "alice"),
            ("scram-sha-256", "alice"),
        ],
        command: |command, server, spool, mechanism, user, password| {
            let (address, letter) = (server.address(), spool.path().join("letter"));
            fs::write(&letter, "Subject: x\n\nx\n").unwrap();
            let script = "exec \"$0\" --file=/dev/null --tls=off --timeout=30 --host=\"$1\" --port=\"$2\" --auth=\"$3\" --user=\"$4\" \
                          --passwordeval=\"echo $5\" --from=a@example.com b@example.com < \"$6\"";
            let program = command.get_program().to_owned();
            *command = Command::new("sh");
            command.args(["-c", script]).arg(program);
            command
                .args([&address.ip().to_string(), &address.port().to_string(), mechanism, user, password])
                .arg(letter);
        },
    },
    Peer {
        program: "python3",
        mechanisms: &[("PLAIN", "alice"), ("LOGIN", "alice"), ("CRAM-MD5", "alice"), ("CRAM-MD5", "erik")],
        command: |command, server, _, mechanism, user, password| {
            let address = server.address();
            command.args([
                "-c",
                SMTPLIB,
                &address.ip().to_string(),
                &address.port().to_string(),
                mechanism,
                user,
                password,
            ]);
        },
    },
];

const SMTPLIB: &str = r#"
import smtplib, sys
host, port, mechanism, user, password = sys.argv[1:]
server = smtplib.SMTP(host, int(port), local_hostname="client.test", timeout=30)
server.ehlo()
server.user, server.password = user, password
method = {"PLAIN": server.auth_plain, "LOGIN": server.auth_login, "CRAM-MD5": server.auth_cram_md5}[mechanism]
try:
    server.auth(mechanism, method)
except smtplib.SMTPAuthenticationError as error:
    assert error.smtp_code == 535, error
    sys.exit(1)
server.sendmail("a@example.com", ["b@example.com"], "Subject: x\r\n\r\nx\r\n")
server.quit()
"#;

fn peer_logs_in_by_every_mechanism_it_has(program: &str) {
    let peer = PEERS.iter().find(|peer| peer.program == program).unwrap();
    let accounts = Accounts::new(ACCOUNTS);
    for (mechanism, user) in peer.mechanisms {
        for (password, good) in [("pass1", true), ("pass2", false)] {
            let spool = TempSpool::new();
            let server = accounts.server(&spool, &[]);
            let mut command = Command::new(need::path(program));
            (peer.command)(&mut command, &server, &spool, mechanism, user, password);
            let output = run(&mut command);
            let text = [&output.stdout[..], &output.stderr].concat();
            let what = format!("{program} {mechanism} {user} {password}: {}", String::from_utf8_lossy(&text));
            assert_eq!(output.status.success(), good, "{what}");
            let name = mechanism.to_lowercase();
            let done = if good { "successful" } else { "failed" };
            let line =
                server.line(&format!("{done} authentication of remote client using mechanism [{name}]"));
            assert!(line.contains(&format!(" for [{user}] from line ")), "{what}: {line}");
            assert_eq!(spool.ready().len(), usize::from(good), "{what}");
            if good {
                assert_eq!(spool.envelope(&spool.ready()[0]).first("Authentication"), *user, "{what}");
            }
        }
    }
}

#[test]
fn swaks_logs_in() {
    require!(need::program("swaks"));
    peer_logs_in_by_every_mechanism_it_has("swaks");
}

#[test]
fn curl_logs_in() {
    require!(need::program("curl"));
    peer_logs_in_by_every_mechanism_it_has("curl");
}

#[test]
fn msmtp_logs_in() {
    require!(need::program("msmtp"));
    peer_logs_in_by_every_mechanism_it_has("msmtp");
}

#[test]
fn python_logs_in() {
    require!(need::program("python3"));
    peer_logs_in_by_every_mechanism_it_has("python3");
}
