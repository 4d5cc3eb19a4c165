//! Tests of the whole session that a transcript cannot hold: bounds, any split of the input, hostile input.

use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::limits::{CHUNK_SIZE, CONTENT_BUFFER, MAX_GROUP_BYTES, MAX_GROUP_RECIPIENTS, MAX_RECIPIENT_TEXT};
use super::*;
use crate::smtp::Body;

mod bdat;

/// A server that answers each command with the next code of a list, in memory.
struct Server {
    codes: Vec<u16>,
    answered: usize,
    received: Vec<u8>,
    in_data: bool,
}

impl Server {
    fn new(codes: Vec<u16>) -> Self {
        Self { codes, answered: 0, received: Vec::new(), in_data: false }
    }

    /// Replies to all that the client has sent.
    fn replies(&mut self, sent: &[u8]) -> Vec<u8> {
        self.received.extend_from_slice(sent);
        let mut replies = Vec::new();
        while let Some(end) = self.received.windows(2).position(|w| w == b"\r\n") {
            let line: Vec<u8> = self.received.drain(..end + 2).collect();
            if self.in_data && line != b".\r\n" {
                continue;
            }
            self.in_data = false;
            let code = match self.codes.get(self.answered % self.codes.len().max(1)) {
                Some(code) => *code,
                None if line == b"DATA\r\n" => 354,
                None => 250,
            };
            self.answered += 1;
            self.in_data = line == b"DATA\r\n" && code == 354;
            replies.extend_from_slice(format!("{code}-first\r\n{code} second {code}\r\n").as_bytes());
        }
        replies
    }
}

const EHLO_REPLY: &[u8] = b"220 x\r\n250-x\r\n250 PIPELINING\r\n";

fn session(config: ClientConfig) -> (Session, Instant) {
    let now = Instant::now();
    let mut session = Session::new(Arc::new(config), now);
    session.input(EHLO_REPLY, now);
    while session.next().is_some() {}
    (session, now)
}

fn message(recipients: usize, size: u64) -> Outgoing {
    Outgoing {
        sender: "me@from.net".to_owned(),
        recipients: (0..recipients).map(|n| format!("r{n}@to.net")).collect(),
        size,
        ..Outgoing::default()
    }
}

fn drain(session: &mut Session) -> Vec<Output> {
    std::iter::from_fn(|| session.next()).collect()
}

fn sent(outputs: &[Output]) -> Vec<u8> {
    let bytes = outputs.iter().filter_map(|output| match output {
        Output::Send(bytes) => Some(bytes.as_slice()),
        _ => None,
    });
    bytes.collect::<Vec<_>>().concat()
}

#[test]
fn groups_are_bounded_in_recipients() {
    for forward_to_some in [false, true] {
        let (mut session, now) = session(ClientConfig { forward_to_some, ..ClientConfig::default() });
        session.send(message(250, 0), now);
        let mut lines = Vec::new();
        loop {
            let group = sent(&drain(&mut session));
            let commands = group.split(|&b| b == b'\n').count() - 1;
            lines.push(commands);
            if group.ends_with(b"DATA\r\n") {
                break;
            }
            session.input(&b"250 ok\r\n".repeat(commands), now);
        }
        let expected: &[usize] = if forward_to_some { &[101, 100, 51] } else { &[101, 100, 50, 1] };
        assert_eq!(lines, expected);
        assert_eq!(MAX_GROUP_RECIPIENTS, 100);
    }
}

#[test]
fn groups_are_bounded_in_bytes() {
    let (mut session, now) = session(ClientConfig::default());
    let mut message = message(50, 0);
    for recipient in &mut message.recipients {
        recipient.insert_str(0, &"x".repeat(3000));
    }
    session.send(message, now);
    let group = sent(&drain(&mut session));
    assert!(group.len() <= MAX_GROUP_BYTES && group.len() > MAX_GROUP_BYTES - 4000, "{}", group.len());
}

