//! The pump under a paused clock.

use std::future::pending;

use tokio::io::{AsyncReadExt, duplex};
use tokio::sync::broadcast;

use super::*;
use crate::admin::{AdminConfig, MAX_NOTICES, Right};

struct Everything {
    flushing: bool,
}

impl Handler for Everything {
    async fn ask(&mut self, request: Request) -> Answer {
        match request {
            Request::List(_) => Answer::Lines(vec!["x".repeat(100); 20_000]),
            _ => Answer::Done,
        }
    }

    fn flush(&mut self) {
        self.flushing = true;
    }

    async fn flushed(&mut self) -> FlushEnd {
        if std::mem::take(&mut self.flushing) { FlushEnd::default() } else { pending().await }
    }

    fn terminate(&mut self) {}
}

struct Running {
    client: tokio::io::DuplexStream,
    teller: broadcast::Sender<Notice>,
    stop: CancellationToken,
    session: tokio::task::JoinHandle<CloseReason>,
}

fn start(idle: Option<Duration>) -> Running {
    let (client, mut server) = duplex(4096);
    let (teller, notices) = broadcast::channel(MAX_NOTICES);
    let stop = CancellationToken::new();
    let driver = Driver { stop: stop.clone(), seat: Arc::default(), notices, hangup: None };
    let session = tokio::spawn(async move {
        let mut session = Session::new(Arc::new(AdminConfig::default()), Right::Full, idle, now());
        driver.run(&mut server, &mut session, &mut Everything { flushing: false }).await
    });
    Running { client, teller, stop, session }
}

async fn read_until(client: &mut tokio::io::DuplexStream, end: &str) -> String {
    let mut got = Vec::new();
    while !got.ends_with(end.as_bytes()) {
        got.push(client.read_u8().await.unwrap());
    }
    String::from_utf8(got).unwrap()
}

const PROMPT: &str = "E-MailRelay> ";

#[tokio::test(start_paused = true)]
async fn a_reply_that_nobody_reads_ends_the_connection_at_last() {
    let mut running = start(None);
    running.client.write_all(b"list\n").await.unwrap();
    let began = Instant::now();
    assert_eq!(running.session.await.unwrap(), CloseReason::Broken("timed out".to_owned()));
    let more = began.elapsed() - WRITE_TIMEOUT;
    assert!(more < Duration::from_secs(5), "{more:?}");
}

#[tokio::test(start_paused = true)]
async fn commands_behind_a_blocked_reply_wait_and_are_answered() {
    let mut running = start(None);
    running.client.write_all(b"list\npid\nflush\n").await.unwrap();
    let list = read_until(&mut running.client, PROMPT).await;
    assert_eq!(list.len(), 20_000 * 101 + PROMPT.len());
    assert_eq!(read_until(&mut running.client, PROMPT).await, format!("0\n{PROMPT}"));
    assert_eq!(read_until(&mut running.client, PROMPT).await, format!("OK\n{PROMPT}"));
    running.stop.cancel();
    assert_eq!(running.session.await.unwrap(), CloseReason::Shutdown);
}

#[tokio::test(start_paused = true)]
async fn events_above_the_limit_are_counted() {
    let mut running = start(None);
    let event = Notice::classic(&["network", "in", "start"]);
    running.teller.send(event.clone()).unwrap();
    running.client.write_all(b"notify\npid\n").await.unwrap();
    assert_eq!(read_until(&mut running.client, PROMPT).await, format!("0\n{PROMPT}"));
    const SENT: usize = 5000;
    for _ in 0..SENT {
        running.teller.send(event.clone()).unwrap();
    }
    running.client.write_all(b"notify off\n").await.unwrap();
    // The channel keeps a power of two.
    const KEPT: usize = MAX_NOTICES.next_power_of_two();
    let lost = read_until(&mut running.client, "lost: 3976  ").await;
    assert_eq!(lost, "\nEVENT: notify: lost: 3976  ");
    for _ in 0..KEPT {
        let told = read_until(&mut running.client, "  ").await;
        assert_eq!(told, "\nEVENT: network: in: start  ");
    }
    assert_eq!(KEPT + 3976, SENT);
}

#[tokio::test(start_paused = true)]
async fn an_idle_client_is_closed_and_one_that_listens_is_not() {
    let idle = Some(Duration::from_secs(600));
    let silent = start(idle);
    assert_eq!(silent.session.await.unwrap(), CloseReason::Idle);
    let mut listening = start(idle);
    listening.client.write_all(b"notify\n").await.unwrap();
    tokio::time::sleep(Duration::from_secs(7000)).await;
    listening.teller.send(Notice::classic(&["client", "forward", "end"])).unwrap();
    let told = read_until(&mut listening.client, "end  ").await;
    assert_eq!(told, "\nEVENT: client: forward: end  ");
    drop(listening.client);
    assert_eq!(listening.session.await.unwrap(), CloseReason::PeerDisconnected);
}
