//! `--immediate`: the client waits for what the next hop says, and hears it.

use nix::sys::signal::Signal;

use crate::support::client::{Reply, SmtpClient};
use crate::support::daemon::Daemon;
use crate::support::hop::{Gate, Script, ScriptedHop, Step, reply};
use crate::support::script::Scripts;
use crate::support::spool::TempSpool;
use crate::support::{PATIENCE, free_port, wait_for};

const CONTENT: &[u8] = b"Subject: test\r\n\r\n.leading dot\r\nbody\r\n";

/// What a message gets that is taken.
const TAKEN: &str = "250 message processed";

/// A server that sends on at once.
fn proxy(spool: &TempSpool, hop: &str, more: &[&str]) -> Daemon {
    let args = ["--immediate", "--forward-to", hop, "--anonymous=content"];
    Daemon::server(spool, &[&args[..], more].concat())
}

/// The reply in one line.
fn words(reply: &Reply) -> String {
    format!("{} {}", reply.code, reply.lines.join("/"))
}

fn send(client: &mut SmtpClient, to: &[&str]) -> String {
    words(&client.try_send("a@example.com", to, CONTENT).unwrap())
}

fn one(server: &Daemon, to: &[&str]) -> String {
    send(&mut SmtpClient::connect(server.address()), to)
}

fn well(change: impl FnOnce(&mut Script)) -> Script {
    let mut script = Script::well();
    change(&mut script);
    script
}

fn for_two(b: &str, c: &str) -> Script {
    well(|script| {
        script.rcpt_for = vec![("b@".to_owned(), reply(b)), ("c@".to_owned(), reply(c))];
    })
}

/// What happens at the next hop, and what the client hears: by us, and with `--compat 2.6`.
fn table() -> Vec<(&'static str, Script, &'static str, &'static str)> {
    let failed = "452 forwarding failed";
    let rejected = "452 one or more recipients rejected";
    let close = |text: &str| Step::ReplyClose(text.to_owned());
    vec![
        ("all is well", Script::well(), TAKEN, TAKEN),
        (
            "mail refused",
            well(|s| s.mail = reply("550 5.7.1 not you")),
            "550 5.7.1 not you",
            "550 5.7.1 not you",
        ),
        ("mail later", well(|s| s.mail = reply("451 4.3.0 later")), "451 4.3.0 later", "451 4.3.0 later"),
        (
            "several lines",
            well(|s| s.mail = reply("554-5.7.1 not\r\n554 5.7.1 you")),
            "554 5.7.1 not 5.7.1 you",
            "554 5.7.1 not 5.7.1 you",
        ),
        ("recipient refused", for_two("250 ok", "553 5.1.3 who"), "550 5.1.3 who", rejected),
        ("recipient later", for_two("450 4.2.0 grey", "250 ok"), "451 4.2.0 grey", rejected),
        ("both refused", for_two("550 5.1.1 no b", "551 5.1.6 no c"), "550 5.1.1 no b", rejected),
        ("one of each", for_two("550 5.1.1 no b", "450 4.2.0 grey"), "451 4.2.0 grey", rejected),
        ("data refused", well(|s| s.data = reply("554 5.5.1 no")), "554 5.5.1 no", failed),
        ("data later", well(|s| s.data = reply("451 4.3.0 later")), "451 4.3.0 later", failed),
        (
            "content refused",
            well(|s| s.dot = reply("554 5.6.0 content rejected")),
            "554 5.6.0 content rejected",
            "554 5.6.0 content rejected",
        ),
        ("content later", well(|s| s.dot = reply("452 4.2.2 full")), "452 4.2.2 full", "452 4.2.2 full"),
        ("content later, goodbye", well(|s| s.dot = close("421 busy")), "421 busy", "421 busy"),
        ("content later, in bad form", well(|s| s.dot = reply("421 busy")), "421 busy", "421 busy"),
        ("nonsense", well(|s| s.dot = reply("354 what")), "452 what", "452 what"),
        ("greeting refused", well(|s| s.greeting = close("554 5.3.2 no")), failed, failed),
        ("greeting later", well(|s| s.greeting = close("421 4.3.2 busy")), failed, failed),
        ("no words", well(|s| s.greeting = Step::Close), failed, failed),
        ("ehlo closes", well(|s| s.ehlo = Step::Close), failed, failed),
        ("mail closes", well(|s| s.mail = Step::Close), failed, failed),
        ("rcpt closes", well(|s| s.rcpt = Step::Close), failed, failed),
        ("data closes", well(|s| s.data = Step::Close), failed, failed),
        ("the end closes", well(|s| s.dot = Step::Close), failed, failed),
        ("mail hangs", well(|s| s.mail = Step::Silent), failed, failed),
        ("the end hangs", well(|s| s.dot = Step::Silent), failed, failed),
        ("no reply at all", well(|s| s.mail = reply("hello")), failed, failed),
    ]
}

