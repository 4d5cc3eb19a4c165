//! Address verifiers: what programs, servers and accounts say of recipients, and what becomes of those that misbehave.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::thread;

use tempfile::TempDir;

use crate::support::client::{Reply, SmtpClient};
use crate::support::daemon::Daemon;
use crate::support::spool::TempSpool;
use crate::support::{PATIENCE, package, wait_for};

const CONTENT: &[u8] = b"Subject: test\r\n\r\nhello\r\n";

/// A verifier program in a directory of its own.
struct Verifier {
    dir: TempDir,
}

impl Verifier {
    fn new(script: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("emailrelay-verifier.").tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let verifier = Self { dir };
        let text = script.replace("@DIR", verifier.dir.path().to_str().unwrap());
        fs::write(verifier.path(), text).unwrap();
        fs::set_permissions(verifier.path(), fs::Permissions::from_mode(0o755)).unwrap();
        verifier
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("verify.sh")
    }

    /// A server that asks it.
    fn server(&self, spool: &TempSpool, more: &[&str]) -> Daemon {
        let path = self.path();
        Daemon::server(
            spool,
            &[&["--domain", "relay.test", "--address-verifier", path.to_str().unwrap()], more].concat(),
        )
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The number in a file that it writes.
    fn pid(&self, name: &str) -> u32 {
        wait_for(name, PATIENCE, || fs::read_to_string(self.file(name)).ok()?.trim().parse().ok())
    }
}

/// Ends with the code and after the lines that the local part asks for: `CODE-LINES`.
const OBEDIENT: &str = "#!/bin/sh
name=${1%%@*}
lines=${name#*-}
[ \"$lines\" -ge 1 ] && echo 'first line'
[ \"$lines\" -ge 2 ] && echo 'second'
exit \"${name%%-*}\"
";

fn is_alive(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

fn wait_dead(pid: u32) {
    wait_for(&format!("end of process {pid}"), PATIENCE, || (!is_alive(pid)).then_some(()));
}

fn said(reply: &Reply) -> String {
    format!("{} {}", reply.code, reply.lines.join("|"))
}

fn begin(server: &Daemon) -> SmtpClient {
    let mut client = SmtpClient::connect(server.address());
    assert_eq!(client.command("MAIL FROM:<a@example.com>").code, 250);
    client
}

#[test]
fn every_exit_code_has_its_reply_log_line_and_envelope() {
    let spool = TempSpool::new();
    let verifier = Verifier::new(OBEDIENT);
    for code in [0, 1, 2, 3, 4, 99, 101, 127, 255] {
        // Another one each time: of many lines of a kind in a minute some would be folded.
        let server = verifier.server(&spool, &[]);
        let mut client = begin(&server);
        for lines in 0..3 {
            let address = format!("{code}-{lines}@x.net");
            let reply = said(&client.command(&format!("RCPT TO:<{address}>")));
            let text = ["mailbox unavailable", "first line", "first line"][lines];
            let reason = if lines == 2 { "second".to_owned() } else { format!("exit code {code}") };
            let expected = match (code, lines) {
                (0, 2) => format!("250 recipient <{address}>  OK"),
                (1, 2) => format!("250 recipient <{address}> OK"),
                (3, _) => format!("450 {text}"),
                _ => format!("550 {text}"),
            };
            assert_eq!(reply, expected, "{address}");
            if !expected.starts_with("250") {
                server.line(&format!("warning: rejecting recipient \"{address}\": {text}: {reason}"));
            }
        }
        let lines = format!("address verifier: exit code {code}: [first line] [second]");
        server.line(&lines);
        assert_eq!(client.command("DATA").code, if code < 2 { 354 } else { 554 });
    }
    let server = verifier.server(&spool, &[]);
    let mut client = begin(&server);
    for address in ["0-2@one", "1-2@two", "2-2@three", "0-2@four"] {
        client.command(&format!("RCPT TO:<{address}>"));
    }
    client.command("DATA");
    client.write(CONTENT).unwrap();
    assert_eq!(client.command(".").code, 250);
    let envelope = spool.envelope(&spool.ready()[0]);
    assert_eq!(envelope.all("To-Local"), ["second", "second"]);
    assert_eq!(envelope.all("To-Remote"), ["second"]);
}

#[test]
fn vrfy_asks_as_well() {
    let verifier = Verifier::new(OBEDIENT);
    let server = verifier.server(&TempSpool::new(), &[]);
    let mut client = SmtpClient::connect(server.address());
    for (argument, reply) in [
        ("0-2@x", "250 first line"),
        ("1-2@x", "252 cannot verify but will accept: 1-2@x"),
        ("2-1@x", "550 first line"),
        ("3-0@x", "450 mailbox unavailable"),
        ("0-1@x SMTPUTF8", "550 first line"),
    ] {
        assert_eq!(said(&client.command(&format!("VRFY {argument}"))), reply);
    }
}

#[test]
fn the_program_gets_six_arguments_and_hardly_anything_else() {
    let spool = TempSpool::new();
    let verifier = Verifier::new(
        "#!/bin/sh
for argument; do printf '[%s]\\n' \"$argument\"; done >@DIR/arguments
tr '\\0' '\\n' </proc/$$/environ >@DIR/environment
ls -l /proc/$$/fd >@DIR/descriptors
umask >@DIR/umask
printf 'x\\n%s\\n' \"$1\"
exit 1
",
    );
    let server = verifier.server(&spool, &[]);
    let mut client = begin(&server);
    let reply = client.command("RCPT TO:<\"quo ted\"@b\u{fc}cher.example>");
    assert_eq!(reply.code, 250, "{reply:?}");
    let arguments = fs::read_to_string(verifier.file("arguments")).unwrap();
    let arguments: Vec<_> = arguments.lines().collect();
    assert_eq!(arguments.len(), 6, "{arguments:?}");
    assert_eq!(arguments[0], "[\"quo ted\"@xn--bcher-kva.example]");
    assert_eq!(arguments[1], "[a@example.com]");
    assert!(arguments[2].starts_with("[127.0.0.1:"), "{arguments:?}");
    assert_eq!(arguments[3..], ["[relay.test]", "[none]", "[]"]);
    let mut environment: Vec<_> =
        fs::read_to_string(verifier.file("environment")).unwrap().lines().map(str::to_owned).collect();
    environment.retain(|line| !line.is_empty());
    environment.sort();
    assert_eq!(environment, ["IFS= \t", "PATH=/usr/bin:/bin"]);
    assert_eq!(fs::read_to_string(verifier.file("umask")).unwrap().trim(), "0077");
    let descriptors = fs::read_to_string(verifier.file("descriptors")).unwrap();
    assert!(!descriptors.contains("socket:"), "{descriptors}");
    server.line(&format!(
        "address verifier: executing [{}] [\"quo ted\"@xn--bcher-kva.example] [a@example.com]",
        verifier.path().display()
    ));
}

#[test]
fn abort_closes_the_connection_at_once() {
    let verifier = Verifier::new("#!/bin/sh\nexit 100\n");
    let server = verifier.server(&TempSpool::new(), &[]);
    let mut client = begin(&server);
    client.write(b"RCPT TO:<b@example.com>\r\n").unwrap();
    assert_eq!(client.rest(), b"");
    server.line("smtp connection closed: smtp protocol done: address verifier abort: 127.0.0.1:");
}

#[test]
fn a_broken_verifier_bounces_nothing() {
    let spool = TempSpool::new();
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing");
    let text = dir.path().join("text");
    fs::write(&text, "no program").unwrap();
    for (path, warning) in [
        (&missing, format!("warning: verifier program does not exist: {}", missing.display())),
        (&dir.path().to_owned(), format!("warning: invalid program: {}", dir.path().display())),
        (&text, String::new()),
    ] {
        let server = Daemon::server(&spool, &["--address-verifier", path.to_str().unwrap()]);
        server.line(&warning);
        let reply = begin(&server).command("RCPT TO:<b@example.com>");
        assert_eq!(said(&reply), "451 error");
        server.line("warning: address verifier: exec error");
        server.line("warning: rejecting recipient \"b@example.com\": error: exec error");
    }
}

#[test]
fn what_a_program_says_cannot_break_reply_log_or_envelope() {
    let verifier = Verifier::new(
        "#!/bin/sh
case \"$1\" in
text*) printf 'tab\\there \\\\ \\001 '; head -c 900 /dev/zero | tr '\\0' x; exit 2;;
up*) printf 'n\\n../up\\n'; exit 0;;
slash*) printf 'n\\na/b\\n'; exit 0;;
control*) printf 'n\\na\\033b@c\\n'; exit 1;;
long*) printf 'n\\n'; head -c 300 /dev/zero | tr '\\0' x; exit 1;;
esac
",
    );
    let spool = TempSpool::new();
    let server = verifier.server(&spool, &[]);
    let mut client = begin(&server);
    let reply = said(&client.command("RCPT TO:<text@x>"));
    assert!(reply.starts_with("550 tab\\there \\\\ \\x01 xxx") && reply.len() < 420, "{reply}");
    for address in ["up@x", "slash@x", "control@x", "long@x"] {
        assert_eq!(said(&client.command(&format!("RCPT TO:<{address}>"))), "451 error", "{address}");
    }
    server.line("warning: address verifier: invalid mailbox name from the verifier");
    server.line("warning: address verifier: invalid address from the verifier");
}

