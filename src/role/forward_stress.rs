//! The engine under the triggers of a long-lived process: messages that come while runs go on, and next hops that fail.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc as std_mpsc};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::forward::{REQUESTS, Triggers, serve};
use crate::config::address::Remote;
use crate::forward::backoff::Schedule;
use crate::forward::{Engine, EngineConfig, Reason};
use crate::smtp::client::ClientConfig;
use crate::spool::{Durability, Envelope, Spool, SpoolConfig};

/// What the hop has got: by subject, how often it said 250 and how often it left the sender in doubt.
pub(super) type Got = Arc<Mutex<HashMap<String, (u32, u32)>>>;

/// A next hop of changing temper.
pub(super) struct Hop {
    pub(super) address: SocketAddr,
    pub(super) got: Got,
    flapping: Arc<AtomicBool>,
}

impl Hop {
    pub(super) async fn start(flapping: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (got, flapping) = (Got::default(), Arc::new(AtomicBool::new(flapping)));
        let (for_task, temper) = (Arc::clone(&got), Arc::clone(&flapping));
        tokio::spawn(async move {
            let dice = Arc::new(AtomicU64::new(7));
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(converse(stream, Arc::clone(&for_task), Arc::clone(&temper), Arc::clone(&dice)));
            }
        });
        Self { address, got, flapping }
    }
}

/// One of `sides` by turns that only the seed decides.
fn roll(dice: &AtomicU64, sides: u64) -> u64 {
    let step = |seed: u64| {
        Some(seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407))
    };
    let seed = dice.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step).unwrap();
    (seed >> 33) % sides
}

/// Any end of the connection ends the conversation, so errors are `None`.
async fn converse(
    stream: TcpStream,
    got: Got,
    flapping: Arc<AtomicBool>,
    dice: Arc<AtomicU64>,
) -> Option<()> {
    // Replies to a group go out one by one.
    stream.set_nodelay(true).ok()?;
    let mut stream = BufReader::new(stream);
    let fails = |sides| flapping.load(Ordering::Relaxed) && roll(&dice, sides) == 0;
    if fails(4) {
        return None;
    }
    let greeting: &[u8] = if fails(6) { b"421 busy\r\n" } else { b"220 hop\r\n" };
    stream.write_all(greeting).await.ok()?;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 || fails(60) {
            return None;
        }
        let reply: &[u8] = match line.get(..4)? {
            "EHLO" => b"250-hop\r\n250 PIPELINING\r\n",
            "DATA" => b"354 go on\r\n",
            "QUIT" => b"221 bye\r\n",
            _ => b"250 ok\r\n",
        };
        stream.write_all(reply).await.ok()?;
        if line.starts_with("DATA") {
            let subject = content(&mut stream).await?;
            let (refused, silent) = (fails(10), fails(20));
            if !refused {
                let mut got = got.lock().unwrap();
                let count = got.entry(subject).or_default();
                if silent { count.1 += 1 } else { count.0 += 1 }
            }
            if silent && !refused {
                return None;
            }
            stream.write_all(if refused { b"451 later\r\n" } else { b"250 got it\r\n" }).await.ok()?;
        }
    }
}

/// The subject of a message that has come to its end.
async fn content(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let mut subject = None;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        if line == ".\r\n" {
            return subject;
        }
        subject = subject.or_else(|| line.strip_prefix("Subject: ").map(|text| text.trim_end().to_owned()));
    }
}

/// A process that forwards when asked.
struct Process {
    spool: Arc<Spool>,
    directory: tempfile::TempDir,
    ask: mpsc::Sender<Reason>,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

impl Process {
    fn start(next_hop: SocketAddr, total: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = SpoolConfig { durability: Durability::None, ..SpoolConfig::default() };
        let spool = Spool::open(directory.path(), config).unwrap();
        let second = Duration::from_secs(1);
        let config = EngineConfig {
            next_hop: Remote::Ip(next_hop),
            client: ClientConfig { ehlo_name: "a.b".to_owned(), ..ClientConfig::default() },
            total,
            schedule: Schedule { first: second, max: second, give_up: 1000 * second },
            keep: 60 * second,
            ..EngineConfig::example()
        };
        let stop = CancellationToken::new();
        let engine = Engine::new(Arc::clone(&spool), config, stop.clone());
        let (ask, requests) = mpsc::channel(REQUESTS);
        let triggers = Triggers { retry: true, on_disconnect: true, ..Triggers::default() };
        let serving = tokio::spawn(serve(engine, triggers, requests, 5 * second));
        Self { spool, directory, ask, stop, serving }
    }