#[test]
fn the_client_hears_what_the_next_hop_says() {
    let (spool, hop) = (TempSpool::new(), ScriptedHop::start(Script::well()));
    let limits = ["--response-timeout", "1", "--client-smtp-config", "shortdot"];
    let server = proxy(&spool, &hop.arg(), &limits);
    server.line("using --immediate can result in client timeout errors: try --forward-on-disconnect instead");
    for (name, script, expected, _) in table() {
        hop.set(script);
        let mut client = SmtpClient::connect(server.address());
        assert_eq!(send(&mut client, &["b@example.com", "c@example.com"]), expected, "{name}");
        // One party owns the message: nothing stays.
        assert_eq!(spool.files(), Vec::<String>::new(), "{name}");
        assert_eq!(client.command("NOOP").code, 250, "{name}: the client's session goes on");
    }
    assert_eq!(hop.accepted().len(), 1);
    assert_eq!(hop.accepted()[0].content, CONTENT);
    assert_eq!(hop.accepted()[0].rcpt, ["<b@example.com>", "<c@example.com>"]);
    server.line("message handed back [");
    server.line("reply=[452 forwarding failed: smtp error: response timeout after 1s]");
    server.line("its client may send it again");
    assert!(server.stop().success());
}

#[test]
fn the_old_answers_are_there_for_who_needs_them() {
    let (spool, hop) = (TempSpool::new(), ScriptedHop::start(Script::well()));
    let old = ["--response-timeout", "1", "--client-smtp-config", "shortdot", "--compat", "2.6"];
    let server = proxy(&spool, &hop.arg(), &old);
    for (name, script, _, expected) in table() {
        hop.set(script);
        let mut client = SmtpClient::connect(server.address());
        assert_eq!(send(&mut client, &["b@example.com", "c@example.com"]), expected, "{name}");
    }
    // All that was refused is set aside, and a message for which there is no connection stays as it is.
    assert_eq!(spool.bad().len() + spool.ready().len(), table().len() - 1);
    assert_eq!(spool.ready().len(), 4);
}

#[test]
fn without_a_next_hop_the_client_is_told() {
    let spool = TempSpool::new();
    let address = format!("127.0.0.1:{}", free_port());
    let server = proxy(&spool, &address, &[]);
    assert_eq!(one(&server, &["b@example.com"]), "452 forwarding failed");
    server.line(&format!("smtp client error: connect failure: cannot connect to {address}"));
    assert_eq!(spool.files(), Vec::<String>::new());
}

#[test]
fn refused_messages_can_be_kept() {
    let script = for_two("250 ok", "550 5.1.1 no c");
    let (spool, hop) = (TempSpool::new(), ScriptedHop::start(script));
    let server = proxy(&spool, &hop.arg(), &["--client-smtp-config=-immediatedelete"]);
    assert_eq!(one(&server, &["b@example.com", "c@example.com"]), "550 5.1.1 no c");
    let bad = spool.bad();
    assert_eq!((bad.len(), spool.ready().len(), spool.busy().len()), (1, 0, 0));
    let envelope = spool.envelope(&bad[0]);
    assert_eq!(envelope.all("To-Remote"), ["b@example.com", "c@example.com"]);
    assert_eq!(envelope.first("ReasonCode"), "550");
    assert_eq!(spool.content(&bad[0]), CONTENT);
}

#[test]
fn one_connection_serves_a_session_and_ends_with_it() {
    let (spool, hop) = (TempSpool::new(), ScriptedHop::start(Script::well()));
    let server = proxy(&spool, &hop.arg(), &[]);
    let mut client = SmtpClient::connect(server.address());
    for between in ["RSET", "EHLO again", "NOOP"] {
        assert_eq!(send(&mut client, &["b@example.com"]), TAKEN);
        assert_eq!(client.command(between).code, 250);
    }
    assert_eq!((hop.connections(), hop.accepted().len()), (1, 3));
    assert_eq!(client.command("QUIT").code, 221);
    hop.wait_command("QUIT");
    // Another client has its own.
    assert_eq!(one(&server, &["b@example.com"]), TAKEN);
    assert_eq!(hop.connections(), 2);
}

