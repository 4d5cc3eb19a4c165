//! Clients of other projects and their extensions: what the server makes of them is in the envelope.

use std::process::{Command, Stdio};

use crate::support::client::{SmtpClient, stuffed};
use crate::support::daemon::Daemon;
use crate::support::need::{self, require};
use crate::support::spool::TempSpool;
use crate::support::{PATIENCE, wait_for};

#[test]
fn smtplib_with_extensions() {
    require!(need::program("python3"));
    let spool = TempSpool::new();
    let options = ["--size", "1000", "--server-smtp-config", "smtputf8", "--anonymous=content"];
    let server = Daemon::server(&spool, &options);
    let (host, port) = (server.address().ip().to_string(), server.address().port().to_string());
    let mut python = Command::new(need::path("python3"));
    let output = python.args(["-c", SMTPLIB, &host, &port]).stderr(Stdio::inherit()).output().unwrap();
    assert_eq!(
        String::from_utf8(output.stdout).unwrap().lines().collect::<Vec<_>>(),
        [
            "8bitmime,pipelining,size=1000,smtputf8,vrfy",
            "plain {}",
            "8bit {}",
            "utf8 {}",
            "declared too big 552",
            "too big 552",
            "vrfy 252",
            "after reset {}",
        ]
    );
    let expected = [
        ("plain@example.com", "unknown", "0", &b"Subject: plain\r\n\r\n.dot\r\n"[..]),
        ("eight@example.com", "8bit", "0", b"Subject: \xe4\r\n\r\n\xf6\r\n"),
        ("jürgen@example.com", "8bit", "1", "Subject: grüße\r\n\r\nÄ\r\n".as_bytes()),
        ("reset@example.com", "7bit", "0", b"Subject: reset\r\n\r\nx\r\n"),
    ];
    let ready = spool.ready();
    assert_eq!(ready.len(), expected.len(), "{:?}", spool.files());
    for (name, (from, body, utf8, content)) in ready.iter().zip(expected) {
        let envelope = spool.envelope(name);
        assert_eq!(envelope.first("From"), from);
        assert_eq!((envelope.first("Content"), envelope.first("Utf8MailboxNames")), (body, utf8), "{from}");
        assert_eq!(spool.content(name), content, "{from}");
    }
    assert_eq!(spool.ending(".content").len(), expected.len());
}

const SMTPLIB: &str = r#"
import smtplib, sys
server = smtplib.SMTP(sys.argv[1], int(sys.argv[2]), local_hostname="client.test")
server.ehlo()
print(",".join(sorted(k + ("=" + v if v.strip() else "") for k, v in server.esmtp_features.items())))

def send(what, sender, content, options=(), to=("b@example.com",)):
    try:
        print(what, server.sendmail(sender, list(to), content, mail_options=list(options)))
    except (smtplib.SMTPSenderRefused, smtplib.SMTPDataError) as error:
        print(what, error.smtp_code)

send("plain", "plain@example.com", b"Subject: plain\r\n\r\n.dot\r\n")
send("8bit", "eight@example.com", b"Subject: \xe4\r\n\r\n\xf6\r\n", ["body=8bitmime"])
send("utf8", "j\u00fcrgen@example.com", "Subject: gr\u00fc\u00dfe\r\n\r\n\u00c4\r\n".encode(),
     ["BODY=8BITMIME", "SMTPUTF8"], ["gr\u00fc\u00dfe@example.com"])
send("declared too big", "big@example.com", b"x" * 1200)
server.esmtp_features.pop("size")
send("too big", "big@example.com", b"0123456789\r\n" * 100)
print("vrfy", server.verify("b@example.com")[0])
server.mail("gone@example.com")
server.rcpt("b@example.com")
server.rset()
send("after reset", "reset@example.com", b"Subject: reset\r\n\r\nx\r\n", ["BODY=7BIT"])
server.quit()
"#;

#[test]
fn smtp_source_as_load() {
    require!(need::program("smtp-source"));
    let spool = TempSpool::new();
    let server = Daemon::quiet_server(&spool, &["--anonymous=content"]);
    for more in [&[][..], &["-d"], &["-N", "-r", "5"]] {
        let mut source = Command::new(need::path("smtp-source"));
        source.args(["-s", "50", "-m", "500", "-l", "4096", "-f", "a@example.com", "-t", "b@example.com"]);
        source.args(more).arg(server.address().to_string()).stdin(Stdio::null());
        assert!(source.status().unwrap().success(), "{more:?}");
    }
    let ready = spool.ready();
    assert_eq!((ready.len(), spool.ending(".content").len()), (1500, 1500));
    for name in &ready {
        let size = spool.content(name).len();
        assert!((4096..4400).contains(&size), "{size}");
    }
    assert!(server.stop().success());
}

#[test]
fn pipelined_input_in_pieces_of_any_size() {
    let spool = TempSpool::new();
    let server = Daemon::quiet_server(&spool, &["--anonymous=content"]);
    let content: Vec<u8> = (0..40).flat_map(|n| format!(".line {n}\r\n\r\n..\r\n").into_bytes()).collect();
    let mut dialogue = b"EHLO client.test\r\n".to_vec();
    for number in 0..3 {
        dialogue.extend(
            format!("MAIL FROM:<{number}@x.y>\r\nRCPT TO:<b@x.y>\r\nRCPT TO:<c@x.y>\r\nDATA\r\n").bytes(),
        );
        dialogue.extend(stuffed(&content));
        dialogue.extend(b".\r\n");
    }
    dialogue.extend(b"NOOP\r\nRSET\r\nQUIT\r\nMAIL FROM:<late@x.y>\r\n");
    let sizes = [1, 2, 3, 7, 64, 1000, 1_000_000];
    for size in sizes {
        let mut client = SmtpClient::try_connect(server.address()).unwrap();
        for piece in dialogue.chunks(size) {
            client.write(piece).unwrap();
        }
        let text = String::from_utf8(client.rest()).unwrap();
        assert_eq!(text.matches("250 message processed\r\n").count(), 3, "{size}: {text}");
        assert!(text.ends_with("250 noop\r\n250 state reset\r\n221 OK\r\n"), "{size}: {text}");
    }
    wait_for("all messages", PATIENCE, || (spool.ready().len() == 3 * sizes.len()).then_some(()));
    assert!(spool.ready().iter().all(|name| spool.content(name) == content));
}
