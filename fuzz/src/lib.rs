//! What is fuzzed: each function takes any bytes, and panics when a promise is broken. A panic of the code below is a finding
//! of its own.
//!
//! The first byte of a session's input chooses among configurations, the second how the rest is cut into pieces.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use emailrelay::sasl::{Mechanism, Policy, Secret};
use emailrelay::{admin, config, message, pop, secrets, smtp, spool};

/// A function of this module.
pub type Target = fn(&[u8]);

/// All of them, by the names of their seeds.
pub const TARGETS: &[(&str, Target)] = &[
    ("smtp_server", smtp_server),
    ("smtp_client", smtp_client),
    ("pop_server", pop_server),
    ("admin", admin),
    ("envelope", envelope),
    ("secrets", secrets),
    ("addresses", addresses),
    ("settings", settings),
    ("sasl", sasl),
];

/// A client's side of an SMTP session: every reply is whole lines, and the session ends with the connection.
pub fn smtp_server(data: &[u8]) {
    use smtp::server::{
        Answer, AuthStep, Extensions, Offer, Output, Peer, Question, ServerConfig, Session, Verdict,
    };
    let (flags, pieces) = pieces(data);
    let server = ServerConfig {
        trace: flags & 1 != 0,
        extensions: Extensions { chunking: flags & 2 != 0, ..Extensions::default() },
        strict_address: flags & 4 != 0,
        max_size: (flags & 8 != 0).then_some(1000),
        ..ServerConfig::default()
    };
    let offer = Offer { clear: vec![Mechanism::Plain, Mechanism::Login], ..Offer::default() };
    let address = "127.0.0.1".to_owned();
    let peer = Peer { address, offer: Some(Arc::new(offer)), screened: true, ..Peer::default() };
    let mut now = Instant::now();
    let mut session = Session::new(Arc::new(server), peer, now);
    let mut sent = Vec::new();
    let mut closed = false;
    let mut untaken = Vec::new();
    let mut pump = |session: &mut Session, untaken: &mut Vec<u8>, now: Instant| loop {
        let taken = session.input(untaken, now);
        untaken.drain(..taken);
        let mut progress = taken > 0;
        while let Some(output) = session.next() {
            assert!(!closed, "nothing follows the close");
            progress = true;
            match output {
                Output::Send(bytes) => sent.extend(bytes),
                Output::Close(_) => closed = true,
                Output::Content(_) | Output::Discard | Output::Log(_) | Output::StartTls => {}
                Output::Ask(question) => {
                    let answer = match question {
                        Question::Screen => Answer::Admitted,
                        Question::Begin { .. } => Answer::Begun { received_date: "now".to_owned() },
                        Question::Verify { recipient: address, .. }
                        | Question::Vrfy { argument: address, .. } => {
                            Answer::Verified(Verdict::Remote { address })
                        }
                        Question::Authenticate(AuthStep::Begin { .. }) => Answer::Challenge(b"?".to_vec()),
                        Question::Authenticate(AuthStep::Respond(_)) => {
                            Answer::LoggedIn { identity: "al".to_owned() }
                        }
                        Question::StartTls => Answer::TlsReady,
                        Question::Commit(_) => Answer::Stored,
                    };
                    session.answer(answer, now);
                }
            }
        }
        if !progress {
            break;
        }
    };
    for piece in pieces {
        untaken.extend_from_slice(piece);
        pump(&mut session, &mut untaken, now);
        // A reply that is held back, to slow down guessing.
        while session.is_busy() {
            let Some(at) = session.deadline() else { break };
            now = at;
            session.timer(now);
            pump(&mut session, &mut untaken, now);
        }
    }
    session.peer_closed(None, now);
    pump(&mut session, &mut untaken, now);
    assert!(closed, "a session ends with its connection");
    assert!(sent.is_empty() || sent.ends_with(b"\r\n"), "replies are whole lines");
}