#[test]
fn an_address_longer_than_a_group_is_sent_alone() {
    let (mut session, now) = session(ClientConfig::default());
    let mut message = message(2, 0);
    message.recipients[0].insert_str(0, &"x".repeat(MAX_GROUP_BYTES));
    session.send(message, now);
    assert_eq!(sent(&drain(&mut session)), b"MAIL FROM:<me@from.net>\r\n");
    session.input(b"250 ok\r\n", now);
    assert!(sent(&drain(&mut session)).ends_with(b"xr0@to.net>\r\n"));
    session.input(b"250 ok\r\n", now);
    assert_eq!(sent(&drain(&mut session)), b"RCPT TO:<r1@to.net>\r\n");
}

#[test]
fn kept_refusals_are_short() {
    let (mut session, now) = session(ClientConfig::default());
    session.send(message(50, 0), now);
    let refusal = [b"550 ".as_slice(), &[b'x'; 4000], b"\r\n"].concat();
    session.input(b"250 ok\r\n", now);
    session.input(&refusal.repeat(50), now);
    session.input(b"250 reset\r\n", now);
    let done = drain(&mut session).into_iter().find_map(|output| match output {
        Output::Done(result) => Some(result),
        _ => None,
    });
    for recipient in done.unwrap().recipients {
        let RecipientResult::Refused(reply) = recipient.result else { panic!("{:?}", recipient.result) };
        assert_eq!(reply.text.len(), MAX_RECIPIENT_TEXT);
    }
}

#[test]
fn content_goes_out_in_large_writes() {
    let (mut session, now) = session(ClientConfig::default());
    session.send(message(1, 1 << 20), now);
    session.input(b"250 ok\r\n250 ok\r\n354 go\r\n", now);
    assert!(drain(&mut session).contains(&Output::NeedContent));
    let line = [&[b'x'; 70][..], b"\n"].concat();
    let content = line.repeat(10_000);
    let mut writes = Vec::new();
    let count = content.chunks(4096).count();
    for (at, chunk) in content.chunks(4096).enumerate() {
        session.content(chunk, at + 1 == count, now);
        writes.extend(drain(&mut session).into_iter().filter_map(|output| match output {
            Output::Send(bytes) => Some(bytes.len()),
            _ => None,
        }));
    }
    assert_eq!(writes.iter().sum::<usize>(), content.len() + 10_000 + 3);
    let (_, full) = writes.split_last().unwrap();
    assert!(full.iter().all(|&length| (CONTENT_BUFFER..CONTENT_BUFFER + 8192).contains(&length)), "{full:?}");
}

#[test]
fn progress_of_a_slow_write_starts_the_wait_again() {
    let limit = Duration::from_secs(60);
    let (mut session, now) =
        session(ClientConfig { response_timeout: Some(limit), ..ClientConfig::default() });
    session.send(message(1, 0), now);
    session.progress(now + limit / 2);
    assert_eq!(session.deadline(), Some(now + limit), "only content counts");
    session.input(b"250 ok\r\n250 ok\r\n354 go\r\n", now);
    session.content(&[b'x'; CONTENT_BUFFER], false, now);
    session.progress(now + limit / 2);
    assert_eq!(session.deadline(), Some(now + limit / 2 + limit));
}

#[test]
fn a_session_that_is_not_ready_takes_no_message() {
    let now = Instant::now();
    let mut session = Session::new(Arc::new(ClientConfig::default()), now);
    session.send(message(1, 0), now);
    session.content(b"x", true, now);
    assert_eq!(session.next(), None);
    session.closed(None, now);
    assert_eq!(drain(&mut session).last(), Some(&Output::Close));
    session.send(message(1, 0), now);
    session.closed(None, now);
    session.quit(now);
    session.timer(now + Duration::from_secs(10_000));
    assert_eq!(session.next(), None);
    assert_eq!(session.deadline(), None);
}