#[test]
fn a_program_that_hangs_forks_or_floods_is_ended() {
    let verifier = Verifier::new(
        "#!/bin/sh
case \"$1\" in
hang*) echo $$ >@DIR/hang; exec sleep 1000;;
deaf*) trap '' TERM; echo $$ >@DIR/deaf; while :; do sleep 1; done;;
fork*) sleep 1000 & echo $! >@DIR/fork; exit 1;;
flood*) echo $$ >@DIR/flood; exec yes;;
much*) echo x; echo b@c; head -c 50000000 /dev/zero; exit 1;;
esac
",
    );
    let spool = TempSpool::new();
    let server = verifier.server(&spool, &["--filter-timeout", "1"]);
    let before = server.memory();
    for name in ["hang", "fork", "flood", "deaf"] {
        let reply = begin(&server).command(&format!("RCPT TO:<{name}@x>"));
        assert_eq!(said(&reply), "450 timeout", "{name}");
        server.line(&format!("warning: rejecting recipient \"{name}@x\": timeout: timeout"));
        wait_dead(verifier.pid(name));
    }
    let server = verifier.server(&spool, &["--filter-timeout", "30"]);
    assert_eq!(begin(&server).command("RCPT TO:<much@x>").code, 250);
    assert!(server.memory() < before + 16 * 1024, "{} KiB", server.memory());
}

