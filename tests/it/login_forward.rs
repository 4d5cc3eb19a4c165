//! Logins at next hops: our own server, a real postfix with the accounts of a real dovecot, and hops that refuse.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::login::Accounts;
use crate::routes::routed;
use crate::support::client::SmtpClient;
use crate::support::daemon::{Daemon, forward};
use crate::support::hop::{Script, ScriptedHop, reply};
use crate::support::need::{self, require};
use crate::support::postfix::RealPostfix;
use crate::support::script::Scripts;
use crate::support::spool::TempSpool;
use crate::support::{PATIENCE, wait_for};

const CONTENT: &[u8] = b"Subject: test\r\n\r\nbody\r\n";

fn fill(spool: &TempSpool) {
    let server = Daemon::server(spool, &["--anonymous=content"]);
    SmtpClient::connect(server.address()).send("a@example.com", &["b@example.com"], CONTENT);
    assert!(server.stop().success());
}

/// No message was touched: it waits as it was.
fn untouched(spool: &TempSpool) {
    let ready = spool.ready();
    assert_eq!((ready.len(), spool.busy().len(), spool.bad().len()), (1, 0, 0), "{:?}", spool.files());
    assert_eq!(spool.envelope(&ready[0]).all("NextAttempt").len(), 0);
    assert_eq!(spool.content(&ready[0]), CONTENT);
}

#[test]
fn our_own_server_is_logged_in_to_by_every_mechanism() {
    let accounts =
        Accounts::new("server plain alice pass1\nclient plain alice pass1\nclient plain:b = = direct\n");
    for mechanism in
        ["SCRAM-SHA-256", "CRAM-SHA512", "CRAM-SHA256", "CRAM-SHA1", "CRAM-MD5", "PLAIN", "LOGIN"]
    {
        let (spool, arrived) = (TempSpool::new(), TempSpool::new());
        fill(&spool);
        let hop = accounts.server(&arrived, &[]);
        let only = format!("m:{mechanism}");
        let options = ["--client-auth", accounts.arg(), "--client-auth-config", &only];
        let (code, log) = forward(&spool, &hop.address().to_string(), &options);
        assert_eq!(code, 0, "{mechanism}: {log:#?}");
        assert_eq!(spool.files(), Vec::<String>::new());
        assert_eq!(arrived.envelope(&arrived.ready()[0]).first("Authentication"), "alice");
        let expected = format!(
            "successful authentication with remote server using mechanism [{}] and plaintext secret for [alice] from line 2",
            mechanism.to_lowercase()
        );
        assert!(log.iter().any(|line| line.ends_with(&expected)), "{mechanism}: {log:#?}");
        assert!(
            !log.iter().any(|line| line.contains("pass1") || line.contains("AGFsaWNlAHBhc3Mx")),
            "{log:#?}"
        );
    }
}

#[test]
fn an_account_on_the_command_line_and_a_masked_one_do_as_well() {
    let accounts = Accounts::new(
        "server plain alice pass1\nclient md5 alice hNtQOHXk3ILKXdDP23to/+nwgSPLCb207nxW2b7nKNk=\n",
    );
    // alice, pass1
    for account in ["plain:YWxpY2U=:cGFzczE=", accounts.arg()] {
        let (spool, arrived) = (TempSpool::new(), TempSpool::new());
        fill(&spool);
        let hop = accounts.server(&arrived, &[]);
        let (code, log) = forward(&spool, &hop.address().to_string(), &["--client-auth", account]);
        assert_eq!(code, 0, "{account}: {log:#?}");
        assert_eq!(arrived.envelope(&arrived.ready()[0]).first("Authentication"), "alice");
    }
}

