//! Content by BDAT: any split of content and replies, and what is held in memory.

use super::*;

/// A server that takes chunks, in memory.
#[derive(Default)]
struct ChunkServer {
    codes: Vec<u16>,
    unread: Vec<u8>,
    /// Chunks of the transaction that is open.
    chunks: Vec<u8>,
    /// What was accepted whole.
    accepted: Vec<Vec<u8>>,
    failed: bool,
    resets: usize,
}

impl ChunkServer {
    /// Replies to all that has arrived complete.
    fn replies(&mut self, sent: &[u8]) -> Vec<u8> {
        self.unread.extend_from_slice(sent);
        let mut replies = Vec::new();
        while let Some(end) = self.unread.windows(2).position(|w| w == b"\r\n") {
            let line = String::from_utf8(self.unread[..end].to_vec()).expect("a command");
            let mut words = line.split(' ');
            let code = match words.next().unwrap() {
                "BDAT" => {
                    let size: usize = words.next().unwrap().parse().unwrap();
                    if self.unread.len() < end + 2 + size {
                        break;
                    }
                    let bytes: Vec<u8> = self.unread.drain(..end + 2 + size).skip(end + 2).collect();
                    replies.extend(
                        format!("{} x\r\n", self.chunk(&bytes, words.next() == Some("LAST"))).bytes(),
                    );
                    continue;
                }
                "MAIL" | "RCPT" => 250,
                "RSET" => {
                    self.resets += 1;
                    self.failed = false;
                    self.chunks.clear();
                    250
                }
                other => panic!("not a command: {other:?}"),
            };
            self.unread.drain(..end + 2);
            replies.extend(format!("{code} x\r\n").bytes());
        }
        replies
    }

    fn chunk(&mut self, bytes: &[u8], last: bool) -> u16 {
        if self.failed {
            return 503;
        }
        self.chunks.extend_from_slice(bytes);
        let code = if self.codes.is_empty() { 250 } else { self.codes.remove(0) };
        self.failed = code != 250;
        if last && !self.failed {
            self.accepted.push(std::mem::take(&mut self.chunks));
        }
        code
    }
}

fn chunking(pipelining: bool, body: Body, chunk_size: u64) -> (Session, Instant, Outgoing) {
    let now = Instant::now();
    let config = ClientConfig { chunking: body != Body::BinaryMime, chunk_size, ..ClientConfig::default() };
    let mut session = Session::new(Arc::new(config), now);
    let last = if pipelining { "PIPELINING" } else { "X" };
    session
        .input(format!("220 x\r\n250-x\r\n250-CHUNKING\r\n250-BINARYMIME\r\n250 {last}\r\n").as_bytes(), now);
    drain(&mut session);
    (session, now, Outgoing { body, ..message(1, 0) })
}

/// Sends each content with its pieces and the replies cut as told; the results.
fn exchange(
    (mut session, now, envelope): (Session, Instant, Outgoing),
    server: &mut ChunkServer,
    contents: &[Vec<u8>],
    pieces: &[usize],
    cuts: &[usize],
) -> Vec<MessageResult> {
    let (mut pieces, mut cuts) = (pieces.iter().cycle(), cuts.iter().cycle());
    let (mut contents, mut rest) = (contents.iter(), &[][..]);
    let (mut results, mut replies) = (Vec::new(), Vec::new());
    session.become_ready(now);
    loop {
        while let Some(output) = session.next() {
            match output {
                Output::Send(bytes) => replies.extend(server.replies(&bytes)),
                Output::Ready => {
                    let Some(content) = contents.next() else { return results };
                    rest = content.as_slice();
                    session.send(Outgoing { size: rest.len() as u64, ..envelope.clone() }, now);
                }
                Output::NeedContent => {
                    let (piece, tail) = rest.split_at((*pieces.next().unwrap()).min(rest.len()));
                    rest = tail;
                    session.content(piece, rest.is_empty(), now);
                }
                Output::Done(result) => results.push(result),
                other => panic!("{other:?}"),
            }
            // Some of the replies arrive while others are still on their way.
            let count = (*cuts.next().unwrap()).min(replies.len());
            session.input(&replies.drain(..count).collect::<Vec<_>>(), now);
        }
        assert!(!replies.is_empty(), "both sides wait");
        session.input(&std::mem::take(&mut replies), now);
    }
}

proptest! {
    #[test]
    fn chunks_arrive_byte_for_byte_or_not_at_all(
        lengths in proptest::collection::vec(0usize..60_000, 1..4),
        pieces in proptest::collection::vec(1usize..40_000, 1..8),
        cuts in proptest::collection::vec(0usize..12, 1..20),
        codes in proptest::collection::vec(prop_oneof![6 => Just(250u16), 1 => Just(452), 1 => Just(552)], 0..12),
        chunk_size in prop_oneof![1_000u64..30_000, Just(CHUNK_SIZE)],
        pipelining in any::<bool>(),
        binary in any::<bool>(),
    ) {
        let body = if binary { Body::BinaryMime } else { Body::SevenBit };
        let contents: Vec<Vec<u8>> =
            lengths.iter().map(|&length| (0..length).map(|n| b"\r\n.\0BDAT 1"[n * 7 % 10]).collect()).collect();
        let mut server = ChunkServer { codes, ..ChunkServer::default() };
        let results = exchange(chunking(pipelining, body, chunk_size), &mut server, &contents, &pieces, &cuts);
        prop_assert_eq!(results.len(), contents.len());
        let sent = |result: &MessageResult| matches!(result.outcome, Outcome::Sent(_));
        let (good, refused): (Vec<_>, Vec<_>) = contents.iter().zip(&results).partition(|(_, result)| sent(result));
        let good: Vec<Vec<u8>> = good.into_iter().map(|(content, _)| content.clone()).collect();
        prop_assert_eq!(&server.accepted, &good);
        prop_assert_eq!(server.resets, refused.len());
        for (_, result) in refused {
            prop_assert!(matches!(&result.outcome, Outcome::ContentRefused(reply) if reply.code != 503), "{:?}", result);
        }
    }
}

#[test]
fn a_chunk_is_streamed_and_not_collected() {
    let (mut session, now, envelope) = chunking(true, Body::SevenBit, CHUNK_SIZE);
    session.send(Outgoing { size: 3 * CHUNK_SIZE, ..envelope }, now);
    session.input(b"250 ok\r\n250 ok\r\n", now);
    drain(&mut session);
    for piece in 1..=29 {
        session.content(&[b'x'; 100_000], false, now);
        let bytes = sent(&drain(&mut session)).len();
        assert!((100_000..100_020).contains(&bytes), "piece {piece}: {bytes}");
    }
    session.content(&[b'x'; 100_000], false, now);
    assert_eq!(sent(&drain(&mut session)), b"", "the end is held back until it is known to be the end");
    session.content(b"", true, now);
    assert_eq!(sent(&drain(&mut session)).len(), 100_000);
    session.input(&b"250 ok\r\n".repeat(3), now);
    assert_eq!(sent(&drain(&mut session)), b"BDAT 0 LAST\r\n");
}
