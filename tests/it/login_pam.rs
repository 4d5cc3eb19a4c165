//! Logins by PAM, with a real libpam: a service file for the time of the test.

use std::fs;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::login::Accounts;
use crate::pop::put;
use crate::support::client::{Reply, SmtpClient};
use crate::support::daemon::Daemon;
use crate::support::need::{self, require};
use crate::support::pop::PopClient;
use crate::support::spool::TempSpool;

/// The file of the service, made by the test and removed after it.
struct Service {
    dir: tempfile::TempDir,
}

/// Its place is fixed by libpam.
const FILE: &str = "/etc/pam.d/emailrelay";

impl Service {
    /// The password is right if the script says so; `account` is the module of the account step.
    fn new(script: &str, account: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("emailrelay-pam.").tempdir().unwrap();
        let this = Self { dir };
        this.write(script, account);
        this
    }

    fn write(&self, script: &str, account: &str) {
        let path = self.script();
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let text = format!(
            "auth sufficient pam_exec.so quiet expose_authtok {}\nauth required pam_deny.so\naccount required {account}\n",
            path.display()
        );
        let new = Path::new(FILE).with_extension("new");
        let mut options = fs::OpenOptions::new();
        std::io::Write::write_all(
            &mut options.write(true).create(true).truncate(true).mode(0o644).open(&new).unwrap(),
            text.as_bytes(),
        )
        .unwrap();
        fs::rename(new, FILE).unwrap();
    }

    fn script(&self) -> PathBuf {
        self.dir.path().join("judge")
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = fs::remove_file(FILE);
    }
}

fn login(server: &Daemon, user: &str, password: &str) -> Reply {
    let mut client = SmtpClient::connect(server.address());
    let credentials = base64(&format!("\0{user}\0{password}"));
    client.command(&format!("AUTH PLAIN {credentials}"))
}

fn base64(text: &str) -> String {
    emailrelay::sasl::encoding::base64(text.as_bytes())
}

/// One test, because there is one file.
#[test]
fn pam_judges_passwords_and_accounts() {
    require!(need::root(), need::file("/etc/pam.d"));
    // One that a killed run of this test has left does not count.
    let foreign = fs::read_to_string(FILE).is_ok_and(|text| !text.contains("/emailrelay-pam."));
    require!(foreign.then(|| format!("place for a service file: {FILE} is there")));
    let judge = "read -r password; [ \"$PAM_USER\" = alice ] && [ \"$password\" = 'pass 1' ]";
    let service = Service::new(judge, "pam_permit.so");
    let spool = TempSpool::new();
    let server = Daemon::server(&spool, &["--server-auth", "pam:", "--smtp-auth-delay=0"]);

    let mut client = SmtpClient::connect(server.address());
    assert!(client.command("EHLO x").lines.contains(&"AUTH PLAIN".to_owned()));
    assert_eq!(client.command("MAIL FROM:<a@example.com>").code, 530);
    let good = base64("\0alice\0pass 1");
    assert_eq!(client.command(&format!("AUTH PLAIN {good}")).code, 235);
    server.line(
        "successful authentication of remote client using mechanism [plain] and pam account for [alice]",
    );
    client.send("a@example.com", &["b@example.com"], b"x\r\n");
    assert_eq!(spool.envelope(&spool.ready()[0]).first("Authentication"), "alice");

    for (user, password) in [("alice", "pass 2"), ("bob", "pass 1"), ("alice", "")] {
        assert_eq!(login(&server, user, password).code, 535, "{user} {password}");
    }
    server.line("pam error: pam_authenticate: 7: Authentication failure");
    server.line("failed authentication of remote client using mechanism [plain] and pam account for [bob]");

    // The account step counts too.
    service.write(judge, "pam_deny.so");
    assert_eq!(login(&server, "alice", "pass 1").code, 535);
    server.line("pam error: pam_acct_mgmt: ");

    // A module that cannot say is no refusal.
    fs::write(FILE, "auth required pam_debug.so auth=authinfo_unavail\naccount required pam_permit.so\n")
        .unwrap();
    assert_eq!(login(&server, "alice", "pass 1").code, 454);

    // A module that hangs holds up nobody else: only its own client waits.
    service.write("read -r password; [ \"$password\" = fast ] || sleep 1000", "pam_permit.so");
    let mut slow = SmtpClient::connect(server.address());
    slow.write(format!("AUTH PLAIN {}\r\n", base64("\0alice\0slow")).as_bytes()).unwrap();
    assert_eq!(login(&server, "alice", "fast").code, 235);
    assert_eq!(SmtpClient::connect(server.address()).command("NOOP").code, 250);
    drop(slow);
    server.crash();

    // Of a file beside it only the trusted addresses count.
    let accounts = Accounts::new("server none 127.0.0.1 office\nserver plain bob pass1\n");
    service.write(judge, "pam_permit.so");
    let both = format!("pam:,{}", accounts.arg());
    let server = Daemon::server(&spool, &["--server-auth", &both, "--smtp-auth-delay=0"]);
    SmtpClient::connect(server.address()).send("a@example.com", &["b@example.com"], b"x\r\n");
    assert_eq!(login(&server, "bob", "pass1").code, 535);

    over_pop(&service, judge);
}

