//! Log lines that scripts and people match: each as a program writes it, with its level. Those that have a test beside what they are about
//! are not here.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::forward::fill;
use crate::pop::PopSpool;
use crate::support::admin::AdminClient;
use crate::support::client::SmtpClient;
use crate::support::daemon::{Daemon, Program, forward};
use crate::support::hop::{Script, ScriptedHop};
use crate::support::need::{self, require};
use crate::support::network::{REMOTE, alone};
use crate::support::pop::PopClient;
use crate::support::spool::TempSpool;

/// Every line with this text, which must come in this order, each with its level. `*` stands for anything.
fn in_order(lines: &[String], expected: &[&str]) {
    let mut rest = lines.iter();
    for pattern in expected {
        let found = rest.any(|line| matches(line, &format!("emailrelay*: {pattern}")));
        assert!(found, "not in order: {pattern}: {lines:#?}");
    }
}

/// Whether the whole line is the pattern, in which `*` stands for anything.
fn matches(line: &str, pattern: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else { return line == pattern };
    let Some(rest) = line.strip_prefix(head) else { return false };
    (0..=rest.len()).filter(|at| rest.is_char_boundary(*at)).any(|at| matches(&rest[at..], tail))
}

fn executable(path: &Path, text: &str) -> String {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    path.to_str().unwrap().to_owned()
}

fn port_of(line: &str) -> u16 {
    line.rsplit([':', '.']).next().unwrap().parse().unwrap()
}

#[test]
fn a_message_that_comes_and_goes() {
    let (spool, hop) = (TempSpool::new(), ScriptedHop::start(Script::well()));
    let server = Daemon::server(&spool, &["--forward-to", &hop.arg(), "--forward-on-disconnect"]);
    let mut client = SmtpClient::connect(server.address());
    client.send("", &["b@example.net"], b"Subject: x\r\n\r\nx\r\n");
    client.command("QUIT");
    server.line("no more messages to send");
    let to = hop.arg();
    in_order(
        &server.lines(),
        &[
            "info: smtp server on 127.0.0.1:*",
            &format!("info: forwarding to {to}"),
            "info: smtp connection from 127.0.0.1:*",
            "info: tx>>: \"220 * -- E-MailRelay V* -- Service ready\"",
            "info: rx<<: \"EHLO *\"",
            "info: new content file [emailrelay.*.content]",
            "warning: empty MAIL-FROM return path",
            "info: rx<<: [message content not logged]",
            "info: rx<<: \".\"",
            "info: new envelope file [emailrelay.*.envelope.new]",
            "info: message stored [emailrelay.*]: from=<> to=<b@example.net> size=* client=127.0.0.1",
            "info: tx>>: \"250 message processed*\"",
            "info: smtp connection closed: smtp protocol done: 127.0.0.1:*",
            "info: forwarding: [client disconnect]",
            "info: forwarding [emailrelay.*]",
            &format!("info: smtp connection to {to}"),
            "info: tx>>: [* line(s) of content]",
            "info: tx>>: \".\"",
            "info: deleting envelope [emailrelay.*.envelope.busy]",
            "info: deleting content [emailrelay.*.content]",
            "info: message forwarded [emailrelay.*]: to=<b@example.net> relay=* reply=[250 *] delay=*s",
            "info: forwarding: no more messages to send",
        ],
    );
}

#[test]
fn a_message_that_knows_its_way_and_one_for_nobody() {
    let (spool, hop) = (TempSpool::new(), ScriptedHop::start(Script::well()));
    fill(&spool, 2);
    let ready = spool.ready();
    for (name, change) in ready.iter().zip([
        |text: &str, to: &str| {
            text.replace("ForwardTo: ", "ForwardTo: far.test")
                .replace("ForwardToAddress: ", &format!("ForwardToAddress: {to}"))
        },
        |text: &str, _: &str| {
            text.replace("ToCount: 1", "ToCount: 0").replace("X-MailRelay-To-Remote: ", "X-MailRelay-Was: ")
        },
    ]) {
        let path = spool.path().join(name);
        fs::write(&path, change(&fs::read_to_string(&path).unwrap(), &hop.arg())).unwrap();
    }
    let (_, lines) = forward(&spool, &hop.arg(), &[]);
    let id = ready[0].trim_end_matches(".envelope");
    in_order(
        &lines,
        &[&format!("info: forwarding [{id}] forward-to=[far.test] forward-to-address=[{}]", hop.arg())],
    );
    in_order(
        &lines,
        &[
            "warning: forwarding [emailrelay.*]: failing message with no remote recipients",
            "info: failing envelope [emailrelay.*.envelope.busy] -> [emailrelay.*.envelope.bad]",
        ],
    );
}

