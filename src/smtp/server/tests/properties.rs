//! What holds for any input, at any split.

use std::sync::Arc;
use std::time::Instant;

use proptest::prelude::*;

use super::super::*;
use crate::sasl::Mechanism;
use crate::smtp::line::{MAX_AUTH_LINE, MAX_LINE};

/// All that a session said and did, however it was cut into pieces.
#[derive(Debug, Default, PartialEq)]
struct Record {
    sent: Vec<u8>,
    /// Of messages handed over. How much of a dropped one came out before depends on the cuts.
    content: Vec<u8>,
    handed_over: usize,
    questions: Vec<Question>,
    discards: usize,
    closed: Option<CloseReason>,
    logs: Vec<Event>,
}

/// Drives a session with the input cut after the given lengths; each piece comes when the one before is used up.
fn drive(config: ServerConfig, input: &[u8], cuts: &[usize]) -> Record {
    let mut now = Instant::now();
    let mut session = Session::new(Arc::new(config), trusted(), now);
    let mut record = Record::default();
    let mut untaken = Vec::new();
    let mut rest = input;
    let mut cuts = cuts.iter().copied().filter(|cut| *cut > 0).chain(std::iter::repeat(usize::MAX));
    loop {
        let taken = session.input(&untaken, now);
        untaken.drain(..taken);
        let mut progress = taken > 0;
        let mut queued = 0;
        while let Some(output) = session.next() {
            progress = true;
            if let Output::Send(bytes) = &output {
                queued += bytes.len();
            }
            perform(&mut session, output, &mut record, now);
        }
        assert!(queued <= MAX_QUEUED + MAX_LINE * 4, "replies pile up: {queued}");
        if progress {
            continue;
        }
        if session.is_busy() && record.closed.is_none() {
            now = session.deadline().expect("busy without a question open means a reply is held back");
            session.timer(now);
        } else if rest.is_empty() || record.closed.is_some() {
            break;
        } else {
            assert!(untaken.len() <= MAX_AUTH_LINE, "an incomplete line is never longer than the limit");
            let (piece, tail) = rest.split_at(cuts.next().unwrap().min(rest.len()));
            untaken.extend_from_slice(piece);
            rest = tail;
        }
    }
    session.peer_closed(None, now);
    while let Some(output) = session.next() {
        perform(&mut session, output, &mut record, now);
    }
    assert!(record.closed.is_some());
    record
}

/// A peer that may log in and need not.
fn trusted() -> Peer {
    let clear = vec![Mechanism::Plain, Mechanism::Login];
    Peer {
        address: "::1".to_owned(),
        offer: Some(Arc::new(Offer { clear, ..Offer::default() })),
        trust: Some(Box::new(Trust {
            keyword: "x".to_owned(),
            reason: "matched [::1] from line 1".to_owned(),
        })),
        cipher: None,
        screened: false,
    }
}

fn perform(session: &mut Session, output: Output, record: &mut Record, now: Instant) {
    assert_eq!(record.closed, None, "nothing follows the close: {output:?}");
    match output {
        Output::Send(bytes) => record.sent.extend(bytes),
        Output::Content(bytes) => record.content.extend(bytes),
        Output::Discard => {
            record.content.truncate(record.handed_over);
            record.discards += 1;
        }
        Output::Log(event) => record.logs.push(event),
        Output::StartTls => {}
        Output::Close(reason) => record.closed = Some(reason),
        Output::Ask(question) => {
            let answer = match &question {
                Question::Screen => Answer::Admitted,
                Question::Begin { .. } => Answer::Begun { received_date: "now".to_owned() },
                Question::Verify { recipient: address, .. } | Question::Vrfy { argument: address, .. } => {
                    Answer::Verified(Verdict::Remote { address: address.clone() })
                }
                Question::Authenticate(AuthStep::Begin { initial: None, .. }) => Answer::Challenge(vec![]),
                Question::Authenticate(AuthStep::Respond(secret)) if secret.expose() == b"ok" => {
                    Answer::LoggedIn { identity: "al".to_owned() }
                }
                Question::Authenticate(_) => Answer::LoginRefused,
                Question::StartTls => Answer::TlsReady,
                Question::Commit(transaction) => {
                    let size = record.content.len() - record.handed_over;
                    assert!(transaction.size < size as u64, "content is complete, with its Received line");
                    record.handed_over = record.content.len();
                    Answer::Stored
                }
            };
            record.questions.push(question);
            session.answer(answer, now);
        }
    }
}

/// Lines that lead somewhere, and pieces that break them.
fn dialogue() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        10 => prop::sample::select(vec![
            "EHLO me\r\n", "MAIL FROM:<a@b>\r\n", "MAIL FROM:<ü@bücher.de> SIZE=9\r\n", "RCPT TO:<c@d>\r\n",
            "RCPT TO:<>\r\n", "DATA\r\n", ".\r\n", "..a\r\n", "text\r\n", "\r\n.\r\n", "\n.\r\n", "\r.\r", "RSET\r\n",
            "NOOP\r\n", "STARTTLS\r\n", "VRFY x SMTPUTF8\r\n", "HELP\r\n", "QUIT\r\n", "MAIL FROM:<> BODY=BINARYMIME\r\n",
            "BDAT 0\r\n", "BDAT 3\r\na\r\n", "BDAT 6\r\nNOOP\r\n", "BDAT 2 LAST\r\n.\r", "BDAT 700\r\n", "BDAT x\r\n",
            "AUTH PLAIN\r\n", "AUTH LOGIN YQ==\r\n", "AUTH PLAIN\r\nb2s=\r\n", "b2s=\r\n", "*\r\n", "AUTH X\r\n",
            "EHLO me\r\nMAIL FROM:<a>\r\nRCPT TO:<b>\r\nBDAT 3\r\n\n.\nBDAT 4\r\n\r\n.\rBDAT 1 LAST\r\n\n",
            "EHLO me\r\nMAIL FROM:<a>\r\nRCPT TO:<b>\r\nDATA\r\nSubject: x\r\n\r\n.b\r\n.\r\n",
        ]).prop_map(|s: &str| s.as_bytes().to_vec()),
        2 => prop::collection::vec(any::<u8>(), 0..20),
        1 => (0usize..6000).prop_map(|n| vec![b'x'; n]),
        1 => prop::sample::select(vec![&b"\x16"[..], b"\x16\x03", b"\x16\x03\x01\x02\x00\x01", b"\r", b"\n", b"."])
            .prop_map(<[u8]>::to_vec),
    ];
    prop::collection::vec(piece, 0..25).prop_map(|pieces| pieces.concat())
}

