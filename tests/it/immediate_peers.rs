//! `--immediate` between real programs: swaks in front, postfix and smtp-sink behind.

use std::process::{Command, Stdio};

use crate::support::client::SmtpClient;
use crate::support::daemon::Daemon;
use crate::support::letters::Letters;
use crate::support::need::{self, require};
use crate::support::postfix::RealPostfix;
use crate::support::sink::SmtpSink;
use crate::support::spool::TempSpool;

/// A postfix that refuses some recipients, at RCPT or behind the message.
const PICKY: &str = "\
smtpd_recipient_restrictions = check_recipient_access inline:{{bad@example.com = REJECT 5.1.1 no such user}, \
{later@example.com = 450 4.2.0 greylisted}}, permit
smtpd_end_of_data_restrictions = check_recipient_access inline:{{spam@example.com = 554 5.7.1 spam}}, permit
";

fn proxy(spool: &TempSpool, hop: &str) -> Daemon {
    let args = ["--as-proxy", hop, "--immediate", "--anonymous=content", "--log-file", "/dev/stderr"];
    Daemon::server(spool, &args)
}

/// What swaks got for the message, and whether it calls that a success.
fn swaks(server: &Daemon, to: &str, data: &str) -> (String, bool) {
    let mut command = Command::new(need::path("swaks"));
    command.args(["--server", &server.address().to_string(), "--helo", "client.test"]);
    command.args(["--from", "a@example.com", "--to", to, "--data", data]);
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    // The line behind the final dot; `<**` marks an error.
    let behind = text.rsplit(" -> .\n").next().unwrap_or_default();
    let line = behind.lines().next().unwrap_or_default();
    let reply = line.trim_start_matches("<**").trim_start_matches("<-").trim().to_owned();
    (reply, output.status.success())
}

#[test]
fn swaks_hears_what_a_real_postfix_says() {
    require!(need::root(), need::program("swaks"), need::program("postfix"));
    let (spool, postfix) = (TempSpool::new(), RealPostfix::start_with(PICKY));
    let server = proxy(&spool, &postfix.arg());
    let data = "Subject: x\\n\\n.dot\\nbody\\n";
    assert_eq!(swaks(&server, "good@example.com", data), ("250 message processed".to_owned(), true));
    let (reply, success) = swaks(&server, "bad@example.com", data);
    assert!(
        reply.starts_with("550 5.1.1 <bad@example.com>: Recipient address rejected: no such user"),
        "{reply}"
    );
    assert!(!success);
    let (reply, _) = swaks(&server, "later@example.com", data);
    assert!(
        reply.starts_with("451 4.2.0 <later@example.com>: Recipient address rejected: greylisted"),
        "{reply}"
    );
    let (reply, _) = swaks(&server, "good@example.com,bad@example.com", data);
    assert!(reply.starts_with("550 5.1.1 <bad@example.com>"), "{reply}");
    let (reply, _) = swaks(&server, "spam@example.com", data);
    assert!(reply.starts_with("554 5.7.1 "), "{reply}");
    let kept = postfix.wait_messages(1);
    assert_eq!((kept.len(), kept[0].recipients.as_slice()), (1, &["good@example.com".to_owned()][..]));
    assert!(kept[0].content.starts_with(b"Subject: x\r\n\r\n.dot\r\nbody\r\n"), "{:?}", kept[0].content);
    postfix.stop();
    assert_eq!(swaks(&server, "good@example.com", data), ("452 forwarding failed".to_owned(), false));
    assert_eq!(spool.files(), Vec::<String>::new());
    // And when it is there again, so is the mail.
    postfix.restart_with(PICKY);
    assert_eq!(swaks(&server, "good@example.com", data), ("250 message processed".to_owned(), true));
    postfix.wait_messages(2);
    assert_eq!(spool.files(), Vec::<String>::new());
}

#[test]
fn letters_pass_to_a_real_postfix_and_to_smtp_sink_byte_for_byte() {
    require!(need::root(), need::program("postfix"), need::program("smtp-sink"));
    let letters = [
        &b"Subject: bytes\r\n\r\n.dot\r\n..two\r\n8-bit \xe4\xf6\xfc\r\nend\r\n"[..],
        b"Subject: empty\r\n\r\n",
        b"Subject: dots\r\n\r\n.\r\n..\r\n...\r\n",
    ];
    let postfix = RealPostfix::start();
    let sink = SmtpSink::start(&[]);
    for address in [postfix.arg(), sink.arg()] {
        let spool = TempSpool::new();
        let server = proxy(&spool, &address);
        let mut client = SmtpClient::connect(server.address());
        for letter in letters {
            client.send("a@example.com", &["b@example.com"], letter);
        }
        assert_eq!(spool.files(), Vec::<String>::new());
    }
    let kept: Vec<Vec<u8>> = postfix.wait_messages(3).into_iter().map(|kept| kept.content).collect();
    let sunk: Vec<Vec<u8>> = sink.wait_messages(3).into_iter().map(|sunk| sunk.content).collect();
    for letter in letters {
        assert!(kept.iter().any(|content| content == letter), "{letter:?} of {kept:?}");
        let lines = letter.split(|byte| *byte == b'\r').collect::<Vec<_>>().concat();
        assert!(sunk.contains(&lines), "{lines:?} of {sunk:?}");
    }
}

#[test]
fn every_sample_gets_through_swaks_and_the_proxy_as_without_it() {
    require!(need::root(), need::program("swaks"), need::program("postfix"));
    let (spool, postfix, letters) = (TempSpool::new(), RealPostfix::start(), Letters::all());
    let server = proxy(&spool, &postfix.arg());
    let client = crate::support::letters::Client::Swaks;
    // Where the server refuses a letter itself, for bare line ends, there is nothing to compare.
    let passed = client.send(&letters, "proxy.test", server.address());
    let direct = client.send(&letters, "direct.test", postfix.address());
    let both: Vec<usize> = passed.intersection(&direct).copied().collect();
    assert!(both.len() * 10 >= letters.len() * 8, "{} of {}", both.len(), letters.len());
    let kept = postfix.wait_messages(passed.len() + direct.len());
    let content = |number: usize, domain: &str| {
        let sender = format!("{number}@{domain}");
        kept.iter().find(|kept| kept.sender == sender).map(|kept| kept.content.clone())
    };
    // A bare CR is a line end for the relay, as it was for 2.6, and nothing for postfix.
    let bare = |number: &usize| {
        let bytes = letters.bytes(*number);
        let mut ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\r');
        ends.any(|(at, _)| bytes.get(at + 1) != Some(&b'\n'))
    };
    for number in both.into_iter().filter(|number| !bare(number)) {
        assert_eq!(content(number, "proxy.test"), content(number, "direct.test"), "letter {number}");
    }
    assert_eq!(spool.files(), Vec::<String>::new());
}