#[test]
fn a_client_that_leaves_takes_the_program_along() {
    let verifier =
        Verifier::new("#!/bin/sh\necho $$ >@DIR/pid.new; mv @DIR/pid.new @DIR/pid; exec sleep 1000\n");
    let spool = TempSpool::new();
    let server = verifier.server(&spool, &[]);
    let mut client = begin(&server);
    client.write(b"RCPT TO:<b@example.com>\r\n").unwrap();
    let pid = verifier.pid("pid");
    assert!(is_alive(pid));
    drop(client);
    wait_dead(pid);
    server.line("smtp connection closed: peer disconnected: 127.0.0.1:");
    fs::remove_file(verifier.file("pid")).unwrap();
    // The same at a stop, with words of farewell.
    let mut client = begin(&server);
    client.write(b"RCPT TO:<b@example.com>\r\n").unwrap();
    let pid = verifier.pid("pid");
    assert!(server.stop().success());
    assert_eq!(client.rest(), b"421 4.3.2 service shutting down\r\n");
    wait_dead(pid);
    assert!(spool.files().is_empty());
}

#[test]
fn a_slow_verifier_holds_up_nobody_else() {
    let verifier = Verifier::new(
        "#!/bin/sh
while [ ! -e @DIR/go ]; do sleep 0.05; done
printf 'x\\n%s\\n' \"$1\"
exit 1
",
    );
    let spool = TempSpool::new();
    let server = verifier.server(&spool, &["--smtp-max-per-address", "0", "--verifier-parallel", "20"]);
    let mut clients: Vec<SmtpClient> = (0..200).map(|_| begin(&server)).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client
            .write(format!("RCPT TO:<a{number}@x>\r\nRCPT TO:<b{number}@x>\r\nNOOP\r\n").as_bytes())
            .unwrap();
    }
    // All of them wait, and others do not.
    let mut other = begin(&server);
    assert_eq!(other.command("NOOP").code, 250);
    assert_eq!(other.command("RSET").code, 250);
    let running = fs::read_dir("/proc").unwrap().flatten().filter(|entry| {
        let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        command.windows(9).any(|window| window == b"verify.sh") && is_ours(&command, &verifier.path())
    });
    assert!(running.count() <= 20);
    fs::write(verifier.file("go"), "").unwrap();
    for (number, mut client) in clients.into_iter().enumerate() {
        assert_eq!(said(&client.reply().unwrap()), format!("250 recipient <a{number}@x> OK"));
        assert_eq!(said(&client.reply().unwrap()), format!("250 recipient <b{number}@x> OK"));
        assert_eq!(said(&client.reply().unwrap()), "250 noop");
    }
}

fn is_ours(command: &[u8], path: &Path) -> bool {
    let path = path.to_str().unwrap().as_bytes();
    command.windows(path.len()).any(|window| window == path)
}