fn config() -> impl Strategy<Value = ServerConfig> {
    (
        any::<[bool; 5]>(),
        prop::option::of(0u64..2000),
        prop::sample::select(vec![BareLf::Accept, BareLf::Smuggling, BareLf::Reject]),
    )
        .prop_map(
            |([trace, chunking, enhanced_status_codes, strict_address, starttls], max_size, bare_lf)| {
                ServerConfig {
                    trace,
                    extensions: Extensions { chunking, enhanced_status_codes, ..Extensions::default() },
                    strict_address,
                    starttls,
                    max_size,
                    bare_lf,
                    max_recipients: 3,
                    ..ServerConfig::default()
                }
            },
        )
}

proptest! {
    #[test]
    fn any_split_of_the_input_gives_the_same_session(
        input in dialogue(),
        config in config(),
        cuts in prop::collection::vec(0usize..100, 0..60),
        step in 1usize..20,
    ) {
        let whole = drive(config.clone(), &input, &[]);
        prop_assert_eq!(&drive(config.clone(), &input, &cuts), &whole);
        prop_assert_eq!(&drive(config, &input, &vec![step; input.len()]), &whole);
    }

    #[test]
    fn chunks_of_any_size_at_any_split_are_the_content(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..20),
        refused in any::<bool>(),
        cuts in prop::collection::vec(1usize..30, 0..60),
    ) {
        let mut input = b"EHLO me\r\nMAIL FROM:<a>\r\n".to_vec();
        input.extend_from_slice(if refused { b"" } else { b"RCPT TO:<b>\r\n" });
        for chunk in &chunks {
            input.extend_from_slice(format!("BDAT {}\r\n", chunk.len()).as_bytes());
            input.extend_from_slice(chunk);
        }
        input.extend_from_slice(b"BDAT 0 LAST\r\nQUIT\r\n");
        let extensions = Extensions { chunking: true, ..Extensions::default() };
        let record = drive(ServerConfig { extensions, ..ServerConfig::default() }, &input, &cuts);
        prop_assert_eq!(record.closed, Some(CloseReason::Quit));
        prop_assert!(record.sent.ends_with(b"\r\n221 OK\r\n"));
        prop_assert_eq!(record.content.is_empty(), refused);
        if !refused {
            let body = record.content.windows(2).position(|pair| pair == b"\r\n").map(|end| &record.content[end + 2..]);
            prop_assert_eq!(body, Some(&chunks.concat()[..]));
        }
    }

    #[test]
    fn every_reply_is_a_line_with_a_code(input in dialogue(), config in config()) {
        let enhanced = config.extensions.enhanced_status_codes;
        let record = drive(config, &input, &[]);
        let text = String::from_utf8(record.sent).unwrap();
        prop_assert!(text.ends_with("\r\n"));
        for line in text.split_terminator("\r\n") {
            let (code, rest) = line.split_at(3);
            prop_assert!(code.parse::<u16>().is_ok_and(|c| (200..600).contains(&c)), "{}", line);
            prop_assert!(rest.starts_with(' ') || rest.starts_with('-'), "{}", line);
            prop_assert!(!line.contains(|c: char| c.is_ascii_control()), "{}", line);
            // All but intermediate replies, greeting and hello.
            let exempt = line.starts_with('3') || rest.starts_with('-') || line.contains("Service ready")
                || line == "250 8BITMIME" || line == "250 hello";
            let class = format!(" {}.", &line[..1]);
            prop_assert!(exempt || !enhanced || rest.starts_with(&class), "{}", line);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(input: Vec<u8>, hello: bool) {
        let input = if hello { [b"EHLO x\r\nMAIL FROM:<a>\r\nRCPT TO:<b>\r\nDATA\r\n", &input[..]].concat() } else { input };
        drive(ServerConfig::default(), &input, &[]);
    }

    #[test]
    fn each_message_is_committed_or_discarded_once(input in dialogue(), config in config()) {
        let record = drive(config, &input, &[]);
        let begun = record.questions.iter().filter(|q| matches!(q, Question::Begin { .. })).count();
        let committed = record.questions.iter().filter(|q| matches!(q, Question::Commit(_))).count();
        prop_assert_eq!(begun, committed + record.discards);
    }
}

#[test]
fn a_peer_that_never_reads_makes_nothing_grow() {
    let now = Instant::now();
    let mut session =
        Session::new(Arc::default(), Peer { address: "::1".to_owned(), ..Peer::default() }, now);
    let noops = b"NOOP\r\n".repeat(1 << 16);
    let taken = session.input(&noops, now);
    assert!(taken < MAX_QUEUED, "{taken}");
    assert_eq!(session.input(&noops[taken..], now), 0);
    assert!(matches!(session.next(), Some(Output::Send(sent)) if sent.len() < MAX_QUEUED + 100));
    assert!(session.input(&noops[taken..], now) > 0, "drained, it goes on");
}
