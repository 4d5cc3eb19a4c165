//! A connection over TCP or a unix-domain socket, as one type.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use crate::net::address::Endpoint;
use crate::os::peer::{self, Peer};

/// A connected stream socket.
#[derive(Debug)]
pub enum Stream {
    /// TCP, with `TCP_NODELAY` set: every write of ours is a complete group of commands or replies.
    Tcp(TcpStream),
    /// A unix-domain stream.
    Unix(UnixStream),
}

impl Stream {
    /// Our own end, for the address literal in EHLO.
    #[must_use]
    pub fn local(&self) -> Option<Endpoint> {
        match self {
            Self::Tcp(stream) => stream.local_addr().ok().map(Endpoint::from),
            Self::Unix(_) => None,
        }
    }

    /// Who is at the other end of a unix-domain socket; none for TCP.
    ///
    /// # Errors
    /// The kernel does not tell.
    pub fn unix_peer(&self) -> io::Result<Option<Peer>> {
        match self {
            Self::Tcp(_) => Ok(None),
            Self::Unix(stream) => peer::of(stream).map(Some),
        }
    }

    /// Makes `close` send a reset instead of lingering (`nolinger`).
    ///
    /// # Errors
    /// The error of `setsockopt`.
    pub fn reset_on_close(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_zero_linger(),
            Self::Unix(_) => Ok(()),
        }
    }
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Self {
        // Failure means the peer is gone already, which the first read reports.
        let _ = stream.set_nodelay(true);
        Self::Tcp(stream)
    }
}

impl From<UnixStream> for Stream {
    fn from(stream: UnixStream) -> Self {
        Self::Unix(stream)
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