#[test]
fn a_password_on_the_command_line_is_not_seen_by_others() {
    let spool = TempSpool::new();
    let hop = ScriptedHop::start(Script::well());
    // bob, sesame
    for (option, seen) in [
        (&["--client-auth=plain:Ym9i:c2VzYW1l"][..], "--client-auth=plain:xxxxxxxxxxxxx"),
        (&["-C", "plain:Ym9i:c2VzYW1l"], "plain:xxxxxxxxxxxxx"),
    ] {
        let server = Daemon::server(&spool, &[&["--forward-to", &hop.arg()], option].concat());
        let line = fs::read(format!("/proc/{}/cmdline", server.pid())).unwrap();
        let words: Vec<_> = line.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
        assert!(words.iter().any(|word| word == seen), "{words:?}");
        // The program itself has not forgotten it.
        server.signal(nix::sys::signal::Signal::SIGHUP);
        server.line("configuration reloaded");
        assert!(server.stop().success());
    }
}

#[test]
fn a_refused_login_touches_no_message_and_is_said_once() {
    let accounts = Accounts::new("server plain alice pass1\nclient plain alice pass2\n");
    let (spool, arrived) = (TempSpool::new(), TempSpool::new());
    fill(&spool);
    let hop = accounts.server(&arrived, &[]);
    let (code, log) = forward(&spool, &hop.address().to_string(), &["--client-auth", accounts.arg()]);
    assert_eq!(code, 75, "{log:#?}");
    untouched(&spool);
    let refused = "smtp error: authentication failed using mechanism [cram-sha512] and plaintext secret for [alice] \
                   from line 2: [authentication failed]";
    assert_eq!(log.iter().filter(|line| line.ends_with(refused)).count(), 1, "{log:#?}");
    assert!(!log.iter().any(|line| line.contains("pass2")));
    // One further mechanism after a wrong password, and no more.
    let tries = hop.lines().iter().filter(|line| line.contains("failed authentication")).count();
    assert_eq!(tries, 2, "{:#?}", hop.lines());
    // The right password, and it goes out.
    accounts.write("server plain alice pass1\nclient plain alice pass1\n");
    let (code, log) = forward(&spool, &hop.address().to_string(), &["--client-auth", accounts.arg()]);
    assert_eq!((code, spool.files().len()), (0, 0), "{log:#?}");
}

#[test]
fn a_hop_without_auth_and_a_file_without_the_account_touch_no_message() {
    let (spool, hop) = (TempSpool::new(), ScriptedHop::start(Script::well()));
    fill(&spool);
    let accounts = Accounts::new("client plain alice pass1\n");
    let (code, log) = forward(&spool, &hop.arg(), &["--client-auth", accounts.arg()]);
    assert_eq!(code, 75);
    untouched(&spool);
    let text = "smtp error: authentication is not supported by the remote smtp server";
    assert!(log.iter().any(|line| line.ends_with(text)), "{log:#?}");
    let accounts = Accounts::new("client plain alice pass1 other\n");
    let (code, log) = forward(&spool, &hop.arg(), &["--client-auth", accounts.arg()]);
    assert_eq!(code, 75);
    untouched(&spool);
    let text = "no client authentication account: selector []";
    assert!(log.iter().any(|line| line.ends_with(text)), "{log:#?}");
    let accounts = Accounts::new("client plain:b = =\n");
    let (code, log) = forward(&spool, &hop.arg(), &["--client-auth", accounts.arg()]);
    assert_eq!((code, spool.files().len()), (0, 0), "{log:#?}");
}

/// A dovecot that only judges passwords, for a postfix; ended when dropped.
struct Dovecot(Child);

impl Dovecot {
    /// `socket` is where postfix looks for it.
    fn start(dir: &Path, socket: &Path) -> Self {
        let fill = |text: &str| {
            text.replace("@DIR@", dir.to_str().unwrap()).replace("@SOCKET@", socket.to_str().unwrap())
        };
        fs::write(dir.join("users"), "alice:{PLAIN}pass1::::::\n").unwrap();
        fs::write(dir.join("dovecot.conf"), fill(DOVECOT_CONF)).unwrap();
        let mut command = Command::new(need::path("dovecot"));
        command.arg("-F").arg("-c").arg(dir.join("dovecot.conf"));
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let this = Self(child);
        wait_for("dovecot", PATIENCE, || socket.exists().then_some(()));
        this
    }
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        let pid = nix::unistd::Pid::from_raw(self.0.id().try_into().unwrap());
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        let _ = self.0.wait();
    }
}