#[test]
fn a_server_is_asked_over_one_connection_for_each_transaction() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("net:{}", listener.local_addr().unwrap());
    let asked = thread::spawn(move || {
        let mut all = Vec::new();
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let mut asked = Vec::new();
            while let Some(Ok(line)) = lines.next() {
                let answer: &[u8] = match line.split('@').next() {
                    Some("bob") => b"0|bob|Bob Jones <bob@local.net>\n",
                    Some("eve") => b"2|mailbox unavailable|no such user eve\n",
                    _ => b"3|later\r\n",
                };
                stream.write_all(answer).unwrap();
                asked.push(line);
            }
            all.push(asked);
        }
        all
    });
    let spool = TempSpool::new();
    let server = Daemon::server(&spool, &["--domain", "local.net", "--address-verifier", &address]);
    let mut client = begin(&server);
    assert_eq!(said(&client.command("RCPT TO:<bob@local.net>")), "250 recipient <bob@local.net>  OK");
    assert_eq!(said(&client.command("RCPT TO:<eve@local.net>")), "550 mailbox unavailable");
    server.line("warning: rejecting recipient \"eve@local.net\": mailbox unavailable: no such user eve");
    server.line("verification request: [eve@local.net] (127.0.0.1:");
    server.line("verification response: [2|mailbox unavailable|no such user eve]");
    client.command("RSET");
    client.command("MAIL FROM:<>");
    assert_eq!(said(&client.command("RCPT TO:<joe@local.net>")), "450 later");
    client.command("QUIT");
    let asked = asked.join().unwrap();
    assert_eq!(asked.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1]);
    let fields: Vec<_> = asked[0][0].split('|').collect();
    assert_eq!((fields[0], fields[1], fields.len()), ("bob@local.net", "a@example.com", 6));
    assert_eq!(fields[3..], ["local.net", "none", ""]);
    // Nobody listens any more.
    let mut client = begin(&server);
    assert_eq!(said(&client.command("RCPT TO:<bob@local.net>")), "450 cannot verify");
    server.line("warning: error: connect failure: cannot connect to 127.0.0.1:");
}

#[test]
fn accounts_of_the_machine_are_recipients() {
    let spool = TempSpool::new();
    let server = Daemon::server(
        &spool,
        &["--domain", "local.net", "--address-verifier", "account:0-99;lowercase;detail=+"],
    );
    let mut client = begin(&server);
    for (address, reply) in [
        ("root@local.net", "250 recipient <root@local.net>  OK"),
        ("ROOT+lists@LOCAL.NET", "250 recipient <ROOT+lists@LOCAL.NET>  OK"),
        ("Postmaster", "250 recipient <Postmaster>  OK"),
        ("root@other.net", "550 rejected"),
        ("no-such-user-x@local.net", "550 rejected"),
        ("nobody@local.net", "550 rejected"),
    ] {
        assert_eq!(said(&client.command(&format!("RCPT TO:<{address}>"))), reply);
    }
    server.line("rejecting recipient \"root@other.net\": rejected: [other.net] does not match [local.net]");
    server.line("rejected: [no-such-user-x] is not a valid account name");
    server.line("rejected: uid 65534 is not in the range 0-99");
    client.command("DATA");
    client.write(CONTENT).unwrap();
    assert_eq!(client.command(".").code, 250);
    let envelope = spool.envelope(&spool.ready()[0]);
    assert_eq!(envelope.all("To-Local"), ["root", "root", "postmaster"]);
    assert_eq!(envelope.first("ToCount"), "3");
}

#[test]
fn the_example_verifier_works() {
    let spool = TempSpool::new();
    let list = tempfile::NamedTempFile::new().unwrap();
    fs::write(list.path(), "# recipients\nbob@local.net bob\nsales@local.net\n").unwrap();
    let example = package().join("examples/verifier.sh");
    let text = fs::read_to_string(&example).unwrap();
    let script = text.replace("/etc/emailrelay/recipients", list.path().to_str().unwrap());
    assert_ne!(script, text);
    fs::set_permissions(list.path(), fs::Permissions::from_mode(0o644)).unwrap();
    let verifier = Verifier::new(&script);
    let server = verifier.server(&spool, &[]);
    let mut client = begin(&server);
    for (address, reply) in [
        ("bob@local.net", "250 recipient <bob@local.net>  OK"),
        ("BOB@Local.Net", "250 recipient <BOB@Local.Net>  OK"),
        ("sales@local.net", "250 recipient <sales@local.net> OK"),
        ("eve@local.net", "550 mailbox unavailable"),
        ("b.b@local.net", "550 mailbox unavailable"),
    ] {
        assert_eq!(said(&client.command(&format!("RCPT TO:<{address}>"))), reply);
    }
    fs::remove_file(list.path()).unwrap();
    assert_eq!(said(&client.command("RCPT TO:<bob@local.net>")), "450 try again later");
}
