//! The tools of the other tests, tried against each other: a broken tool must not look like a broken relay.

use std::process::{Command, Stdio};

use crate::support::client::SmtpClient;
use crate::support::hop::{Script, ScriptedHop, Step, reply};
use crate::support::need::{self, require};
use crate::support::postfix::RealPostfix;
use crate::support::samples;
use crate::support::sink::SmtpSink;

const CONTENT: &[u8] =
    b"Subject: bytes\r\nBcc: kept@example.com\r\n\r\n.dot\r\n\r\n8-bit \xe4\xf6\xfc\r\nend\r\n";

#[test]
fn scripted_hop_records_bytes_and_obeys_its_script() {
    let hop = ScriptedHop::start(Script::well());
    let mut client = SmtpClient::connect(hop.address());
    client.send("a@example.com", &["b@example.com", "c@example.com"], CONTENT);
    let first = &hop.wait_accepted(1)[0];
    assert_eq!(first.mail, "<a@example.com>");
    assert_eq!(first.rcpt, ["<b@example.com>", "<c@example.com>"]);
    assert_eq!(first.content, CONTENT);

    hop.set(Script { rcpt_for: vec![("bad@".to_owned(), reply("550 5.1.1 no"))], ..Script::well() });
    assert_eq!(client.try_send("a@example.com", &["bad@example.com"], CONTENT).unwrap().code, 550);
    hop.set(Script { dot: reply("451 4.3.0 later"), ..Script::well() });
    assert_eq!(client.try_send("a@example.com", &["b@example.com"], CONTENT).unwrap().code, 451);
    hop.set(Script { mail: Step::Close, ..Script::well() });
    client.try_command("MAIL FROM:<a@example.com>").unwrap_err();
    assert_eq!((hop.deliveries().len(), hop.accepted().len(), hop.connections()), (2, 1, 1));

    hop.set(Script { greeting: Step::ReplyClose("554 5.3.2 no".to_owned()), ..Script::well() });
    let refused = SmtpClient::try_connect(hop.address()).unwrap();
    assert_eq!(refused.greeting.code, 554);
    assert_eq!(refused.rest(), b"");
}

#[test]
fn smtp_sink_keeps_lines() {
    require!(need::program("smtp-sink"));
    let sink = SmtpSink::start(&[]);
    SmtpClient::connect(sink.address()).send("a@example.com", &["b@example.com"], CONTENT);
    let kept = &sink.wait_messages(1)[0];
    assert_eq!((kept.mail.as_str(), kept.rcpt.len()), ("<a@example.com>", 1));
    let lines = CONTENT.split(|byte| *byte == b'\r').collect::<Vec<_>>().concat();
    assert_eq!(String::from_utf8_lossy(&kept.content), String::from_utf8_lossy(&lines));
}

#[test]
fn real_postfix_keeps_bytes() {
    require!(need::root(), need::program("postfix"));
    let postfix = RealPostfix::start();
    let mut client = SmtpClient::connect(postfix.address());
    client.send("a@example.com", &["b@example.com", "c@example.net"], CONTENT);
    client.send("", &["b@example.com"], CONTENT);
    // Postfix delivers in parallel.
    let mut kept = postfix.wait_messages(2);
    kept.sort_by(|one, other| other.sender.cmp(&one.sender));
    assert_eq!(kept[0].sender, "a@example.com");
    assert_eq!(kept[0].recipients, ["b@example.com", "c@example.net"]);
    assert_eq!(kept[1].sender, "");
    for message in kept {
        assert_eq!(message.content, CONTENT);
    }
}

#[test]
fn samples_reach_postfix_as_they_are() {
    require!(need::root(), need::program("postfix"), samples::missing());
    let (postfix, samples) = (RealPostfix::start(), samples::all());
    assert!(samples.len() > 40, "{}", samples.len());
    let mut client = SmtpClient::connect(postfix.address());
    for sample in &samples {
        client.send("a@example.com", &["b@example.com"], &sample.canonical());
    }
    // Postfix itself changes a few: the measure for a relay in between is what arrives without one.
    let kept: Vec<_> = postfix.wait_messages(samples.len()).into_iter().map(|kept| kept.content).collect();
    let same = samples.iter().filter(|sample| kept.contains(&sample.canonical())).count();
    eprintln!("{same} of {} samples unchanged by postfix", samples.len());
    assert!(same * 10 >= samples.len() * 8, "{same} of {}", samples.len());
}

#[test]
fn swaks_curl_and_msmtp_reach_a_scripted_hop() {
    require!(need::program("swaks"), need::program("curl"), need::program("msmtp"));
    let hop = ScriptedHop::start(Script::well());
    let (host, port) = (hop.address().ip().to_string(), hop.address().port().to_string());
    let (envelope, address) = (["--from", "a@example.com", "--to", "b@example.com"], hop.arg());
    let mut swaks = Command::new(need::path("swaks"));
    swaks.args(["--server", &address, "--helo", "client.test", "--silent", "2"]).args(envelope);
    run(swaks, b"");
    let mut curl = Command::new(need::path("curl"));
    curl.args([
        "-sS",
        &format!("smtp://{address}"),
        "--mail-from",
        "a@example.com",
        "--mail-rcpt",
        "b@example.com",
    ]);
    run(curl.args(["--upload-file", "-"]), CONTENT);
    let mut msmtp = Command::new(need::path("msmtp"));
    msmtp.args(["--file=/dev/null", "--host", &host, "--port", &port, "--from=a@example.com"]);
    run(msmtp.args(["--remove-bcc-headers=off", "b@example.com"]), CONTENT);
    let kept = hop.wait_accepted(3);
    assert_eq!(kept[1].content, CONTENT);
    assert!(kept[2].content.ends_with(b"end\r\n"));
}

fn run(mut command: impl std::borrow::BorrowMut<Command>, input: &[u8]) {
    use std::io::Write as _;
    let command = command.borrow_mut();
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    assert!(child.wait().unwrap().success(), "{command:?}");
}
