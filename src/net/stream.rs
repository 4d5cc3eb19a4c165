//! A connection over TCP or a unix-domain socket, in clear or secure, as one type.

use std::io;
use std::os::fd::AsRawFd as _;
use std::pin::Pin;
use std::task::{Context, Poll};

use nix::sys::socket::{MsgFlags, recv};
use rustls::ProtocolVersion;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsStream;

use crate::net::address::Endpoint;
use crate::os::peer::{self, Peer};
use crate::os::readiness::Hangup;

/// A connected stream socket.
#[derive(Debug)]
pub enum Stream {
    /// TCP, with `TCP_NODELAY` set: every write of ours is a complete group of commands or replies.
    Tcp(TcpStream),
    /// A unix-domain stream.
    Unix(UnixStream),
    /// Either of them, encrypted. Made by [`crate::tls`].
    Tls(Box<TlsStream<Stream>>),
}

impl Stream {
    /// Our own end, for the address literal in EHLO.
    #[must_use]
    pub fn local(&self) -> Option<Endpoint> {
        match self {
            Self::Tcp(stream) => stream.local_addr().ok().map(Endpoint::from),
            Self::Unix(_) => None,
            Self::Tls(stream) => stream.get_ref().0.local(),
        }
    }

    /// True if it is encrypted.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// What a login can be bound to (RFC 9266): only with TLS 1.3, where it needs no further conditions.
    #[must_use]
    pub fn exporter(&self) -> Option<Vec<u8>> {
        const LABEL: &[u8] = b"EXPORTER-Channel-Binding";
        let Self::Tls(stream) = self else { return None };
        let value = match &**stream {
            TlsStream::Client(stream) => {
                let connection = stream.get_ref().1;
                (connection.protocol_version() == Some(ProtocolVersion::TLSv1_3))
                    .then(|| connection.export_keying_material([0; 32], LABEL, Some(&[])))
            }
            TlsStream::Server(stream) => {
                let connection = stream.get_ref().1;
                (connection.protocol_version() == Some(ProtocolVersion::TLSv1_3))
                    .then(|| connection.export_keying_material([0; 32], LABEL, Some(&[])))
            }
        };
        value?.ok().map(|bytes| bytes.to_vec())
    }

    /// Waits for bytes and shows at most `count` of them to `look` without taking them; none is the end of the stream. Only
    /// in clear.
    ///
    /// # Errors
    /// The error of the read; a secure stream has none that could be left in place.
    pub async fn peek<T>(&self, count: usize, look: impl Fn(&[u8]) -> T) -> io::Result<T> {
        // The buffer lives only for as long as the look takes.
        let peek = |fd| {
            let mut buffer = vec![0; count];
            let read = recv(fd, &mut buffer, MsgFlags::MSG_PEEK)?;
            Ok(look(buffer.get(..read).unwrap_or_default()))
        };
        match self {
            Self::Tcp(stream) => stream.async_io(Interest::READABLE, || peek(stream.as_raw_fd())).await,
            Self::Unix(stream) => stream.async_io(Interest::READABLE, || peek(stream.as_raw_fd())).await,
            Self::Tls(_) => Err(io::ErrorKind::Unsupported.into()),
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
            Self::Tls(stream) => stream.get_ref().0.unix_peer(),
        }
    }

    /// Tells when the peer has gone altogether; none if the system cannot watch for it.
    #[must_use]
    pub fn hangup(&self) -> Option<Hangup> {
        match self {
            Self::Tcp(stream) => Hangup::of(stream).ok(),
            Self::Unix(stream) => Hangup::of(stream).ok(),
            Self::Tls(stream) => stream.get_ref().0.hangup(),
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
            Self::Tls(stream) => stream.get_ref().0.reset_on_close(),
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
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
