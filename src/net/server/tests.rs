//! The driver over an in-memory stream.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncReadExt, DuplexStream, ReadBuf};
use tokio::sync::Notify;

use super::*;
use crate::net::limits::{Admission, ConnectionLimits};
use crate::smtp::server::Peer;

/// Counts writes.
struct Counted(DuplexStream, usize);

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.1 += 1;
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// Accepts everything; a message as soon as it is told that the disk is done.
#[derive(Default)]
struct Accepts {
    disk: Arc<Notify>,
    storing: Arc<Notify>,
    logged: Vec<String>,
}

impl Handler for Accepts {
    async fn ask(&mut self, question: Question) -> Answer {
        use crate::smtp::server::Verdict;
        match question {
            Question::Screen => Answer::Admitted,
            Question::Begin { .. } => Answer::Begun { received_date: String::new() },
            Question::Verify { recipient: address, .. } | Question::Vrfy { argument: address, .. } => {
                Answer::Verified(Verdict::Remote { address })
            }
            Question::Authenticate(_) => Answer::LoginRefused,
            Question::StartTls => Answer::TlsReady,
            Question::Commit(_) => {
                self.storing.notify_one();
                self.disk.notified().await;
                Answer::Stored
            }
        }
    }

    async fn content(&mut self, _: Vec<u8>) {}

    fn discard(&mut self) {}

    fn log(&mut self, event: Event) {
        self.logged.push(event.to_string());
    }
}

fn session() -> Session {
    Session::new(Arc::default(), Peer { address: "/".to_owned(), ..Peer::default() }, now())
}

fn seat() -> (Admission, Driver) {
    let admission = ConnectionLimits::new(1, 1).admit(None, now()).unwrap();
    let driver = Driver { write_timeout: None, stop: CancellationToken::new(), seat: admission.seat() };
    (admission, driver)
}

const MESSAGE: &[u8] = b"EHLO x\r\nMAIL FROM:<a>\r\nRCPT TO:<b>\r\nRCPT TO:<c>\r\nDATA\r\nhi\r\n.\r\n";

#[tokio::test]
async fn replies_of_a_batch_are_one_write() {
    let (mut client, server) = tokio::io::duplex(64 * 1024);
    client.write_all(MESSAGE).await.unwrap();
    client.write_all(b"QUIT\r\n").await.unwrap();
    let (mut stream, mut handler) = (Counted(server, 0), Accepts::default());
    handler.disk.notify_one();
    let (_admission, driver) = seat();
    let client = async {
        let mut text = String::new();
        client.read_to_string(&mut text).await.unwrap();
        text
    };
    let mut session = session();
    let (reason, text) = tokio::join!(driver.run(&mut stream, &mut session, &mut handler), client);
    assert_eq!(reason, Ended::Closed(CloseReason::Quit));
    assert!(text.ends_with("250 message processed\r\n221 OK\r\n"), "{text}");
    // The greeting, and all the rest.
    assert_eq!(stream.1, 2);
}

#[tokio::test]
async fn replies_do_not_wait_for_the_disk_and_a_lost_client_is_noticed() {
    let (mut client, mut stream) = tokio::io::duplex(64 * 1024);
    let mut handler = Accepts::default();
    let (disk, storing) = (Arc::clone(&handler.disk), Arc::clone(&handler.storing));
    let (_admission, driver) = seat();
    let client = async move {
        client.write_all(MESSAGE).await.unwrap();
        storing.notified().await;
        let mut seen = Vec::new();
        while !seen.ends_with(b"<CRLF>.<CRLF>\r\n") {
            client.read_buf(&mut seen).await.unwrap();
        }
        drop(client);
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
        disk.notify_one();
    };
    let mut session = session();
    let (reason, ()) = tokio::join!(driver.run(&mut stream, &mut session, &mut handler), client);
    assert_eq!(reason, Ended::Closed(CloseReason::PeerDisconnected { error: None }));
    assert_eq!(handler.logged, ["client gone before reply"]);
    assert!(driver.seat.is_gone(), "whoever works for the client can see it");
}

