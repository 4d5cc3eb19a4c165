//! The server session against the transcripts in `tests/transcripts/smtp-server`, and its properties.

mod properties;
pub(crate) mod script;
mod transcript;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use super::*;

#[test]
fn transcripts() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts/smtp-server");
    let mut files: Vec<_> = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == "txt"));
    files.sort();
    assert!(files.len() > 10, "transcripts are missing from {}", directory.display());
    let failures: Vec<String> = files
        .iter()
        .flat_map(|path| transcript::run(path).err().map(|e| format!("{}:{e}", path.display())))
        .collect();
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

#[test]
fn an_idle_session_is_small() {
    assert!(size_of::<Session>() <= 512, "{}", size_of::<Session>());
    let mut session = Session::new(
        Arc::default(),
        Peer { address: "127.0.0.1".to_owned(), ..Peer::default() },
        Instant::now(),
    );
    while session.next().is_some() {}
    assert!(!session.is_busy());
}

#[test]
fn an_answer_of_the_wrong_kind_is_temporary_and_ends_the_transaction() {
    let now = Instant::now();
    let mut session =
        Session::new(Arc::default(), Peer { address: "127.0.0.1".to_owned(), ..Peer::default() }, now);
    session.input(b"EHLO x\r\nMAIL FROM:<a>\r\n", now);
    session.answer(Answer::Stored, now);
    session.input(b"MAIL FROM:<a>\r\n", now);
    session.answer(Answer::Begun { received_date: String::new() }, now);
    let outputs: Vec<_> = std::iter::from_fn(|| session.next()).collect();
    let sent: Vec<u8> =
        outputs.iter().flat_map(|o| if let Output::Send(s) = o { s.clone() } else { vec![] }).collect();
    assert!(sent.ends_with(b"452 error\r\n250 sender <a> OK\r\n"));
    assert_eq!(outputs.iter().filter(|o| **o == Output::Discard).count(), 1);
}

#[test]
fn an_answer_after_the_close_is_ignored() {
    let now = Instant::now();
    let mut session = Session::new(Arc::default(), Peer { address: "/".to_owned(), ..Peer::default() }, now);
    session.input(b"EHLO x\r\nMAIL FROM:<a>\r\n", now);
    session.peer_closed(None, now);
    session.answer(Answer::Begun { received_date: String::new() }, now);
    let outputs: Vec<_> = std::iter::from_fn(|| session.next()).collect();
    assert_eq!(outputs.last(), Some(&Output::Close(CloseReason::PeerDisconnected { error: None })));
    assert_eq!(session.deadline(), None);
}
