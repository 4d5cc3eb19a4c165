//! Passwords that are stored as slow hashes: made by `emailrelay-passwd`, checked by both servers.

use std::io::Write as _;
use std::process::Stdio;

use emailrelay::sasl::encoding::base64;

use crate::login::Accounts;
use crate::support::client::SmtpClient;
use crate::support::daemon::{Daemon, Program};
use crate::support::spool::TempSpool;

/// The fourth field of a line for this password.
fn field(function: &str, password: &str) -> String {
    let mut passwd = Program::Passwd.command();
    passwd.args(["--hash", function]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = passwd.spawn().unwrap();
    child.stdin.take().unwrap().write_all(format!("{password}\n").as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

fn plain(user: &str, password: &str) -> String {
    format!("AUTH PLAIN {}", base64(format!("\0{user}\0{password}").as_bytes()))
}

/// For the password `pleaseletmein` (RFC 7914 section 12): cheap enough for a build without optimisation.
const SCRYPT: &str = "$scrypt$ln=14,r=8,p=1$U29kaXVtQ2hsb3JpZGU$\
    cCO9yzr9c0hGHAbNgf046/2o+2B7qQT44+2BqbVD9lRdofLVQylVYT8Pz2LUlwUkKpr55h6F3A1lHkDfzwF7RVdYhw";

#[test]
fn both_functions_serve_plain_login_and_pop() {
    let lines = format!("server argon2id alice {}\nserver scrypt bob {SCRYPT}\n", field("argon2id", "pass1"));
    let (spool, accounts) = (TempSpool::new(), Accounts::new(&lines));
    let server = accounts.server(&spool, &["--pop", "--pop-port", "0", "--pop-auth", accounts.arg()]);
    let mut client = SmtpClient::connect(server.address());
    let offered = client.command("EHLO x").lines;
    assert!(offered.contains(&"AUTH PLAIN LOGIN".to_owned()), "{offered:?}");
    assert_eq!(client.command(&plain("alice", "pass2")).code, 535);
    server.line("using mechanism [plain] and argon2id secret for [alice] from line 1");
    assert_eq!(client.command(&plain("nobody", "pass1")).code, 535);
    server.line("using mechanism [plain] and missing secret for [nobody]");
    assert_eq!(client.command(&plain("alice", "pass1")).code, 235);
    client.send("a@example.com", &["b@example.com"], b"x\r\n");
    assert_eq!(spool.envelope(&spool.ready()[0]).first("Authentication"), "alice");

    let mut client = SmtpClient::connect(server.address());
    for (line, code) in [("AUTH LOGIN", 334), (&base64(b"bob"), 334), (&base64(b"pleaseletmein"), 235)] {
        assert_eq!(client.command(line).code, code, "{line}");
    }
    server.line("successful authentication of remote client using mechanism [login] and scrypt secret for [bob] from line 2");
    let mut pop = crate::support::pop::PopClient::connect(server.pop_address());
    for command in ["USER alice", "PASS pass1", "QUIT"] {
        assert!(pop.command(command).starts_with("+OK"), "{command}");
    }
    let secrets = lines.split_ascii_whitespace().filter(|word| word.len() > 20).collect::<Vec<_>>();
    assert!(!server.lines().iter().any(|line| secrets.iter().any(|secret| line.contains(secret))));
}

/// The most memory that a process has had, in KiB.
fn peak(server: &Daemon) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn many_logins_at_once_share_the_memory_and_hold_up_nobody() {
    const CLIENTS: usize = 12;
    let lines = format!("server argon2id alice {}\nserver plain bob pass2\n", field("argon2id", "pass1"));
    let (spool, accounts) = (TempSpool::new(), Accounts::new(&lines));
    let server = accounts.server(&spool, &[]);
    let before = peak(&server);
    let mut waiting: Vec<SmtpClient> = (0..CLIENTS).map(|_| SmtpClient::connect(server.address())).collect();
    for client in &mut waiting {
        client.write(format!("{}\r\n", plain("alice", "pass1")).as_bytes()).unwrap();
    }
    // Commands and cheaper logins of others do not wait behind them.
    let mut other = SmtpClient::connect(server.address());
    assert_eq!(other.command(&plain("bob", "pass2")).code, 235);
    (0..100).for_each(|_| assert_eq!(other.command("NOOP").code, 250));
    for client in &mut waiting {
        assert_eq!(client.reply().unwrap().code, 235);
    }
    // Two at a time, of 64 MiB each; all at once would take 768.
    let grown = peak(&server).saturating_sub(before);
    assert!((64 * 1024..256 * 1024).contains(&grown), "{grown} KiB");
}
