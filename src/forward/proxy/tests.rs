//! Who has a message when its client has gone.

use std::sync::atomic::{AtomicUsize, Ordering};

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::Notify;

use super::*;
use crate::config::address::Remote;
use crate::forward::Scope;
use crate::spool::tests::spool_that_may_keep_its_files;
use crate::spool::{Committed, Envelope, SpoolConfig};

/// A spool, a next hop that says to MAIL what it was told, and everything in between.
struct Bench {
    directory: TempDir,
    spool: Arc<Spool>,
    proxy: Arc<Proxy>,
    cut: CancellationToken,
    left: Arc<AtomicUsize>,
    /// The next hop has MAIL in hand.
    asked: Arc<Notify>,
    /// Lets it answer.
    answers: Arc<Notify>,
}

impl Bench {
    async fn new(mail: &'static str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let spool = Spool::open(directory.path(), SpoolConfig::default()).unwrap();
        Self::with(directory, spool, mail).await
    }

    async fn with(directory: TempDir, spool: Arc<Spool>, mail: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let next_hop = Remote::Ip(listener.local_addr().unwrap());
        let (asked, answers) = (Arc::<Notify>::default(), Arc::<Notify>::default());
        tokio::spawn(hop(listener, mail, Arc::clone(&asked), Arc::clone(&answers)));
        let (left, cut) = (Arc::<AtomicUsize>::default(), CancellationToken::new());
        let count = Arc::clone(&left);
        let proxy = Proxy::new(
            Arc::clone(&spool),
            ProxyConfig { engine: engine(next_hop), refused: Refused::Removed },
            TaskTracker::new(),
            CancellationToken::new(),
            cut.clone(),
            Box::new(move || {
                count.fetch_add(1, Ordering::Relaxed);
            }),
        );
        Self { directory, spool, proxy, cut, left, asked, answers }
    }

    fn message(&self) -> LockedMessage {
        let mut message = self.spool.create(&self.spool.next_id()).unwrap();
        message.append(b"Subject: x\r\n\r\n").unwrap();
        let remote = vec!["b@example.net".to_owned()];
        message.write_envelope(&Envelope { remote, ..Envelope::default() }).unwrap();
        let (done, outcome) = std::sync::mpsc::channel();
        message.commit_locked(move |outcome| done.send(outcome).unwrap());
        match outcome.recv().unwrap().unwrap() {
            Committed::Locked(message) => *message,
            Committed::Queued(id) => panic!("{id} is not ours"),
        }
    }

    /// Sends a message with a client that does this while the next hop thinks; what is left of the message.
    async fn send(&self, meanwhile: impl FnOnce(&Seat)) -> (Answer, Vec<String>) {
        let (mut line, seat) = (Line::new(&self.proxy), Arc::<Seat>::default());
        let answer = line.send(self.message(), Arc::clone(&seat));
        let client = async {
            self.asked.notified().await;
            meanwhile(&seat);
            self.answers.notify_one();
        };
        let (answer, ()) = tokio::join!(answer, client);
        (answer, self.envelopes())
    }

    /// States of the envelopes.
    fn envelopes(&self) -> Vec<String> {
        let names = std::fs::read_dir(self.directory.path()).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter_map(|name| name.split_once(".envelope").map(|(_, state)| state.to_owned())).collect()
    }

    fn left(&self) -> usize {
        self.left.load(Ordering::Relaxed)
    }
}

async fn hop(listener: TcpListener, mail: &'static str, asked: Arc<Notify>, answers: Arc<Notify>) {
    let (stream, _) = listener.accept().await.unwrap();
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 hop\r\n").await.unwrap();
    let mut line = String::new();
    while stream.read_line(&mut line).await.is_ok_and(|read| read > 0) {
        let reply = match line.get(..4).unwrap_or_default() {
            "MAIL" => {
                asked.notify_one();
                answers.notified().await;
                mail
            }
            "DATA" => "354 go on\r\n",
            _ => "250 ok\r\n",
        };
        // Content has no replies.
        if line.starts_with(|c: char| c.is_ascii_uppercase()) && !line.starts_with("Subject")
            || line == ".\r\n"
        {
            stream.write_all(reply.as_bytes()).await.unwrap();
        }
        line.clear();
    }
}

fn engine(next_hop: Remote) -> EngineConfig {
    EngineConfig {
        next_hop,
        per_destination: 1,
        total: 1,
        scope: Scope::Everything,
        ..EngineConfig::example()
    }
}

#[tokio::test]
async fn a_client_that_hears_of_the_refusal_has_its_message_back() {
    let bench = Bench::new("451 4.3.0 later\r\n").await;
    let (answer, left) = bench.send(|_| {}).await;
    assert_eq!(answer, Answer::refused(451, "4.3.0 later"));
    assert_eq!((left, bench.left()), (vec![], 0));
}

#[tokio::test]
async fn a_message_that_cannot_be_given_back_is_taken() {
    let directory = tempfile::tempdir().unwrap();
    let (spool, break_removal) = spool_that_may_keep_its_files(directory.path());
    let bench = Bench::with(directory, spool, "451 4.3.0 later\r\n").await;
    let (answer, left) = bench.send(|_| break_removal()).await;
    assert_eq!(answer, Answer::Accepted, "it will be recovered and sent");
    assert_eq!((left, bench.left()), (vec![".busy".to_owned()], 1));
}

#[tokio::test]
async fn a_refusal_for_now_that_nobody_hears_is_ours_to_try_again() {
    let bench = Bench::new("451 4.3.0 later\r\n").await;
    let (_, left) = bench.send(Seat::set_gone).await;
    assert_eq!((left, bench.left()), (vec![String::new()], 1));
}

#[tokio::test]
async fn a_refusal_for_good_that_nobody_hears_is_set_aside() {
    let bench = Bench::new("550 5.7.1 no\r\n").await;
    let (_, left) = bench.send(Seat::set_gone).await;
    assert_eq!((left, bench.left()), (vec![".bad".to_owned()], 0));
}

#[tokio::test]
async fn a_message_that_is_taken_is_taken_whoever_hears_it() {
    let bench = Bench::new("250 ok\r\n").await;
    let (answer, left) = bench.send(Seat::set_gone).await;
    assert_eq!(answer, Answer::Accepted);
    assert_eq!((left, bench.left()), (vec![], 0));
}

#[tokio::test]
async fn a_transfer_that_is_cut_off_leaves_the_message_to_others() {
    let bench = Bench::new("250 ok\r\n").await;
    let (_, left) = bench.send(|_| bench.cut.cancel()).await;
    assert_eq!((left, bench.left()), (vec![String::new()], 1));
}

#[tokio::test]
async fn a_session_that_ends_aborts_nothing() {
    let bench = Bench::new("451 4.3.0 later\r\n").await;
    let mut line = Line::new(&bench.proxy);
    tokio::select! {
        biased;
        _ = line.send(bench.message(), Arc::default()) => panic!("the next hop has not answered"),
        () = bench.asked.notified() => {}
    }
    drop(line);
    bench.answers.notify_one();
    bench.proxy.tasks.close();
    bench.proxy.tasks.wait().await;
    assert_eq!((bench.envelopes(), bench.left()), (vec![String::new()], 1));
}
