//! Filters of our own, on a real spool directory: what they leave before and after the chain has been passed.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::config::built_in::{CopyWords, MsgidWords, SplitWords};
use crate::program::Limits;
use crate::spool::{DeliveryDir, Envelope, NewMessage, Spool, SpoolConfig};

const CONTENT: &[u8] = b"Subject: x\r\n\r\nhello\r\n";

struct Bench {
    dir: TempDir,
    spool: Arc<Spool>,
    tools: Tools,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["spool", "in"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let spool = Spool::open(&dir.path().join("spool"), SpoolConfig::default()).unwrap();
        let limits = Limits { running: 1, wait: Duration::from_secs(1) };
        let tools = Tools {
            spool: Arc::clone(&spool),
            runner: Arc::new(Runner::new(limits)),
            timeout: None,
            delivery: Arc::new(DeliveryDir::open(&dir.path().join("in")).unwrap()),
            domain: "relay.test".to_owned(),
            abandon_warning: false,
            alternatives: Arc::default(),
        };
        Self { dir, spool, tools }
    }

    fn names(&self, folder: &str) -> Vec<String> {
        names(&self.dir.path().join(folder))
    }

    fn message(&self, local: &[&str], remote: &[&str]) -> NewMessage {
        let owned = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect();
        let mut message = self.spool.create(&self.spool.next_id()).unwrap();
        message.append(CONTENT).unwrap();
        let envelope = Envelope {
            sender: "a@example.com".to_owned(),
            local: owned(local),
            remote: owned(remote),
            ..Envelope::default()
        };
        message.write_envelope(&envelope).unwrap();
        message
    }

