//! Content on its way out in counted chunks: BDAT (RFC 3030).
//!
//! The bytes of the file go out as they are. The size is known before, so a chunk is announced when its first bytes are there
//! and streamed from then on. Two rules keep what is announced true, and what is in doubt small:
//!
//! - The last bytes of the message are held back until the file is known to end with them. A file of any other size than
//!   announced is found out before the server could take the message for complete.
//! - The chunk with LAST is begun when all chunks before it are accepted. Until then the server cannot have the message.

use super::limits::CONTENT_BUFFER;
use super::{Event, Reply};

/// How a message is cut into chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    /// Bytes in a chunk.
    pub(super) size: u64,
    /// LAST is a chunk of its own, without bytes. Otherwise it is the first chunk that is not full.
    pub(super) lone_last: bool,
    /// A chunk may follow while the one before it is not yet answered (RFC 2920).
    pub(super) ahead: bool,
}

/// The file has not the size that was announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WrongSize;

/// What comes next for the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// More of the file.
    Content,
    /// The reply to a chunk.
    Reply,
    /// The reply to the last chunk: everything is handed out.
    FinalReply,
}

/// The chunks of one message.
#[derive(Debug)]
pub(super) struct Chunker {
    cut: Cut,
    /// Bytes of the file that are not handed out yet.
    held: Vec<u8>,
    /// Bytes of the file that have not been given yet.
    unread: u64,
    /// Bytes that no chunk has announced yet.
    unannounced: u64,
    /// Bytes that the chunk in hand has announced and that are not handed out.
    open: u64,
    /// The chunk in hand, or the one handed out before, is the last.
    last: bool,
    ended: bool,
    stopped: bool,
    /// Chunks handed out whole and not yet replied to.
    unanswered: usize,
}

impl Chunker {
    pub(super) fn new(cut: Cut, size: u64) -> Self {
        let cut = Cut { size: cut.size.max(1), ..cut };
        Self {
            cut,
            held: Vec::new(),
            unread: size,
            unannounced: size,
            open: 0,
            last: false,
            ended: false,
            stopped: false,
            unanswered: 0,
        }
    }

    /// Takes a piece of the file.
    ///
    /// # Errors
    /// The file turns out longer or shorter than announced. The session must not go on.
    pub(super) fn push(&mut self, piece: &[u8], last: bool) -> Result<(), WrongSize> {
        let length = u64::try_from(piece.len()).map_err(|_| WrongSize)?;
        self.unread = self.unread.checked_sub(length).ok_or(WrongSize)?;
        if last && self.unread > 0 {
            return Err(WrongSize);
        }
        self.held.extend_from_slice(piece);
        self.ended |= last;
        Ok(())
    }

    /// Hands out what may be sent now, chunk headers included, with what there is to say about them in the log.
    pub(super) fn take(&mut self) -> (Vec<u8>, Vec<Event>) {
        let (mut out, mut events) = (Vec::new(), Vec::new());
        let mut from = 0;
        if !self.ended && (self.unread == 0 || self.held.len() < CONTENT_BUFFER) {
            return (out, events);
        }
        loop {
            let left = self.held.len().saturating_sub(from);
            if self.open == 0 {
                if !self.may_begin() || (left == 0 && self.unannounced > 0) {
                    break;
                }
                let header = self.begin();
                out.extend_from_slice(format!("{}\r\n", bdat(header.size, header.last)).as_bytes());
                events.push(Event::SentChunk { size: header.size, last: header.last });
            }
            let count = usize::try_from(self.open).unwrap_or(usize::MAX).min(left);
            out.extend_from_slice(self.held.get(from..from + count).unwrap_or_default());
            from += count;
            self.open = self.open.saturating_sub(count as u64);
            if self.open > 0 {
                break;
            }
            self.unanswered += 1;
        }
        self.held.drain(..from);
        (out, events)
    }

    /// What comes next, after [`Chunker::take`].
    pub(super) fn need(&self) -> Need {
        if self.is_complete() {
            Need::FinalReply
        } else if self.ended || (self.open == 0 && self.must_wait()) {
            Need::Reply
        } else {
            Need::Content
        }
    }

    /// Takes note of a reply; false if there is no chunk that it could be for.
    pub(super) fn answered(&mut self) -> bool {
        let before = self.unanswered;
        self.unanswered = before.saturating_sub(1);
        before > 0
    }

    /// Begins no further chunk; the one in hand is still completed, because the server counts its bytes.
    pub(super) fn stop(&mut self) {
        self.stopped = true;
    }

    /// True if nothing is under way: no chunk begun and not completed, none without a reply.
    pub(super) fn is_quiet(&self) -> bool {
        self.open == 0 && self.unanswered == 0
    }

    /// True if all of the last chunk is handed out.
    pub(super) fn is_complete(&self) -> bool {
        self.last && self.open == 0
    }

    fn may_begin(&self) -> bool {
        !self.last && !self.must_wait()
    }

    fn must_wait(&self) -> bool {
        self.stopped || (self.unanswered > 0 && (!self.cut.ahead || self.next_header().last))
    }

    fn next_header(&self) -> Header {
        let size = self.unannounced.min(self.cut.size);
        let last = if self.cut.lone_last { size == 0 } else { size < self.cut.size };
        Header { size, last }
    }

    fn begin(&mut self) -> Header {
        let header = self.next_header();
        self.unannounced = self.unannounced.saturating_sub(header.size);
        self.open = header.size;
        self.last = header.last;
        header
    }
}

/// A BDAT command.
#[derive(Clone, Copy)]
struct Header {
    size: u64,
    last: bool,
}

/// The command line (RFC 3030 section 2), without its CRLF.
pub(super) fn bdat(size: u64, last: bool) -> String {
    format!("BDAT {size}{}", if last { " LAST" } else { "" })
}

/// True if the server did not know what BDAT is: the bytes that followed may have been read as commands.
pub(super) fn is_misunderstanding(reply: &Reply) -> bool {
    matches!(reply.code, 500 | 501 | 502 | 504)
}
