//! Peers that say their lines and take nothing.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::ReadBuf;

use super::*;
use crate::net::server::finish;
use crate::smtp::Body;
use crate::smtp::client::ClientConfig;

/// A secure stream to a peer that says its lines and reads nothing: what is written is taken and never gets out.
#[derive(Debug)]
struct Unread {
    lines: VecDeque<&'static [u8]>,
    /// Writes before the peer stops reading.
    good: usize,
}

impl AsyncRead for Unread {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.lines.pop_front() {
            Some(line) => {
                buffer.put_slice(line);
                Poll::Ready(Ok(()))
            }
            None => Poll::Pending,
        }
    }
}

impl AsyncWrite for Unread {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.good = self.good.saturating_sub(1);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.good > 0 { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

struct Text;

impl Content for Text {
    async fn next(&mut self) -> io::Result<(Vec<u8>, bool)> {
        Ok((b"Subject: test\r\n\r\nbody\r\n".to_vec(), true))
    }
}

/// A connection past EHLO, to a peer that reads `more` writes after it.
async fn connection(more: usize) -> Connection<Unread> {
    let lines: [&[u8]; 5] =
        [b"220 hop\r\n", b"250 hop\r\n", b"250 sender\r\n", b"250 recipient\r\n", b"354 go on\r\n"];
    let stream = Unread { lines: lines.into(), good: 2 + more };
    let mut connection = Connection::new(stream, Session::new(Arc::new(ClientConfig::default()), now()));
    assert_eq!(connection.ready(&mut |_| {}).await.unwrap(), Opened::Ready);
    connection
}

fn message() -> Outgoing {
    Outgoing {
        sender: "a@example.com".to_owned(),
        recipients: vec!["b@example.com".to_owned()],
        body: Body::default(),
        utf8_mailboxes: false,
        size: 24,
        mail_auth_out: String::new(),
    }
}

#[tokio::test(start_paused = true)]
async fn content_that_is_taken_and_does_not_get_out_has_its_time() {
    let mut connection = connection(3).await;
    let began = Instant::now();
    match connection.send(message(), &mut Text, &mut |_| {}).await {
        Err(Broken::Fault(fault)) => {
            assert_eq!(fault.to_string(), "smtp error: response timeout after 1800s");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(began.elapsed(), Duration::from_secs(1800));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_reads_nothing_cannot_prolong_the_end() {
    let connection = connection(0).await;
    let began = Instant::now();
    connection.quit(&mut |_| {}).await;
    assert!(began.elapsed() <= Duration::from_secs(4), "{:?}", began.elapsed());
    let began = Instant::now();
    finish(&mut Unread { lines: VecDeque::new(), good: 0 }).await;
    assert!(began.elapsed() <= Duration::from_secs(2), "{:?}", began.elapsed());
}