/// The same over POP, where the server asks for the password in other words.
fn over_pop(service: &Service, judge: &str) {
    let spool = TempSpool::new();
    put(spool.path(), "one", b"Subject: one\r\n\r\n");
    let options = ["--pop", "--pop-port", "0", "--pop-auth", "pam:", "--pop-auth-delay", "0"];
    let server = Daemon::quiet_server(&spool, &options);
    server.line("pop server authentication secrets from \"pam:\"");
    let begin = || PopClient::connect(server.pop_address());
    let password = |user: &str, password: &str| {
        let mut client = begin();
        client.command(&format!("USER {user}"));
        (client.command(&format!("PASS {password}")), client)
    };
    let mut client = begin();
    assert_eq!(client.greeting, "+OK POP3 server ready", "nobody could use a challenge");
    assert_eq!(client.lines("AUTH"), ["PLAIN"]);
    assert!(client.lines("CAPA").contains(&"SASL PLAIN".to_owned()));
    assert_eq!(client.command("APOP alice 00000000000000000000000000000000"), "-ERR invalid mechanism");
    assert_eq!(client.command(&format!("AUTH PLAIN {}", base64("\0alice\0pass 1"))), "+OK");
    assert_eq!(client.retrieve(1), b"Subject: one\r\n\r\n");
    let (reply, mut client) = password("alice", "pass 1");
    assert_eq!(reply, "+OK", "a password may have blanks");
    assert_eq!(client.command("STAT"), "+OK 1 16");

    for (user, word) in [("alice", "pass 2"), ("bob", "pass 1")] {
        assert_eq!(password(user, word).0, "-ERR [AUTH] authentication failed", "{user} {word}");
    }
    server.line("failed authentication of remote client using mechanism [plain] and pam account for [bob]");
    service.write(judge, "pam_deny.so");
    assert_eq!(password("alice", "pass 1").0, "-ERR [AUTH] authentication failed");
    // A module that cannot say is no refusal: the client is to come again.
    fs::write(FILE, "auth required pam_debug.so auth=authinfo_unavail\naccount required pam_permit.so\n")
        .unwrap();
    assert!(password("alice", "pass 1").0.starts_with("-ERR [SYS/TEMP] "));
    // One that hangs holds up nobody else.
    service.write("read -r password; [ \"$password\" = fast ] || sleep 1000", "pam_permit.so");
    let mut slow = begin();
    slow.command("USER alice");
    slow.write(b"PASS slow\r\n");
    assert_eq!(password("alice", "fast").0, "+OK");
    drop(slow);
    server.crash();
}
