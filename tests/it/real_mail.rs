//! Real mail by real clients through server, spool and forwarder to real next hops, compared byte for byte.
//!
//! What a client makes of a file before it sends it is its own affair: it is taken from what the same client sends to a
//! next hop that records bytes. What a next hop makes of a message is taken from the same bytes sent to it directly.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::net::SocketAddr;
use std::process::Stdio;

use crate::support::client::SmtpClient;
use crate::support::daemon::{Daemon, Program, forward};
use crate::support::hop::{Script, ScriptedHop};
use crate::support::letters::{Client, Letters};
use crate::support::need::{self, require};
use crate::support::postfix::RealPostfix;
use crate::support::samples;
use crate::support::sink::SmtpSink;
use crate::support::spool::TempSpool;
use crate::support::wire::{as_lines, has_bare_line_end, has_dangerous_dot};

/// Messages by the number of the letter.
type Mail = BTreeMap<usize, Vec<u8>>;

/// A message in the spool and where it came from.
struct Stored {
    /// Its sender in what the next hops get.
    sender: String,
    label: String,
    content: Vec<u8>,
    /// It begins with our Received line.
    received: bool,
}

#[test]
fn what_clients_send_is_stored_and_arrives_byte_for_byte() {
    require!(need::root(), need::program("postfix"), need::program("smtp-sink"), samples::missing());
    for client in Client::ALL {
        require!(client.missing());
    }
    let letters = Letters::all();
    assert!(letters.len() > 70, "{}", letters.len());
    let hops = Hops { postfix: RealPostfix::start(), sink: SmtpSink::start(&[]) };
    let stored: Vec<Stored> = std::thread::scope(|scope| {
        let (letters, hops) = (&letters, &hops);
        let mut runs: Vec<_> =
            Client::ALL.map(|client| scope.spawn(move || by_client(client, letters, hops))).into();
        runs.push(scope.spawn(move || by_submit(letters, hops)));
        runs.into_iter().flat_map(|run| run.join().unwrap()).collect()
    });
    assert!(stored.len() > 5 * 65, "{}", stored.len());
    hops.arrived(&stored);
}

/// One client's letters, through the server into the spool and out of it.
fn by_client(client: Client, letters: &Letters, hops: &Hops) -> Vec<Stored> {
    let hop = ScriptedHop::start(Script::well());
    let domain = format!("{client:?}.test").to_lowercase();
    client.send(letters, &domain, hop.address());
    let mut expected = Mail::new();
    let mut refused = BTreeSet::new();
    for delivery in hop.accepted() {
        let number = number(&delivery.mail);
        if has_dangerous_dot(&delivery.wire) {
            refused.insert(number);
        } else {
            expected.insert(number, delivery.content);
        }
    }
    // Some clients do not send what is empty.
    assert!(expected.len() + refused.len() >= letters.len() - 2, "{client:?}: {}", expected.len());

    let spool = TempSpool::new();
    let server = Daemon::server(&spool, &["--domain", "relay.test"]);
    let sent = client.send(letters, &domain, server.address());
    assert!(server.stop().success());
    let full = contents(&spool);
    let bare: Mail = full.iter().map(|(number, content)| (*number, without_received(content))).collect();
    same(&format!("stored from {client:?}"), letters, &bare, &expected);
    assert_eq!(sent, expected.keys().copied().collect(), "{client:?} knows what was taken");
    hops.send_on(&spool, &domain, letters, full, true)
}

/// The same by `emailrelay-submit`.
fn by_submit(letters: &Letters, hops: &Hops) -> Vec<Stored> {
    let spool = TempSpool::new();
    for number in 0..letters.len() {
        let mut submit = Program::Submit.command();
        submit.args([
            "--spool-dir",
            spool.arg(),
            "--from",
            &format!("{number}@submit.test"),
            "to@example.com",
        ]);
        let status = submit.stdin(letters.open(number)).stderr(Stdio::null()).status().unwrap();
        assert!(status.success(), "{}", letters.name(number));
    }
    let expected = (0..letters.len()).map(|number| (number, as_submitted(&letters.bytes(number)))).collect();
    let full = contents(&spool);
    same("submitted", letters, &full, &expected);
    hops.send_on(&spool, "submit.test", letters, full, false)
}

/// Next hops of other projects.
struct Hops {
    postfix: RealPostfix,
    sink: SmtpSink,
}

impl Hops {
    /// Forwards the same spool to every hop; it must be empty then.
    fn send_on(
        &self,
        spool: &TempSpool,
        domain: &str,
        letters: &Letters,
        full: Mail,
        received: bool,
    ) -> Vec<Stored> {
        let recorder = ScriptedHop::start(Script::well());
        for hop in [recorder.arg(), self.sink.arg(), self.postfix.arg()] {
            let copy = copy(spool);
            let (code, lines) = forward(&copy, &hop, &[]);
            assert_eq!(code, 0, "{domain} to {hop}: {lines:#?}");
            assert_eq!(copy.files(), Vec::<String>::new(), "{domain}: {lines:#?}");
        }
        let got: Mail =
            recorder.accepted().into_iter().map(|sent| (number(&sent.mail), sent.content)).collect();
        let expected = full.iter().map(|(number, content)| (*number, as_lines(content))).collect();
        same(&format!("forwarded from {domain}"), letters, &got, &expected);
        for delivery in recorder.accepted() {
            assert!(!has_bare_line_end(&delivery.wire), "{domain}: {}", delivery.mail);
        }
        let stored = |(number, content)| Stored {
            sender: format!("{number}@{domain}"),
            label: letters.name(number).to_owned(),
            content,
            received,
        };
        full.into_iter().map(stored).collect()
    }