const DOVECOT_CONF: &str = "\
base_dir = @DIR@/run
state_dir = @DIR@/state
log_path = @DIR@/dovecot.log
protocols =
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain login cram-md5 scram-sha-256
auth_failure_delay = 0
passdb {
  driver = passwd-file
  args = @DIR@/users
}
userdb {
  driver = static
  args = uid=65534 gid=65534 home=/nonexistent
}
service auth {
  unix_listener @SOCKET@ {
    mode = 0666
  }
}
";

const POSTFIX_SASL: &str = "\
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = private/auth
smtpd_client_restrictions = permit_sasl_authenticated, reject
smtpd_delay_reject = yes
";

#[test]
fn a_real_postfix_with_a_real_dovecot_is_logged_in_to_by_every_mechanism_they_have() {
    require!(need::root(), need::program("postfix"), need::program("dovecot"));
    let dir = tempfile::Builder::new().prefix("emailrelay-dovecot.").tempdir().unwrap();
    let postfix = RealPostfix::start_with(POSTFIX_SASL);
    let _dovecot = Dovecot::start(dir.path(), &postfix.queue().join("private/auth"));
    let mut delivered = 0;
    for mechanism in ["scram-sha-256", "cram-md5", "plain", "login"] {
        for (password, good) in [("pass2", false), ("pass1", true)] {
            let spool = TempSpool::new();
            fill(&spool);
            let accounts = Accounts::new(&format!("client plain alice {password}\n"));
            let only = format!("m:{mechanism}");
            let options = ["--client-auth", accounts.arg(), "--client-auth-config", &only];
            let (code, log) = forward(&spool, &postfix.arg(), &options);
            let what = format!("{mechanism} {password}: {log:#?}");
            if good {
                assert_eq!((code, spool.files().len()), (0, 0), "{what}");
                delivered += 1;
                let kept = postfix.wait_messages(delivered);
                assert!(kept.iter().all(|message| message.content == CONTENT), "{what}");
            } else {
                assert_eq!(code, 75, "{what}");
                untouched(&spool);
                let text = format!(
                    "authentication failed using mechanism [{mechanism}] and plaintext secret for [alice] from line 1: ["
                );
                assert!(log.iter().any(|line| line.contains(&text)), "{what}");
            }
        }
    }
    assert_eq!(postfix.messages().len(), 4);
}

/// The program knows a newer token than the one that the next hop has refused, and is asked for it on the same connection.
#[test]
fn a_token_of_a_program_is_used_and_a_stale_one_renewed() {
    let scripts = Scripts::new();
    let used = scripts.path("used");
    let body = format!(
        "if [ -e '{0}' ]; then echo fresh-token 3600; else : >'{0}'; echo stale-token; fi",
        used.display()
    );
    let program = scripts.shell("token", &body);
    let accounts = Accounts::new(&format!("client oauth:x alice {program}\n"));
    let payload = |token: &str| STANDARD.encode(format!("user=alice\x01auth=Bearer {token}\x01\x01"));
    let hop = ScriptedHop::start(Script {
        ehlo: reply("250-hop.test\r\n250 AUTH XOAUTH2"),
        auth_for: vec![(payload("stale-token"), reply("535 5.7.8 expired"))],
        ..Script::well()
    });
    let spool = TempSpool::new();
    routed(&spool, "a", "", "");
    let (code, log) = forward(&spool, &hop.arg(), &["--debug", "--client-auth", accounts.arg()]);
    assert_eq!((code, hop.accepted().len(), hop.connections()), (0, 1, 1), "{log:#?}");
    let tried: Vec<String> =
        hop.commands(0).into_iter().filter(|command| command.starts_with("AUTH")).collect();
    assert_eq!(tried, ["stale-token", "fresh-token"].map(|token| format!("AUTH XOAUTH2 {}", payload(token))));
    let told = log.iter().any(|line| {
        line.contains("-token")
            || ["stale-token", "fresh-token"].iter().any(|token| line.contains(&payload(token)))
    });
    assert!(!told, "{log:#?}");
}