    async fn run(&self, spec: &FilterSpec, message: &NewMessage) -> Outcome {
        let job = Job {
            position: Position::Server,
            id: message.id().clone(),
            content: message.content_path(),
            envelope: message.envelope_path(),
            facts: Facts::default(),
            context: Context::default(),
            stop: CancellationToken::new(),
        };
        build(spec, &self.tools).unwrap().run(&job).await
    }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn apply(outcome: Outcome) -> Undo {
    let (undo, done) = apply_all(outcome.prepared);
    done.unwrap();
    undo
}

fn envelope(path: PathBuf) -> Envelope {
    Envelope::parse(&fs::read(path).unwrap()).unwrap()
}

#[tokio::test]
async fn copies_become_visible_only_when_they_are_applied() {
    let bench = Bench::new();
    fs::create_dir(bench.dir.path().join("spool/box")).unwrap();
    for (words, left) in [
        (CopyWords::default(), 0),
        (CopyWords { pop: true, ..CopyWords::default() }, 1),
        (CopyWords { nodelete: true, hardlink: true, ..CopyWords::default() }, 2),
    ] {
        let message = bench.message(&[], &["b@net"]);
        let id = message.id().to_string();
        let outcome = bench.run(&FilterSpec::Copy(words), &message).await;
        assert_eq!(outcome.verdict, if words.nodelete { Verdict::Ok } else { Verdict::Abandon });
        assert!(!bench.names("spool/box").contains(&format!("{id}.envelope")));
        drop(outcome);
        assert!(bench.names("spool/box").is_empty(), "what is not applied is undone");
        drop(apply(bench.run(&FilterSpec::Copy(words), &message).await));
        assert!(bench.names("spool/box").contains(&format!("{id}.envelope")));
        assert_eq!(
            bench.names("spool").iter().filter(|name| name.starts_with(&id)).count(),
            left,
            "{words:?}"
        );
        message.discard();
        for folder in ["spool/box", "spool"] {
            let stale = bench.names(folder).into_iter().filter(|name| name.starts_with(&id));
            stale.for_each(|name| fs::remove_file(bench.dir.path().join(folder).join(name)).unwrap());
        }
    }
}

#[tokio::test]
async fn without_mailboxes_copy_does_nothing() {
    let bench = Bench::new();
    let message = bench.message(&[], &["b@net"]);
    let outcome = bench.run(&FilterSpec::Copy(CopyWords::default()), &message).await;
    assert!(outcome.verdict == Verdict::Ok && outcome.prepared.is_empty());
}

#[tokio::test]
async fn delivery_keeps_the_message_for_remote_recipients_only() {
    let bench = Bench::new();
    let deliver = FilterSpec::Deliver(CopyWords::default());
    let message = bench.message(&["ann", "bob"], &["b@net"]);
    let outcome = bench.run(&deliver, &message).await;
    assert_eq!(outcome.verdict, Verdict::Ok);
    let _ = apply(outcome);
    assert_eq!(bench.names("in"), ["ann", "bob"]);
    let kept = envelope(message.envelope_path());
    assert_eq!(
        kept.trailer,
        [b"X-MailRelay-Delivered: ann".to_vec(), b"X-MailRelay-Delivered: bob".to_vec()]
    );
    let message = bench.message(&["ann"], &[]);
    let outcome = bench.run(&deliver, &message).await;
    assert_eq!(outcome.verdict, Verdict::Abandon);
    let _ = apply(outcome);
    assert_eq!(bench.names("in/ann").len(), 4);
    assert!(!message.envelope_path().exists() && !message.content_path().exists());
    let message = bench.message(&[], &["b@net"]);
    let outcome = bench.run(&deliver, &message).await;
    assert!(outcome.verdict == Verdict::Ok && outcome.prepared.is_empty());
}

#[tokio::test]
async fn a_mailbox_that_cannot_be_refuses_the_message_for_now() {
    let bench = Bench::new();
    fs::write(bench.dir.path().join("in/bob"), "").unwrap();
    let message = bench.message(&["ann", "bob"], &[]);
    let outcome = bench.run(&FilterSpec::Deliver(CopyWords::default()), &message).await;
    let Verdict::Fail(failure) = outcome.verdict else { panic!("delivered") };
    assert_eq!((failure.response.as_str(), failure.code, failure.is_fault), ("failed", None, true));
    let path = bench.dir.path().join("in/bob");
    let expected = format!("delivery: cannot create delivery directory: {}: not a directory", path.display());
    assert_eq!(failure.reason, expected);
    assert!(bench.names("in/ann").is_empty());
}

#[tokio::test]
async fn parts_of_a_split_message_appear_together() {
    let bench = Bench::new();
    let message = bench.message(&["ann"], &["x@b.net", "y@A.net", "z@b.net"]);
    let split = FilterSpec::Split(SplitWords { raw: false, port: Some(26) });
    drop(bench.run(&split, &message).await);
    assert_eq!(bench.names("spool").len(), 2, "what is not applied is undone");
    let outcome = bench.run(&split, &message).await;
    assert_eq!(outcome.verdict, Verdict::Ok);
    let _ = apply(outcome);
    let original = envelope(message.envelope_path());
    assert_eq!(
        (&original.remote[..], &original.local[..]),
        (&["y@A.net".to_owned()][..], &["ann".to_owned()][..])
    );
    assert_eq!(original.forward_to, "A.net:26");
    let ready: Vec<_> = bench.names("spool").into_iter().filter(|name| name.ends_with("envelope")).collect();
    let part = envelope(bench.spool.path().join(&ready[0]));
    assert_eq!((part.remote.len(), part.local.len(), part.forward_to.as_str()), (2, 0, "b.net:26"));
    assert_eq!(part.trailer.len(), 3);
    let content = ready[0].replace("envelope", "content");
    assert_eq!(fs::read(bench.spool.path().join(content)).unwrap(), CONTENT);
}

#[tokio::test]
async fn what_is_applied_for_a_message_that_is_not_stored_is_taken_back() {
    let bench = Bench::new();
    fs::create_dir(bench.dir.path().join("spool/box")).unwrap();
    let copies = FilterSpec::Copy(CopyWords { nodelete: true, ..CopyWords::default() });
    for (spec, made) in [(copies, 2), (FilterSpec::Split(SplitWords::default()), 2)] {
        let message = bench.message(&[], &["b@net", "c@org"]);
        let before = (bench.names("spool"), bench.names("spool/box"));
        let undo = apply(bench.run(&spec, &message).await);
        let after = bench.names("spool").len() + bench.names("spool/box").len();
        assert_eq!(after, before.0.len() + before.1.len() + made, "{spec:?}");
        undo.run();
        assert_eq!((bench.names("spool"), bench.names("spool/box")), before, "{spec:?}");
        message.discard();
    }
}

#[tokio::test]
async fn one_domain_is_routed_and_not_split() {
    let bench = Bench::new();
    let message = bench.message(&[], &["x@b.net", "z@b.net"]);
    let _ = apply(bench.run(&FilterSpec::Split(SplitWords::default()), &message).await);
    let original = envelope(message.envelope_path());
    assert_eq!((original.forward_to.as_str(), original.trailer.len()), ("b.net", 0));
}

#[tokio::test]
async fn a_message_gets_the_fields_that_it_lacks_once() {
    let bench = Bench::new();
    let message = bench.message(&[], &["x@b.net"]);
    let msgid = FilterSpec::Msgid(MsgidWords { date: true, from: true });
    for _ in 0..2 {
        assert_eq!(bench.run(&msgid, &message).await.verdict, Verdict::Ok);
        let content = fs::read_to_string(message.content_path()).unwrap();
        let lines: Vec<&str> = content.split("\r\n").collect();
        assert!(lines[0].starts_with("Message-ID: <") && lines[0].ends_with("@relay.test>"), "{content}");
        assert!(lines[1].starts_with("Date: "), "{content}");
        assert_eq!(lines[2..], ["From: <a@example.com>", "Subject: x", "", "hello", ""]);
    }
}
