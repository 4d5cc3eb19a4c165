//! `--compat 2.6` on both sides: what it brings back of a program's behaviour, and what is there without it. Forwarding has its own
//! tests.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::forward::fill;
use crate::login::Accounts;
use crate::pop::PopSpool;
use crate::support::admin::AdminClient;
use crate::support::certs::Authority;
use crate::support::client::SmtpClient;
use crate::support::daemon::{Daemon, forward};
use crate::support::hop::{Script, ScriptedHop, reply};
use crate::support::pop::PopClient;
use crate::support::spool::TempSpool;

const OLD: [&str; 2] = ["--compat", "2.6"];

/// What a test says of the product as it is, and with the old behaviour.
fn both(part: impl Fn(&[&str]) -> String) -> [String; 2] {
    [part(&[]), part(&OLD)]
}

#[test]
fn mechanisms_are_those_of_2_6() {
    let accounts = Accounts::new("server plain alice pass1\n");
    let offered = |more: &[&str]| {
        let spool = TempSpool::new();
        let server = accounts.server(&spool, more);
        let reply = SmtpClient::connect(server.address()).command("EHLO x");
        reply.lines.into_iter().find(|line| line.contains("AUTH")).unwrap_or_default()
    };
    let old = "AUTH CRAM-SHA512 CRAM-SHA256 CRAM-SHA1 CRAM-MD5 PLAIN LOGIN";
    assert_eq!(both(offered), [old.replace("AUTH", "AUTH SCRAM-SHA-256"), old.to_owned()]);
    let named = ["--compat", "2.6", "--server-auth-config", "m:scram-sha-256"];
    assert_eq!(offered(&named), "AUTH SCRAM-SHA-256");
}

#[test]
fn pop_clients_may_stay_in_clear_where_smtp_needs_tls() {
    let authority = Authority::new();
    let pem = authority.issue("pop.pem", &["localhost"]);
    let tls = ["--server-tls", "--server-tls-certificate", &pem, "--server-tls-required"];
    let said = |more: &[&str]| {
        let pop = PopSpool::new();
        let server = pop.serve(&[&tls[..], more].concat());
        PopClient::connect(server.pop_address()).command("USER alice")
    };
    let [new, old] = both(said);
    assert_eq!(new, "-ERR must use STLS before authentication");
    assert!(old.starts_with("+OK"), "{old}");
}

#[test]
fn capa_and_help_are_those_of_2_6() {
    let capa = |more: &[&str]| {
        let pop = PopSpool::new();
        let server = pop.serve(more);
        PopClient::connect(server.pop_address()).lines("CAPA").join(" ")
    };
    let [new, old] = both(capa);
    assert!(new.contains("RESP-CODES") && new.contains("SCRAM"), "{new}");
    assert!(old.contains("SASL CRAM") && !old.contains("RESP-CODES") && !old.contains("SCRAM"), "{old}");
    let help = |more: &[&str]| {
        let spool = TempSpool::new();
        let server = Daemon::server(&spool, &[&["--admin", "0"], more].concat());
        let line = server.line("admin server on ");
        AdminClient::tcp(line.rsplit(' ').next().unwrap().parse().unwrap()).command("help")
    };
    assert_eq!(both(help).map(|text| text.lines().count()), [2, 1]);
}

#[test]
fn a_filter_that_abandons_is_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("filter");
    fs::write(&program, "#!/bin/sh\nrm -f \"$1\" \"$2\"\nexit 100\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let level = |more: &[&str]| {
        let spool = TempSpool::new();
        let server = Daemon::server(&spool, &[&["--filter", program.to_str().unwrap()], more].concat());
        SmtpClient::connect(server.address()).send("a@x", &["b@y"], b"Subject: x\r\n\r\n");
        let line = server.line("failed: exit code 100");
        line.split(": ").nth(1).unwrap().to_owned()
    };
    assert_eq!(both(level), ["info", "warning"]);
}

#[test]
fn the_next_hop_is_greeted_as_by_2_6() {
    let greeted = |more: &[&str]| {
        let (spool, hop) = (TempSpool::new(), ScriptedHop::start(Script::well()));
        fill(&spool, 1);
        let (code, log) = forward(&spool, &hop.arg(), &[&["--domain", "relay"], more].concat());
        assert_eq!(code, 0, "{log:?}");
        hop.commands(0).remove(0)
    };
    assert_eq!(both(greeted), ["EHLO [127.0.0.1]", "EHLO 127.0.0.1"]);
}

#[test]
fn silence_ends_without_a_word() {
    let said = |more: &[&str]| {
        let spool = TempSpool::new();
        let server = Daemon::server(&spool, &[&["--idle-timeout", "1"], more].concat());
        let rest = SmtpClient::connect(server.address()).rest();
        server.line("idle timeout: no activity after 1s");
        String::from_utf8(rest).unwrap()
    };
    assert_eq!(both(said), ["421 idle timeout\r\n", ""]);
}

#[test]
fn a_size_is_announced_unless_it_was_not_then() {
    let mail = |more: &[&str]| {
        let ehlo = reply("250-hop.test\r\n250 SIZE");
        let (spool, hop) = (TempSpool::new(), ScriptedHop::start(Script { ehlo, ..Script::well() }));
        fill(&spool, 1);
        assert_eq!(forward(&spool, &hop.arg(), more).0, 0);
        hop.commands(0)
            .iter()
            .any(|command| command.starts_with("MAIL ") && command.contains(" SIZE="))
            .to_string()
    };
    assert_eq!(both(mail), ["true", "false"]);
    assert_eq!(mail(&["--compat", "2.6", "--client-smtp-config=+size"]), "true");
    assert_eq!(mail(&["--client-smtp-config=-size"]), "false");
}