    /// Compares what the hops have with what they make of the same bytes from elsewhere.
    fn arrived(&self, stored: &[Stored]) {
        let mut originals: HashMap<Vec<u8>, String> = HashMap::new();
        for message in stored {
            let next = format!("{}@direct.test", originals.len());
            originals.entry(message.comparable()).or_insert(next);
        }
        for address in [self.sink.address(), self.postfix.address()] {
            send_directly(&originals, address);
        }
        let sink: HashMap<_, _> = self.sink.messages().into_iter().map(|m| (m.mail, m.content)).collect();
        let sink = |sender: &str| {
            let found = sink.iter().find(|(mail, _)| mail.starts_with(&format!("<{sender}>")));
            found.map(|(_, content)| content.clone())
        };
        let kept = self.postfix.wait_messages(stored.len() + originals.len());
        let kept: HashMap<_, _> = kept.into_iter().map(|kept| (kept.sender, kept.content)).collect();
        let postfix = |sender: &str| kept.get(sender).cloned();
        compare("smtp-sink", stored, &originals, sink);
        compare("postfix", stored, &originals, postfix);
        let whole = stored.iter().filter(|m| kept.get(&m.sender) == Some(&as_lines(&m.content))).count();
        eprintln!("postfix kept {whole} of {} as they were stored", stored.len());
        assert!(whole * 10 >= stored.len() * 8, "{whole} of {}", stored.len());
    }
}

impl Stored {
    /// The bytes on the wire with a constant in place of our Received line.
    fn comparable(&self) -> Vec<u8> {
        let text = as_lines(&self.content);
        if self.received { [b"Received: by here\r\n", &without_first_line(&text)[..]].concat() } else { text }
    }
}

fn send_directly(originals: &HashMap<Vec<u8>, String>, address: SocketAddr) {
    let mut client = SmtpClient::connect(address);
    for (content, sender) in originals {
        client.send(sender, &["to@example.com"], content);
    }
    client.command("QUIT");
}

fn compare(
    hop: &str,
    stored: &[Stored],
    originals: &HashMap<Vec<u8>, String>,
    kept: impl Fn(&str) -> Option<Vec<u8>>,
) {
    for message in stored {
        let what = format!("{hop}: {} from {}", message.label, message.sender);
        let mut relayed = kept(&message.sender).unwrap_or_else(|| panic!("{what} is missing"));
        let mut direct = kept(&originals[&message.comparable()]).unwrap();
        if message.received {
            (relayed, direct) = (without_first_line(&relayed), without_first_line(&direct));
        }
        assert!(relayed == direct, "{what}: {}\n{}", show(&relayed), show(&direct));
    }
}

/// The contents of a spool by the numbers in the senders.
fn contents(spool: &TempSpool) -> Mail {
    let pair = |name: String| {
        let envelope = spool.envelope(&name);
        assert_eq!(envelope.all("To-Remote"), ["to@example.com"]);
        (number(envelope.first("From")), spool.content(&name))
    };
    let ready = spool.ready();
    let found: Mail = ready.iter().cloned().map(pair).collect();
    assert_eq!(found.len(), ready.len());
    assert_eq!(spool.ending(".content").len(), ready.len(), "no content without envelope");
    found
}

fn copy(spool: &TempSpool) -> TempSpool {
    let copy = TempSpool::new();
    for name in spool.files() {
        if name != "forward.request" {
            fs::copy(spool.path().join(&name), copy.path().join(&name)).unwrap();
        }
    }
    copy
}

fn same(what: &str, letters: &Letters, got: &Mail, expected: &Mail) {
    for (number, expected) in expected {
        let name = letters.name(*number);
        let got = got.get(number).unwrap_or_else(|| panic!("{what}: {name} is missing"));
        assert!(got == expected, "{what}: {name}:\n{}\n{}", show(got), show(expected));
    }
    let extra: Vec<_> = got.keys().filter(|number| !expected.contains_key(number)).collect();
    assert!(extra.is_empty(), "{what}: not expected: {extra:?}");
}

fn show(bytes: &[u8]) -> String {
    let (start, more) = bytes.split_at(bytes.len().min(2000));
    format!("{}{}", start.escape_ascii(), if more.is_empty() { "" } else { "..." })
}

/// The number in a sender, with or without brackets and parameters.
fn number(sender: &str) -> usize {
    sender.trim_start_matches('<').split('@').next().unwrap().parse().unwrap()
}

/// Content without our Received line, which must be there and of one line.
fn without_received(content: &[u8]) -> Vec<u8> {
    assert!(content.starts_with(b"Received: from "), "{}", show(content));
    let end = content.windows(2).position(|pair| pair == b"\r\n").unwrap();
    assert!(String::from_utf8_lossy(&content[..end]).contains(" ([127.0.0.1]) by relay.test with ESMTP ; "));
    content[end + 2..].to_vec()
}

fn without_first_line(text: &[u8]) -> Vec<u8> {
    text.split_inclusive(|byte| *byte == b'\n').skip(1).flatten().copied().collect()
}

/// What `emailrelay-submit` makes of its input: lines end with CRLF, and a header without a body gets its empty line.
fn as_submitted(input: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    let mut body = false;
    for line in input.split_inclusive(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        body |= line.is_empty();
        content.extend_from_slice(line);
        content.extend_from_slice(b"\r\n");
    }
    if !body {
        content.extend_from_slice(b"\r\n");
    }
    content
}