#[test]
fn a_connection_that_has_died_is_made_again_unseen() {
    let bye = well(|script| script.dot = Step::ReplyClose("250 2.0.0 ok, bye".to_owned()));
    let (spool, hop) = (TempSpool::new(), ScriptedHop::start(bye));
    let server = proxy(&spool, &hop.arg(), &[]);
    let mut client = SmtpClient::connect(server.address());
    for connection in 1..4 {
        assert_eq!(send(&mut client, &["b@example.com"]), TAKEN);
        assert_eq!((hop.connections(), hop.deliveries().len()), (connection, connection));
    }
    assert_eq!(spool.files(), Vec::<String>::new());
}

#[test]
fn what_is_pipelined_behind_the_message_waits_for_its_answer() {
    let gate = Gate::default();
    let held = well(|script| script.dot = gate.before("554 5.6.0 content rejected"));
    let (spool, hop) = (TempSpool::new(), ScriptedHop::start(held));
    let server = proxy(&spool, &hop.arg(), &["--server-smtp-config=chunking"]);
    for last in ["DATA\r\nSubject: x\r\n\r\nx\r\n.\r\n", "BDAT 17\r\nSubject: x\r\n\r\nx\r\nBDAT 0 LAST\r\n"]
    {
        let mut client = SmtpClient::connect(server.address());
        let commands = format!(
            "MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\n{last}NOOP\r\nMAIL FROM:<c@example.com>\r\nQUIT\r\n"
        );
        client.write(commands.as_bytes()).unwrap();
        gate.open();
        let mut codes = Vec::new();
        while let Ok(reply) = client.reply() {
            codes.push(reply.code);
        }
        assert_eq!(&codes[codes.len() - 4..], [554, 250, 250, 221], "{last:?}");
    }
    assert_eq!(spool.files(), Vec::<String>::new());
}

#[test]
fn a_client_that_goes_away_aborts_nothing() {
    let gate = Gate::default();
    let held = well(|script| script.dot = gate.before("250 2.0.0 ok"));
    let (spool, hop) = (TempSpool::new(), ScriptedHop::start(held));
    let server = proxy(&spool, &hop.arg(), &["--idle-timeout", "1"]);
    let mut client = SmtpClient::connect(server.address());
    client
        .write(b"MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\nDATA\r\nSubject: x\r\n\r\n.\r\n")
        .unwrap();
    wait_for("the content at the hop", PATIENCE, || (!hop.deliveries().is_empty()).then_some(()));
    drop(client);
    gate.open();
    server.line("client gone before reply: [");
    server.line("message forwarded [");
    assert_eq!((hop.deliveries().len(), hop.connections()), (1, 1));
    assert_eq!(spool.files(), Vec::<String>::new());
}

#[test]
fn a_client_that_waits_holds_up_nobody() {
    let gate = Gate::default();
    let script = well(|script| script.rcpt_for = vec![("slow@".to_owned(), gate.before("250 ok"))]);
    let (spool, hop) = (TempSpool::new(), ScriptedHop::start(script));
    // Longer than the idle timeout, which does not run while the client waits.
    let server = proxy(&spool, &hop.arg(), &["--idle-timeout", "1"]);
    let mut slow = SmtpClient::connect(server.address());
    slow.write(b"MAIL FROM:<a@example.com>\r\nRCPT TO:<slow@example.com>\r\nDATA\r\nSubject: x\r\n\r\n.\r\n")
        .unwrap();
    hop.wait_command("RCPT");
    for _ in 0..5 {
        assert_eq!(one(&server, &["b@example.com"]), TAKEN);
    }
    gate.open();
    let replies: Vec<u16> = (0..4).map(|_| slow.reply().unwrap().code).collect();
    assert_eq!(replies, [250, 250, 354, 250]);
    assert_eq!(spool.files(), Vec::<String>::new());
}

