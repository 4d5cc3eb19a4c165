//! BDAT (RFC 3030): content in chunks of a size told beforehand, stored byte for byte.
//!
//! The bytes of a refused chunk are read and dropped, and never looked at as commands: a client that pipelines has sent
//! them already.

use std::time::Instant;

use super::config::ServerConfig;
use super::content::most_read;
use super::event::{CloseReason, Event};
use super::limits::{MAX_SMALL_CHUNKS, Rate, SMALL_CHUNK};
use super::open::Open;
use super::output::Output;
use super::session::{Session, State};
use crate::smtp::command::is_blank;
use crate::smtp::reply::{self, Reply};

/// Marks the last chunk of a message.
const LAST: &[u8] = b"LAST";

/// Content that comes in chunks.
#[derive(Debug)]
pub(super) struct Chunks {
    pub(super) rate: Rate,
    current: Chunk,
    /// Bytes of the current chunk still to come.
    left: u64,
    /// Chunks so far that were smaller than [`SMALL_CHUNK`].
    small: u32,
}

/// A refused chunk whose bytes are being dropped.
#[derive(Debug)]
pub(super) struct RefusedChunk {
    pub(super) rate: Rate,
    left: u64,
    read: u64,
    /// To be sent when all of it has come (RFC 3030 §2); none: has been sent.
    refusal: Option<Refusal>,
}

#[derive(Debug)]
enum Refusal {
    Plain(Reply),
    ProtocolError(Reply),
}

/// What BDAT announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Chunk {
    size: u64,
    last: bool,
}

impl Chunk {
    /// `SIZE [LAST]`. Other words are ignored. None if the size is not a number: nobody knows then where the next
    /// command begins.
    fn parse(argument: &[u8]) -> Option<Self> {
        let mut words = argument.split(|b| is_blank(*b)).filter(|word| !word.is_empty());
        // The library's parser would take a sign.
        let digits = words.next().filter(|word| word.iter().all(u8::is_ascii_digit))?;
        let size = std::str::from_utf8(digits).ok()?.parse().ok()?;
        let last = words.next().is_some_and(|word| word.eq_ignore_ascii_case(LAST));
        Some(Self { size, last })
    }
}

impl Session {
    pub(super) fn bdat(&mut self, argument: &[u8], now: Instant) {
        let bare = argument.iter().any(|b| matches!(b, b'\0' | b'\r' | b'\n'));
        let Some(chunk) = Chunk::parse(argument).filter(|_| !bare) else { return self.bad_chunk() };
        match self.state {
            State::Rcpt | State::Bdat => self.begin_chunk(chunk, now),
            State::Mail => {
                self.abort();
                self.state = State::Idle;
                self.refuse_chunk(chunk, Refusal::Plain(reply::NO_RECIPIENTS), now);
            }
            State::Idle | State::MustReset => {
                if !chunk.last {
                    self.state = State::MustReset;
                }
                // May have been in the pipeline behind a chunk that failed (RFC 3030 §2): not an error of its own.
                self.refuse_chunk(chunk, Refusal::Plain(reply::OUT_OF_SEQUENCE), now);
            }
            State::Start | State::Auth | State::Data | State::BdatData | State::Handshake | State::Closed => {
                self.refuse_chunk(chunk, Refusal::ProtocolError(reply::OUT_OF_SEQUENCE), now);
            }
        }
    }

    /// A BDAT line that tells no size: its chunk cannot be told from commands.
    pub(super) fn bad_chunk(&mut self) {
        self.farewell(&reply::INVALID_ARGUMENT, CloseReason::BadChunk);
    }

    /// Takes bytes of an accepted chunk.
    pub(super) fn chunk(&mut self, bytes: &[u8], now: Instant) -> usize {
        let Some(open) = self.open.as_deref_mut() else { return 0 };
        let Some(chunks) = &mut open.chunks else { return 0 };
        let part = front(bytes, chunks.left);
        if part.is_empty() {
            return 0;
        }
        chunks.left = chunks.left.saturating_sub(part.len() as u64);
        chunks.rate.add(part.len());
        let (chunk, complete) = (chunks.current, chunks.left == 0);
        open.transaction.size = open.transaction.size.saturating_add(part.len() as u64);
        self.queue.push(Output::Content(part.to_vec()));
        if complete {
            if self.config.trace {
                self.log(Event::RxContent);
            }
            self.chunk_complete(chunk, now);
        }
        part.len()
    }

