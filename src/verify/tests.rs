//! What the verifiers' tests share, and the verifier as a whole.

use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

use super::*;
use crate::config::filter::Surroundings;

pub(super) fn query(address: &str) -> Query {
    Query {
        address: address.to_owned(),
        sender: "alice@example.com".to_owned(),
        client: "192.0.2.7:51034".to_owned(),
        domain: "local.net".to_owned(),
        mechanism: "plain".to_owned(),
        identity: "alice".to_owned(),
    }
}

fn checker(spec: &str, limit: u64, parallel: usize) -> Checker {
    Checker::new(verifier(spec, Some(limit), parallel))
}

fn verifier(spec: &str, limit: Option<u64>, parallel: usize) -> Arc<Verifier> {
    let around = Surroundings { app_dir: Path::new("/"), cwd: Path::new("/"), is_file: &|_| false };
    let spec = crate::config::verifier::parse(spec.as_ref(), &around).unwrap();
    Verifier::new(spec, limit.map(Duration::from_secs), parallel).unwrap()
}

async fn ask(checker: &mut Checker, address: &str) -> Verdict {
    checker.verify(&query(address), &Context::default()).await
}

fn remote(address: &str) -> Verdict {
    Verdict::Remote { address: address.to_owned() }
}

/// A server that answers each connection's questions with the next of its scripts, then closes. Gives its address and the
/// questions it gets.
async fn server(
    scripts: &'static [&'static [&'static str]],
) -> (String, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let spec = format!("net:{}", listener.local_addr().unwrap());
    let (questions, asked) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        for script in scripts {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = BufReader::new(stream);
            for reply in *script {
                let mut line = String::new();
                if stream.read_line(&mut line).await.unwrap() == 0 {
                    break;
                }
                let _ = questions.send(line);
                stream.write_all(reply.as_bytes()).await.unwrap();
            }
        }
    });
    (spec, asked)
}

#[tokio::test]
async fn without_a_verifier_everything_is_remote() {
    let mut checker = checker("exit:2", 1, 1);
    assert_eq!(ask(&mut checker, "a@b").await, remote("a@b"));
}

#[tokio::test]
async fn a_connection_is_used_again_until_the_transaction_ends() {
    let (spec, mut asked) = server(&[&["1|x@y\r\n", "1|\n"], &["1|z@y\n"]]).await;
    let mut checker = checker(&spec, 10, 1);
    assert_eq!(ask(&mut checker, "a@b").await, remote("x@y"));
    assert_eq!(ask(&mut checker, "c@d").await, remote("c@d"));
    checker.reset();
    assert_eq!(ask(&mut checker, "e@f").await, remote("z@y"));
    for address in ["a@b", "c@d", "e@f"] {
        let line = asked.recv().await.unwrap();
        assert_eq!(line, format!("{address}|alice@example.com|192.0.2.7:51034|local.net|plain|alice\n"));
    }
}

#[tokio::test]
async fn a_server_may_close_after_each_reply() {
    let (spec, _asked) = server(&[&["1|x@y\n"], &["1|z@y\n"]]).await;
    let mut checker = checker(&spec, 10, 1);
    assert_eq!(ask(&mut checker, "a@b").await, remote("x@y"));
    assert_eq!(ask(&mut checker, "c@d").await, remote("z@y"));
}

#[tokio::test]
async fn what_was_not_asked_for_is_not_the_next_answer() {
    let (spec, _asked) = server(&[&["1|x@y\n0|root|Root\n0|root|Root\n", "2|no|why\n"]]).await;
    let mut checker = checker(&spec, 10, 1);
    assert_eq!(ask(&mut checker, "a@b").await, remote("x@y"));
    assert_eq!(ask(&mut checker, "c@d").await, refused(Rejection::Permanent, "no", "why"));
}

#[tokio::test]
async fn faults_of_a_server_are_temporary() {
    let disconnected = "network verifier peer disconnected";
    let faults: [(&'static [&'static [&'static str]], Rejection, &str); 5] = [
        (&[&[]], Rejection::Temporary, disconnected),
        (&[&["1|half of a rep"]], Rejection::Temporary, disconnected),
        (&[&["nonsense\n"]], Rejection::LocalFault, "invalid response from address verifier"),
        (&[&["\n"]], Rejection::LocalFault, "invalid response from address verifier"),
        (&[&["0|../x|Name\n"]], Rejection::LocalFault, "invalid mailbox name from the verifier"),
    ];
    for (script, rejection, reason) in faults {
        let (spec, _asked) = server(script).await;
        let text = if reason.contains("mailbox") { "error" } else { "cannot verify" };
        assert_eq!(
            ask(&mut checker(&spec, 10, 1), "a@b").await,
            refused(rejection, text, reason),
            "{script:?}"
        );
    }
}

#[tokio::test]
async fn a_server_cannot_fill_the_memory() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let spec = format!("net:{}", listener.local_addr().unwrap());
    let flood = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let chunk = vec![b'x'; 65536];
        // Ends when the other side has had enough.
        while stream.write_all(&chunk).await.is_ok() {}
    });
    let verdict = ask(&mut checker(&spec, 10, 1), "a@b").await;
    assert_eq!(verdict, refused(Rejection::LocalFault, "cannot verify", "response line too long"));
    flood.await.unwrap();
}

#[tokio::test]
async fn nobody_to_connect_to() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let reason = format!("connect failure: cannot connect to {address}");
    let verdict = ask(&mut checker(&format!("net:{address}"), 10, 1), "a@b").await;
    assert_eq!(verdict, refused(Rejection::Temporary, "cannot verify", &reason));
    let verdict = ask(&mut checker("net:/nowhere/verify.s", 10, 1), "a@b").await;
    let reason = "connect failure: cannot connect to /nowhere/verify.s: no such file or directory";
    assert_eq!(verdict, refused(Rejection::Temporary, "cannot verify", reason));
}

#[tokio::test]
async fn an_address_with_a_separator_is_not_sent() {
    let verdict = ask(&mut checker("net:/nowhere", 1, 1), "a|b@c").await;
    assert!(
        matches!(verdict, Verdict::Rejected { rejection: Rejection::Permanent, text, .. } if text == "invalid mailbox")
    );
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let verdict = ask(&mut checker(&format!("net:{address}"), 7, 1), "a@b").await;
    let reason = format!("response timeout: no response after 7s while connected to {address}");
    assert_eq!(verdict, refused(Rejection::Temporary, "cannot verify", &reason));
}

#[tokio::test(start_paused = true)]
async fn a_question_that_gets_no_turn_is_put_off() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let verifier = verifier(&format!("net:{}", listener.local_addr().unwrap()), None, 1);
    let mut first = Checker::new(Arc::clone(&verifier));
    let first = tokio::spawn(async move { ask(&mut first, "a@b").await });
    let _stream = listener.accept().await.unwrap();
    let verdict = ask(&mut Checker::new(verifier), "c@d").await;
    let reason = "too many addresses are being verified";
    assert_eq!(verdict, refused(Rejection::LocalFault, "4.3.2 too busy", reason));
    first.abort();
}