/// Carries messages over a session to a server with the given codes, the replies cut as told, and collects all outputs.
fn dialogue(codes: &[u16], some: bool, recipients: usize, cuts: &[usize]) -> Vec<Output> {
    let config = ClientConfig { forward_to_some: some, trace: true, ..ClientConfig::default() };
    let (mut session, now) = session(config);
    let mut server = Server::new(codes.to_vec());
    let mut all = Vec::new();
    let mut cuts = cuts.iter().cycle();
    session.send(message(recipients, 5), now);
    let mut messages = 1;
    loop {
        let outputs = drain(&mut session);
        if outputs.is_empty() || all.len() > 10_000 {
            return all;
        }
        let replies = server.replies(&sent(&outputs));
        for output in &outputs {
            match output {
                Output::NeedContent => session.content(b"a\n.b", true, now),
                Output::Ready if messages < 3 => {
                    messages += 1;
                    session.send(message(recipients, 5), now);
                }
                _ => {}
            }
        }
        all.extend(outputs);
        let mut rest = replies.as_slice();
        while !rest.is_empty() {
            let cut = cuts.next().map_or(rest.len(), |&cut| cut.clamp(1, rest.len()));
            let (piece, tail) = rest.split_at(cut);
            session.input(piece, now);
            rest = tail;
        }
    }
}

fn code() -> impl Strategy<Value = u16> {
    prop_oneof![8 => Just(250u16), 2 => Just(354), 1 => Just(550), 1 => Just(450), 1 => Just(421), 1 => 100u16..600]
}

proptest! {
    #[test]
    fn any_split_of_the_replies_gives_the_same_outputs(
        codes in proptest::collection::vec(code(), 0..12),
        some in any::<bool>(),
        recipients in 1usize..5,
        cuts in proptest::collection::vec(1usize..12, 1..20),
    ) {
        let whole = dialogue(&codes, some, recipients, &[]);
        let cut = dialogue(&codes, some, recipients, &cuts);
        prop_assert_eq!(whole, cut);
    }

    /// Every message gets exactly one end: a result, or a fault that names it as in hand.
    #[test]
    fn no_message_is_left_without_an_end(
        codes in proptest::collection::vec(code(), 0..12),
        some in any::<bool>(),
        recipients in 1usize..5,
    ) {
        let outputs = dialogue(&codes, some, recipients, &[]);
        let ends = outputs.iter().filter(|output| match output {
            Output::Done(_) => true,
            Output::Fault(fault) => fault.stage > Stage::Idle,
            _ => false,
        });
        let closed = outputs.contains(&Output::Close);
        let ends = ends.count();
        prop_assert!(ends == 3 || (closed && (1..3).contains(&ends)), "{:?}", outputs);
    }

    #[test]
    fn hostile_input_neither_panics_nor_grows(
        pieces in proptest::collection::vec(
            prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..200),
                "[1-6]{3}[ -]{0,1}[a-z]{0,5}(\r\n){0,1}".prop_map(String::into_bytes),
                Just(b"250 ok\r\n".to_vec()),
                Just(b"250-ok\r\n".to_vec()),
                Just(b"354 go\r\n".to_vec()),
                Just(vec![b'2'; 5000]),
            ],
            0..60),
        greeted in any::<bool>(),
    ) {
        let now = Instant::now();
        let mut session = Session::new(Arc::new(ClientConfig::default()), now);
        if greeted {
            session.input(EHLO_REPLY, now);
        }
        let mut closed = false;
        for piece in &pieces {
            session.input(piece, now);
            let outputs = drain(&mut session);
            prop_assert!(!closed || outputs.is_empty());
            prop_assert!(outputs.len() < 20);
            for output in outputs {
                match output {
                    Output::Ready => session.send(message(3, 0), now),
                    Output::NeedContent => session.content(b"x", true, now),
                    Output::Close => closed = true,
                    _ => {}
                }
            }
            prop_assert!(session.parser.line().len() <= limits::MAX_REPLY_LINE);
            prop_assert!(session.parser.texts().iter().map(String::len).sum::<usize>() <= 2 * limits::MAX_REPLY);
        }
    }
}