#[tokio::test]
async fn what_lies_behind_a_message_is_read_although_the_peer_has_closed() {
    let (mut client, mut stream) = tokio::io::duplex(64 * 1024);
    let mut handler = Accepts::default();
    let (disk, storing) = (Arc::clone(&handler.disk), Arc::clone(&handler.storing));
    let (_admission, driver) = seat();
    let client = async move {
        client.write_all(MESSAGE).await.unwrap();
        storing.notified().await;
        client.write_all(b"QUIT\r\n").await.unwrap();
        client.shutdown().await.unwrap();
        tokio::task::yield_now().await;
        disk.notify_one();
        let mut text = String::new();
        client.read_to_string(&mut text).await.unwrap();
        text
    };
    let mut session = session();
    let (reason, text) = tokio::join!(driver.run(&mut stream, &mut session, &mut handler), client);
    assert_eq!(reason, Ended::Closed(CloseReason::Quit));
    assert!(text.ends_with("250 message processed\r\n221 OK\r\n"), "{text}");
    assert!(!driver.seat.is_gone(), "it has closed one side only");
}

#[tokio::test(start_paused = true)]
async fn the_longest_idle_session_makes_room() {
    let limits = ConnectionLimits::new(1, 1);
    let admission = limits.admit(None, now()).unwrap();
    let driver = Driver { write_timeout: None, stop: CancellationToken::new(), seat: admission.seat() };
    let (mut client, mut stream) = tokio::io::duplex(64 * 1024);
    let client = async {
        let mut text = vec![0; 3];
        client.read_exact(&mut text).await.unwrap();
        assert!(limits.admit(None, now()).is_err(), "not yet idle");
        tokio::time::advance(crate::net::limits::LEAST_IDLE).await;
        let _next = limits.admit(None, now()).unwrap();
        client.read_to_end(&mut text).await.unwrap();
        String::from_utf8(text).unwrap()
    };
    let (mut session, mut handler) = (session(), Accepts::default());
    let (reason, text) = tokio::join!(driver.run(&mut stream, &mut session, &mut handler), client);
    assert_eq!(reason, Ended::Closed(CloseReason::TooManyConnections));
    assert!(text.ends_with("421 too many connections\r\n"), "{text}");
}

/// What a session with STARTTLS makes of input that comes in these pieces, each as soon as the one before is read.
async fn starttls(pieces: &[&[u8]]) -> (Ended, String) {
    let (ours, mut theirs) = tokio::io::duplex(1 << 16);
    let config = crate::smtp::server::ServerConfig { starttls: true, ..Default::default() };
    let mut session =
        Session::new(Arc::new(config), Peer { address: "/".to_owned(), ..Peer::default() }, now());
    let mut stream = Counted(ours, 0);
    let mut handler = Accepts::default();
    for piece in pieces {
        theirs.write_all(piece).await.unwrap();
    }
    let (_admission, driver) = seat();
    let ended = driver.run(&mut stream, &mut session, &mut handler).await;
    drop(stream);
    let mut text = String::new();
    theirs.read_to_string(&mut text).await.unwrap();
    (ended, text)
}

#[tokio::test(start_paused = true)]
async fn nothing_behind_starttls_is_taken_for_what_comes_after_it() {
    let (ended, text) = starttls(&[b"EHLO x\r\nSTARTTLS\r\n"]).await;
    assert_eq!(ended, Ended::StartTls);
    assert!(text.ends_with("\r\n220 ready to start tls\r\n"), "{text}");
    let far = [b"EHLO x\r\nSTARTTLS\r\n".as_slice(), &[b'x'; 3 * SLICE]].concat();
    for pieces in [
        [&b"EHLO x\r\nSTARTTLS\r\nNOOP\r\n"[..], b""],
        [b"EHLO x\r\nSTARTTLS\r\nN", b""],
        [b"EHLO x\r\nSTARTTLS\r\n\n", b"EHLO y\r\n"],
        [&far, b""],
    ] {
        let (ended, text) = starttls(&pieces).await;
        assert_eq!(ended, Ended::Closed(CloseReason::PlaintextAfterStartTls), "{pieces:?}");
        assert!(!text.contains("noop"), "{text}");
    }
}