/// A server's side: every message gets one end, and nothing comes behind the close.
pub fn smtp_client(data: &[u8]) {
    use smtp::client::{ClientConfig, Outgoing, Output, Session, StartTls};
    let (flags, pieces) = pieces(data);
    let client = ClientConfig {
        pipelining: flags & 1 != 0,
        chunking: flags & 2 != 0,
        forward_to_some: flags & 4 != 0,
        starttls: if flags & 8 != 0 { StartTls::IfOffered } else { StartTls::Never },
        trace: flags & 16 != 0,
        ..ClientConfig::default()
    };
    let now = Instant::now();
    let mut session = Session::new(Arc::new(client), now);
    let (mut closed, mut messages) = (false, 0);
    let mut pump = |session: &mut Session| {
        while let Some(output) = session.next() {
            assert!(!closed, "nothing follows the close");
            match output {
                Output::Ready if messages == 3 => session.quit(now),
                Output::Ready => {
                    messages += 1;
                    let recipients = vec!["a@b".to_owned(), "c@d".to_owned()];
                    session.send(
                        Outgoing { sender: "e@f".to_owned(), recipients, size: 3, ..Outgoing::default() },
                        now,
                    );
                }
                Output::NeedContent => session.content(b".x\n", true, now),
                Output::Close => closed = true,
                _ => {}
            }
        }
    };
    pump(&mut session);
    for piece in pieces {
        session.input(piece, now);
        pump(&mut session);
    }
    session.closed(None, now);
    pump(&mut session);
    assert!(closed, "a session ends with its connection");
}

/// Two messages.
#[derive(Debug)]
struct Letters;

const LETTER: &[u8] = b"Subject: one\r\n\r\nhello\n.dot\r\n.\r\n";

impl pop::Maildrop for Letters {
    fn count(&self) -> usize {
        2
    }
    fn total(&self) -> u64 {
        2 * LETTER.len() as u64
    }
    fn size(&self, _: usize) -> u64 {
        LETTER.len() as u64
    }
    fn unique_name(&self, index: usize) -> String {
        format!("{index}.content")
    }
}

/// A client's side of a POP session.
pub fn pop_server(data: &[u8]) {
    use pop::{Answer, Block, Channel, Login, Offer, Offers, Output, PopConfig, Question, Session, Start};
    let (flags, pieces) = pieces(data);
    let offer = Offer::new(vec![Mechanism::Plain, Mechanism::Login, Mechanism::Apop]);
    let offers = Offers { clear: offer.clone(), secure: offer.clone(), bound: offer };
    let channel = if flags & 1 != 0 { Channel::Secure } else { Channel::Clear };
    let start = Start { offers, challenge: "<1.2@test>".to_owned(), channel };
    let mut now = Instant::now();
    let mut session = Session::new(Arc::new(PopConfig::default()), start, now);
    let (mut sent, mut untaken, mut closed) = (Vec::new(), Vec::new(), false);
    let mut pump = |session: &mut Session, untaken: &mut Vec<u8>, now: Instant| loop {
        let taken = session.input(untaken, now);
        untaken.drain(..taken);
        let mut progress = taken > 0;
        while let Some(output) = session.next() {
            assert!(!closed, "nothing follows the close");
            progress = true;
            match output {
                Output::Send(bytes) => sent.extend(bytes),
                Output::Close(_) => closed = true,
                Output::StartTls => session.tls_started(Channel::Bound, now),
                Output::CloseContent | Output::Log(_) => {}
                Output::Ask(question) => {
                    let answer = match question {
                        Question::Login(Login::Begin { initial: None, .. }) => Answer::Challenge(Vec::new()),
                        Question::Login(_) => Answer::LoggedIn(Arc::new(Letters)),
                        Question::Open { .. } => Answer::Content {
                            size: LETTER.len() as u64,
                            block: Block { bytes: LETTER[..20].to_vec(), last: false },
                        },
                        Question::More => Answer::More(Block { bytes: LETTER[20..].to_vec(), last: true }),
                        Question::Delete(_) => Answer::Deleted,
                    };
                    session.answer(answer, now);
                }
            }
        }
        if !progress {
            break;
        }
    };
    pump(&mut session, &mut untaken, now);
    for piece in pieces {
        untaken.extend_from_slice(piece);
        pump(&mut session, &mut untaken, now);
        while session.is_busy() {
            let Some(at) = session.deadline() else { break };
            now = at;
            session.timer(now);
            pump(&mut session, &mut untaken, now);
        }
    }
    assert!(sent.ends_with(b"\r\n"), "replies are whole lines");
}

