//! The pump over streams in memory.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::*;
use crate::pop::{Block, Maildrop, Offer, Offers, PopConfig, Start, StartTls};
use crate::sasl::Mechanism;

/// Size of the one message, and of its blocks.
const SIZE: usize = 4 << 20;
const BLOCK: usize = 64 * 1024;

struct One;

impl Maildrop for One {
    fn count(&self) -> usize {
        1
    }
    fn total(&self) -> u64 {
        SIZE as u64
    }
    fn size(&self, _index: usize) -> u64 {
        SIZE as u64
    }
    fn unique_name(&self, _index: usize) -> String {
        "one".to_owned()
    }
}

/// Lets everybody in, to a mailbox with one large message.
#[derive(Default)]
struct Everybody {
    read: usize,
}

impl Everybody {
    fn block(&mut self) -> Block {
        self.read += BLOCK;
        let line = [&[b'x'; 62][..], b"\r\n"].concat();
        Block { bytes: line.repeat(BLOCK / line.len()), last: self.read >= SIZE }
    }
}

impl Handler<DuplexStream> for Everybody {
    async fn ask(&mut self, question: Question) -> Answer {
        match question {
            Question::Login(_) => Answer::LoggedIn(Arc::new(One)),
            Question::Open { .. } => {
                self.read = 0;
                Answer::Content { size: SIZE as u64, block: self.block() }
            }
            Question::More => Answer::More(self.block()),
            Question::Delete(_) => Answer::Deleted,
        }
    }

    fn close_content(&mut self) {}

    fn closing(&mut self) {}

    async fn secure(&mut self, stream: DuplexStream) -> Option<(DuplexStream, Channel)> {
        Some((stream, Channel::Secure))
    }

    fn log(&mut self, _event: Event) {}
}

fn serve(window: usize, idle: u64) -> (DuplexStream, JoinHandle<CloseReason>, CancellationToken) {
    let (client, server) = duplex(window);
    let stop = CancellationToken::new();
    let idle_timeout = Some(Duration::from_secs(idle));
    let driver = Driver { write_timeout: idle_timeout, stop: stop.clone(), seat: Arc::default() };
    let offer = Offer::new(vec![Mechanism::Plain]);
    let offers = Offers { clear: offer.clone(), secure: offer, ..Offers::default() };
    let config = PopConfig { idle_timeout, tls: StartTls::Offered, ..PopConfig::default() };
    let task = tokio::spawn(async move {
        let start = Start { offers, ..Start::default() };
        let mut session = Session::new(Arc::new(config), start, now());
        driver.run(server, &mut session, &mut Everybody::default()).await
    });
    (client, task, stop)
}

async fn until_text(client: &mut DuplexStream, text: &str) -> String {
    let mut read = Vec::new();
    while !read.ends_with(text.as_bytes()) {
        let byte = client.read_u8().await.unwrap();
        read.push(byte);
    }
    String::from_utf8(read).unwrap()
}

async fn login(client: &mut DuplexStream) {
    client.write_all(b"USER a\r\nPASS b\r\n").await.unwrap();
    until_text(client, "+OK user: a\r\n+OK\r\n").await;
}

#[tokio::test(start_paused = true)]
async fn commands_behind_a_long_reply_wait_for_it() {
    let (mut client, task, _stop) = serve(4096, 600);
    login(&mut client).await;
    client.write_all(&[&b"RETR 1\r\n".repeat(5)[..], b"QUIT\r\n"].concat()).await.unwrap();
    let mut all = Vec::new();
    client.read_to_end(&mut all).await.unwrap();
    assert!(all.ends_with(b"x\r\n.\r\n+OK signing off\r\n"));
    assert!(all.len() > 5 * SIZE);
    assert_eq!(task.await.unwrap(), CloseReason::Quit);
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_is_not_an_idle_one_and_one_that_reads_nothing_is_gone() {
    let (mut client, task, _stop) = serve(4096, 100);
    login(&mut client).await;
    client.write_all(b"RETR 1\r\n").await.unwrap();
    let mut buffer = [0; 4096];
    for _ in 0..50 {
        sleep(Duration::from_secs(99)).await;
        client.read_exact(&mut buffer).await.unwrap();
    }
    assert!(!task.is_finished());
    sleep(Duration::from_secs(102)).await;
    let CloseReason::PeerDisconnected { error: Some(_) } = task.await.unwrap() else { panic!() };
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_the_reply_and_not_for_what_is_behind_it() {
    let (mut client, task, stop) = serve(4096, 600);
    login(&mut client).await;
    client.write_all(b"RETR 1\r\nRETR 1\r\n").await.unwrap();
    until_text(&mut client, "+OK 4194304 octets\r\n").await;
    stop.cancel();
    let mut all = Vec::new();
    client.read_to_end(&mut all).await.unwrap();
    assert!(all.ends_with(b"x\r\n.\r\n-ERR [SYS/TEMP] server is shutting down\r\n"));
    assert!(all.len() < SIZE + 1000);
    assert_eq!(task.await.unwrap(), CloseReason::Shutdown);
}

#[tokio::test(start_paused = true)]
async fn bytes_behind_stls_end_the_session() {
    let (mut client, task, _stop) = serve(4096, 600);
    client.write_all(b"STLS\r\nUSER a\r\n").await.unwrap();
    let mut all = String::new();
    client.read_to_string(&mut all).await.unwrap();
    assert_eq!(all, "+OK POP3 server ready\r\n+OK\r\n");
    assert_eq!(task.await.unwrap(), CloseReason::PlaintextAfterStls);
    let (mut client, task, _stop) = serve(4096, 600);
    client.write_all(b"STLS\r\n").await.unwrap();
    until_text(&mut client, "+OK\r\n").await;
    client.write_all(b"STLS\r\n").await.unwrap();
    until_text(&mut client, "already using tls\r\n").await;
    drop(client);
    assert_eq!(task.await.unwrap(), CloseReason::PeerDisconnected { error: None });
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_sent_away() {
    let (mut client, task, _stop) = serve(4096, 600);
    let mut all = String::new();
    client.read_to_string(&mut all).await.unwrap();
    assert!(all.ends_with("-ERR [SYS/TEMP] idle timeout\r\n"));
    assert_eq!(task.await.unwrap(), CloseReason::Idle { seconds: 60 });
}
