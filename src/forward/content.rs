//! The content of a message on its way from the spool to the wire: bounded memory whatever its size.

use std::fs::File;
use std::io::{self, Read};

use tokio::task::spawn_blocking;

use crate::message::hops::{MAX_HOPS, hops};
use crate::net::client;

/// Bytes read from the content file at a time.
const CHUNK: usize = 256 * 1024;

/// A content file, of which the first piece is read together with the envelope so that a small message costs one
/// visit to the disk.
#[derive(Debug)]
pub(crate) struct Content {
    first: Option<Vec<u8>>,
    rest: Option<File>,
}

impl Content {
    /// Reads the first piece. Blocking.
    pub(crate) fn open(mut file: File, size: u64) -> io::Result<Self> {
        let wanted = usize::try_from(size).unwrap_or(CHUNK).min(CHUNK);
        let first = read_up_to(&mut file, wanted)?;
        // A file that grows while it is read is sent as long as it was when the message was taken.
        let rest = (size > first.len() as u64).then_some(file);
        Ok(Self { first: Some(first), rest })
    }

    /// The message has been handed on so often that servers must be sending it to each other.
    pub(crate) fn is_in_circles(&self) -> bool {
        self.first.as_ref().is_some_and(|head| hops(head) > MAX_HOPS)
    }
}

impl client::Content for Content {
    async fn next(&mut self) -> io::Result<(Vec<u8>, bool)> {
        if let Some(first) = self.first.take() {
            return Ok((first, self.rest.is_none()));
        }
        let Some(mut file) = self.rest.take() else { return Ok((Vec::new(), true)) };
        let (file, chunk) = spawn_blocking(move || {
            let chunk = read_up_to(&mut file, CHUNK);
            chunk.map(|chunk| (file, chunk))
        })
        .await
        .map_err(io::Error::other)??;
        let last = chunk.len() < CHUNK;
        self.rest = (!last).then_some(file);
        Ok((chunk, last))
    }
}

fn read_up_to(file: &mut File, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(limit);
    file.by_ref().take(limit as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::client::Content as _;
    use std::io::{Seek, Write};

    async fn pieces(size: usize) -> (Vec<u8>, usize) {
        let mut file = tempfile::tempfile().unwrap();
        let bytes: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
        file.write_all(&bytes).unwrap();
        file.rewind().unwrap();
        let mut content = Content::open(file, size as u64).unwrap();
        let (mut read, mut count) = (Vec::new(), 0);
        loop {
            let (chunk, last) = content.next().await.unwrap();
            read.extend_from_slice(&chunk);
            count += 1;
            if last {
                break;
            }
        }
        assert_eq!(read, bytes);
        (read, count)
    }

    #[tokio::test]
    async fn every_size_arrives_whole() {
        assert_eq!(pieces(0).await.1, 1);
        assert_eq!(pieces(10).await.1, 1);
        assert_eq!(pieces(CHUNK).await.1, 1);
        assert_eq!(pieces(CHUNK + 1).await.1, 2);
        pieces(3 * CHUNK).await;
    }
}