/// A client's side of an administration session.
pub fn admin(data: &[u8]) {
    use admin::{Answer, Output, Right, Session};
    let (flags, pieces) = pieces(data);
    let right = [Right::Full, Right::ReadOnly][usize::from(flags & 1)];
    let now = Instant::now();
    let mut session = Session::new(Arc::default(), right, None, now);
    let mut untaken = Vec::new();
    for piece in pieces {
        untaken.extend_from_slice(piece);
        loop {
            let taken = session.input(&untaken, now);
            untaken.drain(..taken);
            let mut progress = taken > 0;
            while let Some(output) = session.next() {
                progress = true;
                match output {
                    Output::Ask(_) => session.answer(Answer::Lines(vec!["x".to_owned()])),
                    Output::Send(bytes) => assert!(std::str::from_utf8(&bytes).is_ok(), "replies are text"),
                    _ => {}
                }
            }
            if !progress {
                break;
            }
        }
        assert!(untaken.len() <= admin::MAX_LINE + piece.len(), "an incomplete line is bounded");
    }
}

/// An envelope: what is read is written so that the same is read again, but for line ends in recipients, which make them invalid.
pub fn envelope(data: &[u8]) {
    if let Ok(envelope) = spool::Envelope::parse(data) {
        let bytes = envelope.to_bytes();
        let again = spool::Envelope::parse(&bytes).expect("what we write can be read");
        assert_eq!(again.to_bytes(), bytes, "a second edit changes nothing");
        let recipients = |e: &spool::Envelope| (e.local.len(), e.remote.len());
        assert_eq!(recipients(&again), recipients(&envelope), "no recipient is lost");
        if !envelope.local.iter().chain(&envelope.remote).any(|address| address.contains('\r')) {
            assert_eq!(again, envelope, "nothing is lost when an envelope is edited");
        }
    }
}

/// A secrets file: each remark about it is one line.
pub fn secrets(data: &[u8]) {
    let credential = |_: &str| Err("there is none".to_owned());
    let (found, report) =
        secrets::parse(data, Path::new("/etc/secrets"), Secret::from("pepper"), &credential);
    for text in report.errors.iter().chain(&report.warnings) {
        assert!(!text.contains(['\r', '\n']), "one line for each remark: {text:?}");
    }
    let _ = format!("{found:?}");
}

/// Addresses of header fields, and the arguments of MAIL and RCPT.
pub fn addresses(data: &[u8]) {
    let _ = message::list::parse(data);
    for argument in data.split(|byte| *byte == b'\n') {
        let _ = smtp::command::Command::parse(argument);
        let _ = smtp::command::Command::parse(&[b"MAIL FROM:", argument].concat());
        let _ = smtp::command::Command::parse(&[b"RCPT TO:", argument].concat());
    }
}

/// Values of options with a grammar of their own.
pub fn settings(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let around = config::filter::Surroundings {
        app_dir: Path::new("/usr/sbin"),
        cwd: Path::new("/"),
        is_file: &|path| path.as_os_str().len() % 2 == 0,
    };
    let _ = config::filter::FilterList::parse(text.as_ref(), &around);
    let _ = config::verifier::parse(text.as_ref(), &around);
    let _ = config::interface::parse_list(text);
    let _ = config::dnsbl::Dnsbl::parse(text);
    let _ = config::keywords::server(text);
    let _ = config::keywords::client(text, false);
    let _ = config::tls::keywords(text);
    let _ = config::spam::SpamOptions::parse(text);
    let _ = Policy::parse(text);
    let _ = Policy::parse_client(text);
}

/// Texts of authentication: stored keys, base64, xtext.
pub fn sasl(data: &[u8]) {
    use emailrelay::sasl::encoding::{base64, from_base64, from_xtext};
    let _ = emailrelay::sasl::scram::ScramKeys::parse(&String::from_utf8_lossy(data));
    let _ = from_xtext(data);
    if let Some(bytes) = from_base64(data) {
        assert_eq!(from_base64(base64(&bytes).as_bytes()), Some(bytes), "base64 is read as it is written");
    }
}

/// The flags, and the rest cut as the second byte says.
fn pieces(data: &[u8]) -> (u8, impl Iterator<Item = &[u8]>) {
    let (flags, size, rest) = match data {
        [flags, size, rest @ ..] => (*flags, usize::from(*size), rest),
        _ => (0, 0, &[][..]),
    };
    (flags, rest.chunks(if size == 0 { rest.len().max(1) } else { size }))
}