    /// Drops bytes of a refused chunk.
    pub(super) fn skip_chunk(&mut self, bytes: &[u8], now: Instant) -> usize {
        let Some(refused) = self.refused.as_deref_mut() else { return 0 };
        let most = most_read(&self.config).unwrap_or(u64::MAX);
        let part = front(bytes, refused.left.min(most.saturating_sub(refused.read)));
        refused.left = refused.left.saturating_sub(part.len() as u64);
        refused.read = refused.read.saturating_add(part.len() as u64);
        refused.rate.add(part.len());
        if refused.left == 0 {
            self.chunk_skipped(now);
        } else if refused.read >= most {
            if let Some(Refusal::Plain(reply) | Refusal::ProtocolError(reply)) = refused.refusal.take() {
                self.send(&reply);
            }
            self.close(CloseReason::TooBig);
        }
        part.len()
    }

    fn begin_chunk(&mut self, chunk: Chunk, now: Instant) {
        let Some(open) = self.open.as_deref_mut() else { return };
        if is_too_big(open, chunk, &self.config) {
            self.log(Event::ContentTooBig);
            self.fail_chunks(chunk);
            // Now, and not behind the chunk: who waits for it need not send it.
            self.refused = Some(Box::new(RefusedChunk::new(chunk, None, now)));
            return self.finish(&reply::TOO_BIG, now);
        }
        let first = open.chunks.is_none();
        let chunks = open.chunks.get_or_insert_with(|| Chunks::new(now));
        chunks.small = chunks.small.saturating_add(u32::from(chunk.size < SMALL_CHUNK));
        if chunks.small > MAX_SMALL_CHUNKS {
            self.fail_chunks(chunk);
            return self.refuse_chunk(chunk, Refusal::Plain(reply::TOO_MANY_CHUNKS), now);
        }
        chunks.current = chunk;
        chunks.left = chunk.size;
        let head = if first { self.received_line() } else { Vec::new() };
        if !head.is_empty() {
            self.queue.push(Output::Content(head));
        }
        self.state = State::BdatData;
        if chunk.size == 0 {
            self.chunk_complete(chunk, now);
        }
    }

    fn chunk_complete(&mut self, chunk: Chunk, now: Instant) {
        if chunk.last {
            self.ask_to_commit();
        } else {
            self.state = State::Bdat;
            self.reply(&reply::chunk_received(chunk.size), now);
        }
    }

    /// Drops the message. More of its chunks may be on their way, except behind the last one, where the next thing a
    /// client may want to say is MAIL.
    fn fail_chunks(&mut self, chunk: Chunk) {
        self.abort();
        self.state = if chunk.last { State::Idle } else { State::MustReset };
    }

    fn refuse_chunk(&mut self, chunk: Chunk, refusal: Refusal, now: Instant) {
        self.refused = Some(Box::new(RefusedChunk::new(chunk, Some(refusal), now)));
        if chunk.size == 0 {
            self.chunk_skipped(now);
        }
    }

    fn chunk_skipped(&mut self, now: Instant) {
        match self.refused.take().and_then(|refused| refused.refusal) {
            Some(Refusal::Plain(reply)) => self.finish(&reply, now),
            Some(Refusal::ProtocolError(reply)) => self.protocol_error(&reply, now),
            None => {}
        }
    }
}

impl Chunks {
    fn new(now: Instant) -> Self {
        Self { rate: Rate::new(now), current: Chunk { size: 0, last: false }, left: 0, small: 0 }
    }
}

impl RefusedChunk {
    fn new(chunk: Chunk, refusal: Option<Refusal>, now: Instant) -> Self {
        Self { rate: Rate::new(now), left: chunk.size, read: 0, refusal }
    }
}

fn is_too_big(open: &Open, chunk: Chunk, config: &ServerConfig) -> bool {
    let size = open.transaction.size.saturating_add(chunk.size);
    config.max_size.is_some_and(|limit| size > limit)
}

/// The first `most` of the bytes, or all if there are fewer.
fn front(bytes: &[u8], most: u64) -> &[u8] {
    usize::try_from(most).ok().and_then(|most| bytes.get(..most)).unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_digits_and_last_is_the_second_word() {
        let chunk = |size, last| Some(Chunk { size, last });
        for (argument, parsed) in [
            (&b"5"[..], chunk(5, false)),
            (b"5 LAST", chunk(5, true)),
            (b"0005 \t last \t", chunk(5, true)),
            (b"0 Last more", chunk(0, true)),
            (b"3 FOO LAST", chunk(3, false)),
            (b"18446744073709551615", chunk(u64::MAX, false)),
            (b"18446744073709551616", None),
            (b"", None),
            (b" ", None),
            (b"LAST", None),
            (b"-1", None),
            (b"+1", None),
            (b"1x", None),
            (b"0x10", None),
            (b"1.0", None),
            (b"\xd9\xa1", None),
        ] {
            assert_eq!(Chunk::parse(argument), parsed, "{argument:?}");
        }
    }
}