#[test]
fn connections_are_limited_and_idle_ones_make_room() {
    let (spool, hop) = (TempSpool::new(), ScriptedHop::start(Script::well()));
    let server = proxy(&spool, &hop.arg(), &["--forward-connections-max", "2"]);
    let mut clients: Vec<_> = (0..6).map(|_| SmtpClient::connect(server.address())).collect();
    for _ in 0..2 {
        for client in &mut clients {
            assert_eq!(send(client, &["b@example.com"]), TAKEN);
        }
    }
    assert_eq!(hop.accepted().len(), 12);
    assert!(hop.most_open() <= 2, "{}", hop.most_open());
}

#[test]
fn who_waits_too_long_for_a_connection_is_told() {
    let gate = Gate::default();
    let held = well(|script| script.dot = gate.before("250 2.0.0 ok"));
    let (spool, hop) = (TempSpool::new(), ScriptedHop::start(held));
    let server = proxy(&spool, &hop.arg(), &["--forward-connections-max", "1", "--connection-timeout", "1"]);
    let mut first = SmtpClient::connect(server.address());
    first
        .write(b"MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\nDATA\r\nSubject: x\r\n\r\n.\r\n")
        .unwrap();
    hop.wait_command("DATA");
    assert_eq!(one(&server, &["b@example.com"]), "452 forwarding failed");
    server.line("too many connections to next hops: raise --forward-connections-max");
    gate.open();
    let replies: Vec<u16> = (0..4).map(|_| first.reply().unwrap().code).collect();
    assert_eq!(replies, [250, 250, 354, 250]);
}

#[test]
fn a_stop_waits_for_the_message_in_hand() {
    let gate = Gate::default();
    let held = well(|script| script.dot = gate.before("250 2.0.0 ok"));
    let (spool, hop) = (TempSpool::new(), ScriptedHop::start(held));
    let server = proxy(&spool, &hop.arg(), &[]);
    let mut client = SmtpClient::connect(server.address());
    let mut idle = SmtpClient::connect(server.address());
    client
        .write(b"MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\nDATA\r\nSubject: x\r\n\r\n.\r\n")
        .unwrap();
    wait_for("the content at the hop", PATIENCE, || (!hop.deliveries().is_empty()).then_some(()));
    server.signal(Signal::SIGTERM);
    assert_eq!(idle.reply().unwrap().code, 421);
    gate.open();
    let replies: Vec<u16> = (0..5).map(|_| client.reply().unwrap().code).collect();
    assert_eq!(replies, [250, 250, 354, 250, 421]);
    assert!(server.stop().success());
    assert_eq!((hop.deliveries().len(), spool.files().len()), (1, 0));
}

#[test]
fn a_stop_that_cannot_wait_loses_nothing() {
    // Held before the content, nothing is in doubt; held behind it, the hop may have it.
    for (in_doubt, command) in [(false, "RCPT"), (true, "DATA")] {
        let gate = Gate::default();
        let held = well(|script| {
            let step = if in_doubt { &mut script.dot } else { &mut script.rcpt };
            *step = gate.before("250 2.0.0 ok");
        });
        let (spool, hop) = (TempSpool::new(), ScriptedHop::start(held));
        let server = proxy(&spool, &hop.arg(), &["--stop-timeout", "1"]);
        let mut client = SmtpClient::connect(server.address());
        client
            .write(b"MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\nDATA\r\nSubject: x\r\n\r\n.\r\n")
            .unwrap();
        hop.wait_command(command);
        if in_doubt {
            wait_for("the content at the hop", PATIENCE, || (!hop.deliveries().is_empty()).then_some(()));
        }
        assert!(server.stop().success());
        assert_eq!((spool.ready().len(), spool.busy().len(), spool.bad().len()), (1, 0, 0));
        let envelope = spool.envelope(&spool.ready()[0]);
        assert_eq!(envelope.all("InDoubt").len(), usize::from(in_doubt));
        gate.open();
    }
}

#[test]
fn who_was_served_is_not_served_again() {
    let (spool, hop) = (TempSpool::new(), ScriptedHop::start(for_two("250 ok", "550 5.1.1 no c")));
    let server = proxy(&spool, &hop.arg(), &["--forward-to-some"]);
    let to = ["b@example.com", "c@example.com"];
    assert_eq!(one(&server, &to), TAKEN);
    let bad = spool.bad();
    assert_eq!(spool.envelope(&bad[0]).all("To-Remote"), ["c@example.com"]);
    // Refused for now, it is ours to try again.
    hop.set(for_two("250 ok", "450 4.2.0 grey"));
    assert_eq!(one(&server, &to), TAKEN);
    let ready = spool.ready();
    assert_eq!(spool.envelope(&ready[0]).all("To-Remote"), ["c@example.com"]);
    assert_eq!(spool.envelope(&ready[0]).all("NextAttempt").len(), 1);
    hop.set(for_two("450 4.2.0 grey", "550 5.1.1 no c"));
    assert_eq!(one(&server, &to), "451 4.2.0 grey");
    assert_eq!((spool.bad().len(), spool.ready().len()), (1, 1));
}