#[test]
fn a_run_over_nothing() {
    let spool = TempSpool::new();
    let (code, lines) = forward(&spool, "127.0.0.1:9", &[]);
    assert_eq!(code, 0);
    in_order(&lines, &["info: forwarding: [startup]", "info: forwarding: no messages to send"]);
}

#[test]
fn pop_and_its_mailboxes() {
    let pop = PopSpool::new();
    let server = pop.serve(&["--pop-by-name", "--verbose", "--log-address"]);
    fs::create_dir(pop.spool.path().join("alice")).unwrap();
    let mut client = PopClient::login(server.pop_address(), "alice", "secret1");
    client.command("NOOP");
    client.quit();
    PopClient::login(server.pop_address(), "bob", "b b").quit();
    server.line("created pop-by-name");
    let mut wrong = PopClient::connect(server.pop_address());
    wrong.command("USER alice");
    assert!(wrong.command("PASS wrong").starts_with("-ERR"));
    server.line("failed authentication");
    in_order(
        &server.lines(),
        &[
            "info: pop server on 127.0.0.1:*",
            &format!("info: pop server authentication secrets from \"{}\"", pop.secrets.display()),
            "info: 127.0.0.1; pop connection from 127.0.0.1:*",
            "info: 127.0.0.1; rx<<: \"USER alice\"",
            "info: 127.0.0.1; rx<<: \"PASS [password not logged]\"",
            "info: 127.0.0.1; successful authentication of remote client using mechanism [plain] and plaintext secret for [alice] from line 1",
            "info: 127.0.0.1; pop authentication of alice connected from 127.0.0.1:*",
            "info: 127.0.0.1; pop connection closed: pop protocol done: 127.0.0.1:*",
            "info: 127.0.0.1; created pop-by-name sub-directory [bob]",
            "warning: 127.0.0.1; failed authentication of remote client using mechanism [plain] and plaintext secret for [alice] from line 1",
        ],
    );
}

#[test]
fn administration_and_block_lists() {
    let spool = TempSpool::new();
    let server = Daemon::server(&spool, &["--admin", "0", "--admin-terminate"]);
    let address: SocketAddr = server.line("admin server on ").rsplit(' ').next().unwrap().parse().unwrap();
    let mut admin = AdminClient::tcp(address);
    for command in ["dnsbl stop 5", "dnsbl start"] {
        assert!(admin.command(command).starts_with("OK"), "{command}");
    }
    admin.send("terminate");
    server.line("shutdown complete");
    in_order(
        &server.lines(),
        &[
            "info: admin server on 127.0.0.1:*",
            "info: admin connection from 127.0.0.1:*",
            "info: dnsbl disabled for 5s",
            "info: dnsbl enabled",
            "info: received a terminate command from 127.0.0.1:*",
            "info: admin connection closed: *127.0.0.1:*",
        ],
    );
}

#[test]
fn clients_of_other_networks_are_turned_away_from_all_servers() {
    require!(need::root(), need::program("ip"));
    alone(|| {
        let pop = PopSpool::new();
        let options = ["--interface", REMOTE, "--admin", "0"];
        let server = pop.serve(&options);
        for kind in ["smtp", "pop", "admin"] {
            let line = server.line(&format!("{kind} server on {REMOTE}:"));
            drop(TcpStream::connect((REMOTE, port_of(&line))).unwrap());
            server.line(&format!("configured to reject non-local {kind} connection"));
        }
        let networks = "is not in 127.0.0.0/8, 169.254.0.0/16, 10.0.0.0/8, 172.16.0.0/12, or 192.168.0.0/16";
        for kind in ["smtp", "pop"] {
            in_order(
                &server.lines(),
                &[
                    &format!(
                        "warning: configured to reject non-local {kind} connection: {REMOTE} {networks}"
                    ),
                    &format!("warning: connection rejected from {REMOTE}:*"),
                ],
            );
        }
    });
}

