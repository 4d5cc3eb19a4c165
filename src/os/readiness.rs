//! Waiting for a descriptor that the runtime has no type for.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Tells when there is something to read.
#[derive(Debug)]
pub struct Readiness(AsyncFd<OwnedFd>);

impl Readiness {
    /// Watches a descriptor, by a duplicate that shares its state. To be called inside the runtime.
    ///
    /// # Errors
    /// There are too many descriptors, or it is of a kind that is always ready.
    #[expect(unsafe_code, reason = "the runtime cannot know that a descriptor stays what it is")]
    pub fn of(source: &impl AsFd) -> io::Result<Self> {
        let own = source.as_fd().try_clone_to_owned()?;
        // SAFETY: an owned descriptor stays open and the same until it is dropped, which the result does.
        let registered = unsafe { AsyncFd::register_with_interest(own, Interest::READABLE) };
        Ok(Self(registered?))
    }

    /// Waits until something has come since the last call. Whoever waits has to read all of it. Cancel-safe.
    pub async fn wait(&self) {
        if let Ok(mut guard) = self.0.readable().await {
            guard.clear_ready();
        }
    }
}

/// Tells when the peer of a stream socket has closed it altogether, which the end of its input does not say. A unix-domain peer
/// is seen to do so at once, one over TCP only when something is sent to it.
#[derive(Debug)]
pub struct Hangup(AsyncFd<OwnedFd>);

impl Hangup {
    /// Watches a socket, by a duplicate that shares its state. To be called inside the runtime.
    ///
    /// # Errors
    /// There are too many descriptors.
    #[expect(unsafe_code, reason = "the runtime cannot know that a descriptor stays what it is")]
    pub fn of(socket: &impl AsFd) -> io::Result<Self> {
        let own = socket.as_fd().try_clone_to_owned()?;
        // SAFETY: an owned descriptor stays open and the same until it is dropped, which the result does.
        let registered = unsafe { AsyncFd::register_with_interest(own, Interest::WRITABLE) };
        Ok(Self(registered?))
    }

    /// Waits for it. Cancel-safe.
    pub async fn wait(&self) {
        // The kernel tells of a hang-up whatever one waits for; that there is room to write is no news.
        while let Ok(mut guard) = self.0.ready(Interest::WRITABLE).await {
            if guard.ready().is_write_closed() {
                return;
            }
            guard.clear_ready();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn what_comes_is_noticed_each_time() {
        let (mut source, mut sink) = io::pipe().expect("pipe");
        let readiness = Readiness::of(&source).expect("registered");
        for _ in 0..2 {
            sink.write_all(b"x").expect("write");
            readiness.wait().await;
            source.read_exact(&mut [0]).expect("read");
        }
        let nothing = tokio::time::timeout(Duration::from_millis(20), readiness.wait()).await;
        assert!(nothing.is_err());
    }

    #[tokio::test]
    async fn a_peer_that_is_gone_differs_from_one_that_listens() {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().expect("pair");
        ours.set_nonblocking(true).expect("nonblocking");
        let hangup = Hangup::of(&ours).expect("registered");
        theirs.shutdown(std::net::Shutdown::Write).expect("shutdown");
        let listens = tokio::time::timeout(Duration::from_millis(20), hangup.wait()).await;
        assert!(listens.is_err());
        drop(theirs);
        hangup.wait().await;
    }
}