#[test]
fn what_is_left_is_sent_by_a_server_that_retries() {
    let (spool, hop) = (TempSpool::new(), ScriptedHop::start(for_two("250 ok", "450 4.2.0 grey")));
    let more = ["--forward-to-some", "--forward-on-disconnect", "--retry-first", "1"];
    let server = proxy(&spool, &hop.arg(), &more);
    assert_eq!(one(&server, &["b@example.com", "c@example.com"]), TAKEN);
    hop.set(Script::well());
    let both = hop.wait_accepted(2);
    assert_eq!(
        (both[0].rcpt.as_slice(), both[1].rcpt.as_slice()),
        (&["<b@example.com>".to_owned()][..], &["<c@example.com>".to_owned()][..])
    );
    wait_for("an empty spool", PATIENCE, || spool.files().is_empty().then_some(()));
}

#[test]
fn local_recipients_alone_have_no_next_hop() {
    let (spool, hop) = (TempSpool::new(), ScriptedHop::start(Script::well()));
    let scripts = Scripts::new();
    let local = scripts.shell("local", "printf 'Bob\\nbob\\n'; exit 0");
    let server = proxy(&spool, &hop.arg(), &["--address-verifier", &local]);
    assert_eq!(one(&server, &["b@example.com"]), TAKEN);
    assert_eq!((spool.ready().len(), hop.connections()), (1, 0));
}

#[test]
fn filters_of_the_server_come_first() {
    let (spool, hop) = (TempSpool::new(), ScriptedHop::start(Script::well()));
    for (filter, expected, ready, sent) in [
        ("exit:0", TAKEN, 0, 1),
        ("exit:100", TAKEN, 1, 1),
        ("exit:1", "452 rejected", 1, 1),
        ("exit:103", TAKEN, 1, 2),
    ] {
        let server = proxy(&spool, &hop.arg(), &["--filter", filter]);
        assert_eq!(one(&server, &["b@example.com"]), expected, "{filter}");
        // A filter that wants a run gets one, which takes what the other has left alone.
        if filter == "exit:103" {
            hop.wait_accepted(3);
            break;
        }
        assert_eq!((spool.ready().len(), hop.accepted().len()), (ready, sent), "{filter}");
    }
}

#[test]
fn filters_of_the_client_side_answer_too() {
    let (spool, hop) = (TempSpool::new(), ScriptedHop::start(Script::well()));
    let scripts = Scripts::new();
    let refuse = scripts.shell("refuse", "echo '<<554 5.7.1 no thanks>>'; exit 1");
    let defer = scripts.shell("defer", "echo '<<450 4.7.1 not yet>>'; exit 1");
    let rows = [
        ("exit:0", TAKEN, 0),
        ("exit:102", TAKEN, 0),
        ("exit:5", "452 rejected", 0),
        (refuse.as_str(), "554 5.7.1 no thanks", 0),
        (defer.as_str(), "450 4.7.1 not yet", 0),
        ("exit:100", TAKEN, 1),
    ];
    for (filter, expected, ready) in rows {
        let server = proxy(&spool, &hop.arg(), &["--client-filter", filter]);
        assert_eq!(one(&server, &["b@example.com"]), expected, "{filter}");
        assert_eq!((spool.ready().len(), spool.files().len()), (ready, 2 * ready), "{filter}");
    }
    assert_eq!(hop.accepted().len(), 2);
}