#[test]
fn programs_speak_in_the_log_when_asked_twice() {
    let (spool, dir) = (TempSpool::new(), tempfile::tempdir().unwrap());
    let filter = executable(&dir.path().join("filter"), "#!/bin/sh\necho '<<no>>'\nexit 1\n");
    let verifier = executable(&dir.path().join("verifier"), "#!/bin/sh\necho name\necho \"$1\"\nexit 1\n");
    let server = Daemon::server(
        &spool,
        &["--verbose", "--filter", &filter, "--address-verifier", &verifier, "--log-address"],
    );
    let mut client = SmtpClient::connect(server.address());
    assert_eq!(client.try_send("a@x.test", &["b@y.test"], b"Subject: x\r\n\r\n").unwrap().code, 452);
    server.line("rejected by filter");
    in_order(
        &server.lines(),
        &[
            &format!(
                "info: 127.0.0.1; address verifier: executing [{verifier}] [b@y.test] [a@x.test] [127.0.0.1:*] [*] [none] []"
            ),
            // This one without the address: filters for fail2ban would take it for a failure.
            "info: address verifier: exit code 1: [name] [b@y.test]",
            "info: 127.0.0.1; filter [filter]: [emailrelay.*]",
            &format!("info: 127.0.0.1; filter [filter]: [emailrelay.*]: running {filter}"),
            "info: 127.0.0.1; executable output: [<<no>>\\n]",
            "warning: 127.0.0.1; filter [filter] failed: exit code 1: [no]",
            "info: 127.0.0.1; filter [filter]: [emailrelay.*]: failed response=[no]",
            "info: 127.0.0.1; rejected by filter: [no]",
        ],
    );
}

#[test]
fn what_is_wrong_at_the_start() {
    let server = Daemon::server(
        &TempSpool::new(),
        &[
            "--forward-to",
            "no.such.host.invalid:25",
            "--filter",
            "/nonexistent/f,/tmp",
            "--address-verifier",
            "/nonexistent/v",
        ],
    );
    server.line("dns lookup of forward-to");
    in_order(
        &server.lines(),
        &[
            "warning: verifier program does not exist: /nonexistent/v",
            "warning: filter program does not exist: /nonexistent/f",
            "warning: invalid program: /tmp",
            "warning: dns lookup of forward-to address failed: dns error: no such host: \"no.such.host.invalid\" (*)",
        ],
    );
}

#[test]
fn every_part_of_a_line_in_its_place() {
    let spool = TempSpool::new();
    let mut command = Program::Emailrelay.command();
    command.args(["--no-daemon", "--log", "--no-syslog", "--user", "root", "--verbose"]);
    command.args([
        "--log-format",
        "msgid,port,address,unit,time",
        "--in-interface",
        "127.0.0.1",
        "--in-port",
        "0",
    ]);
    command.args(["--in-spool-dir", spool.arg()]);
    let server = Daemon::start(command);
    SmtpClient::connect(server.address()).command("NOOP");
    let line = server.line("rx<<: \"NOOP\"");
    assert!(matches(&line, "emailrelay: *: info: [in] 127.0.0.1;*: rx<<: \"NOOP\""), "{line}");
    let stamp = line.split(": ").nth(1).unwrap();
    let shape: String = stamp.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(shape, "00000000.000000.000");
    in_order(&server.lines(), &["info: [in] smtp server on 127.0.0.1:*"]);
}

#[test]
fn a_warning_is_said_once_on_one_stream() {
    let said = |lines: &[String]| lines.iter().filter(|line| line.contains("localedir")).count();
    let server = Daemon::server(&TempSpool::new(), &["--localedir", "/nowhere"]);
    assert_eq!(said(&server.lines()), 1, "{:#?}", server.lines());
    // A log file leaves standard error to whoever starts the program.
    let (dir, spool) = (tempfile::tempdir().unwrap(), TempSpool::new());
    let log = dir.path().join("log");
    let user = if crate::support::is_root() { &["--user", "root"][..] } else { &[] };
    let args = ["--no-daemon", "--log", "--log-file", log.to_str().unwrap(), "--spool-dir", spool.arg()];
    let work = ["--as-client", "127.0.0.1:1", "--localedir", "/nowhere"];
    let (code, _, errors) = Program::Emailrelay.run(&[&args[..], &work, user].concat());
    assert_eq!(code, Some(0), "{errors}");
    assert_eq!(errors.matches("localedir").count(), 1, "{errors}");
    // The other way round: a program that does not get as far as to its log tells what is wrong nevertheless.
    let broken =
        ["--no-daemon", "--log", "--spool-dir", spool.arg(), "--port", "0", "--localedir", "/nowhere"];
    let (code, _, errors) =
        Program::Emailrelay.run(&[&broken[..], &["--server-auth", "/nonexistent"]].concat());
    assert_eq!(code, Some(1), "{errors}");
    assert_eq!(errors.matches("localedir").count(), 1, "{errors}");
}