    fn submitter(&self) -> Submitter {
        Submitter { spool: Arc::clone(&self.spool), ask: self.ask.clone() }
    }

    fn files(&self) -> Vec<String> {
        let files = std::fs::read_dir(self.directory.path()).unwrap();
        files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
    }

    async fn empty(&self, limit: Duration) {
        let end = Instant::now() + limit;
        while !self.files().is_empty() {
            assert!(Instant::now() < end, "left after {limit:?}: {:?}", self.files());
            sleep(Duration::from_millis(10)).await;
        }
    }

    async fn end(self) {
        self.stop.cancel();
        timeout(Duration::from_secs(3), self.serving).await.expect("the stop hangs").unwrap();
    }
}

struct Submitter {
    spool: Arc<Spool>,
    ask: mpsc::Sender<Reason>,
}

impl Submitter {
    /// Stores a message and asks for forwarding, as a session does. Blocking.
    fn submit(&self, subject: &str, forward_to_address: &str) {
        store(&self.spool, subject, forward_to_address);
        let _ = self.ask.try_send(Reason::Disconnect);
    }
}

/// Stores a message. Blocking.
pub(super) fn store(spool: &Spool, subject: &str, forward_to_address: &str) {
    let mut message = spool.create(&spool.next_id()).unwrap();
    message.append(format!("Subject: {subject}\r\n\r\n").as_bytes()).unwrap();
    let envelope = Envelope {
        sender: "a@b.c".to_owned(),
        remote: vec!["d@e.f".to_owned()],
        forward_to_address: forward_to_address.to_owned(),
        ..Envelope::default()
    };
    message.write_envelope(&envelope).unwrap();
    let (done, stored) = std_mpsc::channel();
    message.commit(move |result| done.send(result).unwrap());
    stored.recv().unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_message_gets_through_to_hops_that_come_and_go() {
    const EACH: usize = 250;
    let (hop, other) = (Hop::start(true).await, Hop::start(true).await);
    let process = Process::start(hop.address, 5);
    let submitters: Vec<_> = (0..3)
        .map(|number| {
            let (submitter, other) = (process.submitter(), other.address.to_string());
            spawn_blocking(move || {
                for count in 0..EACH {
                    submitter.submit(&format!("{number}.{count}"), if count % 3 == 0 { &other } else { "" });
                    std::thread::sleep(Duration::from_millis(count as u64 % 16));
                }
            })
        })
        .collect();
    for submitter in submitters {
        submitter.await.unwrap();
    }
    hop.flapping.store(false, Ordering::Relaxed);
    other.flapping.store(false, Ordering::Relaxed);
    // Nobody asks any more: what was put off or held back comes back by itself.
    process.empty(Duration::from_secs(20)).await;
    process.end().await;
    let mut got = hop.got.lock().unwrap().clone();
    got.extend(other.got.lock().unwrap().clone());
    assert_eq!(got.len(), 3 * EACH);
    for (subject, (accepted, in_doubt)) in got {
        assert!(accepted + in_doubt > 0 && accepted <= 1, "{subject}: {accepted} times, {in_doubt} in doubt");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn destinations_share_connections_that_are_fewer_than_they_are() {
    const EACH: usize = 60;
    let mut hops = Vec::new();
    for _ in 0..6 {
        hops.push(Hop::start(false).await);
    }
    let process = Process::start(hops[0].address, 2);
    let (submitter, addresses) =
        (process.submitter(), hops.iter().map(|hop| hop.address.to_string()).collect::<Vec<_>>());
    let submitting = spawn_blocking(move || {
        for count in 0..EACH {
            for address in &addresses {
                submitter.submit(&count.to_string(), address);
            }
        }
    });
    submitting.await.unwrap();
    process.empty(Duration::from_secs(60)).await;
    process.end().await;
    for hop in hops {
        let got = hop.got.lock().unwrap().clone();
        assert_eq!(got.len(), EACH);
        assert!(got.values().all(|got| *got == (1, 0)), "{got:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_connection_makes_room_for_another_destination() {
    let hops = [Hop::start(false).await, Hop::start(false).await];
    let process = Process::start(hops[0].address, 1);
    for (number, hop) in hops.iter().cycle().take(6).enumerate() {
        let (submitter, address) = (process.submitter(), hop.address.to_string());
        spawn_blocking(move || submitter.submit(&number.to_string(), &address)).await.unwrap();
        process.empty(Duration::from_secs(5)).await;
    }
    process.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_envelope_that_is_routed_elsewhere_while_it_waits_goes_there_and_only_there() {
    let slow = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (rest, other) = (Hop::start(false).await, Hop::start(false).await);
    let process = Process::start(slow.local_addr().unwrap(), 4);
    let submitter = process.submitter();
    spawn_blocking(move || submitter.submit("x", "")).await.unwrap();
    // The message has been listed for the slow hop, and is not locked before that has greeted.
    let (stream, _) = slow.accept().await.unwrap();
    let envelope = process.files().into_iter().find(|file| file.contains("envelope")).unwrap();
    let path = process.directory.path().join(envelope);
    let field = "ForwardToAddress: ";
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace(field, &format!("{field}{}", other.address))).unwrap();
    tokio::spawn(converse(stream, Arc::clone(&rest.got), Arc::default(), Arc::default()));
    process.empty(Duration::from_secs(5)).await;
    process.end().await;
    assert_eq!(rest.got.lock().unwrap().len(), 0);
    assert_eq!(other.got.lock().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_connection_that_turns_out_to_be_dead_is_made_again_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hop = Hop::start(false).await;
    let process = Process::start(listener.local_addr().unwrap(), 4);
    let got = Arc::clone(&hop.got);
    let tired = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        for reply in ["220 hop\r\n", "250 hop\r\n", "250 ok\r\n", "250 ok\r\n", "354 go on\r\n"] {
            stream.write_all(reply.as_bytes()).await.unwrap();
            stream.read_line(&mut line).await.unwrap();
        }
        // The first line of the content has been read.
        content(&mut stream).await;
        stream.write_all(b"250 got it\r\n").await.unwrap();
        // Not before the next MAIL, when nobody expects it.
        stream.read_line(&mut line).await.unwrap();
        assert!(line.ends_with("MAIL FROM:<a@b.c>\r\n"), "{line}");
        stream.write_all(b"421 idle for too long\r\n").await.unwrap();
        drop(stream);
        let (stream, _) = listener.accept().await.unwrap();
        converse(stream, got, Arc::default(), Arc::default()).await;
    });
    for subject in ["one", "two"] {
        let submitter = process.submitter();
        spawn_blocking(move || submitter.submit(subject, "")).await.unwrap();
        process.empty(Duration::from_secs(5)).await;
    }
    process.end().await;
    tired.await.unwrap();
    assert_eq!(hop.got.lock().unwrap().keys().collect::<Vec<_>>(), ["two"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_at_the_very_end_of_a_run_is_not_lost() {
    let hop = Hop::start(false).await;
    let process = Process::start(hop.address, 4);
    for number in 0..300 {
        let submitter = process.submitter();
        spawn_blocking(move || submitter.submit(&number.to_string(), "")).await.unwrap();
        let end = Instant::now() + Duration::from_secs(5);
        while !process.files().is_empty() {
            assert!(Instant::now() < end, "message {number} waits");
            tokio::task::yield_now().await;
        }
    }
    process.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_does_not_wait_for_a_greeting() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let process = Process::start(silent.local_addr().unwrap(), 4);
    let submitter = process.submitter();
    spawn_blocking(move || submitter.submit("x", "")).await.unwrap();
    let (_connection, _) = silent.accept().await.unwrap();
    let before = process.files();
    let directory = process.directory.path().to_owned();
    assert_eq!(before.len(), 2);
    let spool = Arc::clone(&process.spool);
    process.stop.cancel();
    timeout(Duration::from_secs(3), process.serving).await.expect("the stop hangs").unwrap();
    assert_eq!(spool.counts().unwrap().waiting, 1, "{}", directory.display());
}
