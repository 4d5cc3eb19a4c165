//! Reading without a buffer per connection.
//!
//! An idle connection must cost almost nothing, so bytes are read into one scratch buffer per worker thread and only
//! what the session could not use at once is kept in the connection's own buffer.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::Poll;

use tokio::io::{AsyncRead, ReadBuf};

/// Bytes taken from a socket by one read.
pub const READ_SIZE: usize = 64 * 1024;

/// A kept buffer larger than this is given back to the allocator once it is empty.
const KEEP_CAPACITY: usize = 1024;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_SIZE].into_boxed_slice());
}

/// Waits for bytes and appends at most [`READ_SIZE`] of them to `pending`. Returns how many came; 0 is the end of the stream.
///
/// Cancel-safe: when the future is dropped before it is ready nothing has been read.
///
/// # Errors
/// The error of the read.
pub async fn read_some<S: AsyncRead + Unpin>(stream: &mut S, pending: &mut Vec<u8>) -> io::Result<usize> {
    poll_fn(|cx| {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            match Pin::new(&mut *stream).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) => {
                    pending.extend_from_slice(buffer.filled());
                    Poll::Ready(Ok(buffer.filled().len()))
                }
                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                Poll::Pending => Poll::Pending,
            }
        })
    })
    .await
}

/// Drops the first `used` bytes, and the memory too when nothing is left of a large buffer.
pub fn consume(pending: &mut Vec<u8>, used: usize) {
    if used >= pending.len() {
        if pending.capacity() > KEEP_CAPACITY {
            *pending = Vec::new();
        } else {
            pending.clear();
        }
    } else {
        pending.drain(..used);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bytes_are_appended_and_the_end_is_zero() {
        let mut source: &[u8] = b"hello";
        let mut pending = b"> ".to_vec();
        assert_eq!(read_some(&mut source, &mut pending).await.unwrap(), 5);
        assert_eq!(pending, b"> hello");
        assert_eq!(read_some(&mut source, &mut pending).await.unwrap(), 0);
    }

    #[test]
    fn a_drained_large_buffer_is_given_back() {
        let mut pending = vec![0; 4 * KEEP_CAPACITY];
        consume(&mut pending, 1);
        assert_eq!(pending.len(), 4 * KEEP_CAPACITY - 1);
        let all = pending.len();
        consume(&mut pending, all);
        assert_eq!(pending.capacity(), 0);
    }
}