#[test]
fn filters_choose_the_way() {
    let (spool, hop) = (TempSpool::new(), ScriptedHop::start(Script::well()));
    let other = ScriptedHop::start(Script::well());
    // Every second message goes to the other one.
    let scripts = Scripts::new();
    let edit = |to: &str| {
        format!("sed -i 's/^X-MailRelay-ForwardToAddress:.*/X-MailRelay-ForwardToAddress: {to}\\r/' \"$2\"")
    };
    let (toggle, to_other) = (scripts.path("toggle"), edit(&other.arg()));
    let body = format!("if [ -e {0} ]; then rm {0}; else touch {0}; {to_other}; fi", toggle.display());
    let route = scripts.shell("route", &body);
    let server = proxy(&spool, &hop.arg(), &["--client-filter", &route]);
    let mut client = SmtpClient::connect(server.address());
    for _ in 0..4 {
        assert_eq!(send(&mut client, &["b@example.com"]), TAKEN);
    }
    assert_eq!((other.accepted().len(), hop.accepted().len()), (2, 2));
    assert_eq!((other.connections(), hop.connections()), (2, 2));
    let unroutable = scripts.shell("unroutable", &edit("rubbish"));
    let server = proxy(&spool, &hop.arg(), &["--client-filter", &unroutable]);
    assert_eq!(one(&server, &["b@example.com"]), "452 forwarding failed");
    server.line("invalid host:service format: rubbish");
}

#[test]
fn a_next_hop_that_does_not_answer_leaves_places_for_others() {
    let (spool, hop) = (TempSpool::new(), ScriptedHop::start(Script::well()));
    let silent = ScriptedHop::start(well(|script| script.greeting = Step::Silent));
    let scripts = Scripts::new();
    let body = format!(
        "grep -q silent@ \"$2\" && sed -i 's/^X-MailRelay-ForwardToAddress:.*/X-MailRelay-ForwardToAddress: {}\\r/' \"$2\"; exit 0",
        silent.arg()
    );
    let route = scripts.shell("route", &body);
    let server = proxy(&spool, &hop.arg(), &["--client-filter", &route, "--forward-connections-max", "4"]);
    let mut waiting: Vec<_> = (0..6).map(|_| SmtpClient::connect(server.address())).collect();
    for client in &mut waiting {
        client
            .write(b"MAIL FROM:<a@example.com>\r\nRCPT TO:<silent@example.com>\r\nDATA\r\nSubject: x\r\n\r\n.\r\n")
            .unwrap();
    }
    silent.wait_connections(2);
    for _ in 0..8 {
        assert_eq!(one(&server, &["b@example.com"]), TAKEN);
    }
    assert_eq!((silent.connections(), hop.accepted().len()), (2, 8));
}

#[test]
fn a_login_that_is_refused_is_no_fault_of_the_message() {
    let (spool, hop) = (TempSpool::new(), ScriptedHop::start(Script::well()));
    let server = proxy(&spool, &hop.arg(), &["--client-auth", "plain:Ym9i:c2VjcmV0"]);
    assert_eq!(one(&server, &["b@example.com"]), "452 forwarding failed");
    server.line("smtp client error: smtp error: authentication is not supported by the remote smtp server");
    assert_eq!(spool.files(), Vec::<String>::new());
    let server = proxy(&spool, &hop.arg(), &["--client-tls", "--client-tls-required"]);
    assert_eq!(one(&server, &["b@example.com"]), "452 forwarding failed");
    assert!(hop.deliveries().is_empty());
}

#[test]
fn a_big_message_and_many_at_once_arrive_byte_for_byte() {
    let (spool, hop) = (TempSpool::new(), ScriptedHop::start(Script::well()));
    let server = proxy(&spool, &hop.arg(), &["--as-server"]);
    let big: Vec<u8> = (0..20_000).flat_map(|line| format!(".line {line}\r\n").into_bytes()).collect();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut client = SmtpClient::connect(server.address());
                for _ in 0..3 {
                    client.send("a@example.com", &["b@example.com"], &big);
                }
            });
        }
    });
    let accepted = hop.accepted();
    assert_eq!(accepted.len(), 24);
    assert!(accepted.iter().all(|delivery| delivery.content == big));
    assert_eq!(spool.files(), Vec::<String>::new());
}

#[test]
fn the_forwarding_program_has_nothing_to_do_but_what_is_left() {
    let (spool, hop) = (TempSpool::new(), ScriptedHop::start(Script::well()));
    let server = proxy(&spool, &hop.arg(), &["--poll", "3600"]);
    assert_eq!(one(&server, &["b@example.com"]), TAKEN);
    assert_eq!(server.lines().iter().filter(|line| line.contains("forwarding: [")).count(), 0);
    assert!(!spool.path().join("forward.request").exists());
}
