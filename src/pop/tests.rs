//! The session against the transcripts in `tests/transcripts/pop`, and its properties.

mod driver;
mod properties;
mod transcript;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::*;

#[test]
fn transcripts() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts/pop");
    let mut files: Vec<_> = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == "txt"));
    files.sort();
    assert!(files.len() >= 10, "transcripts are missing from {}", directory.display());
    let failures: Vec<String> = files
        .iter()
        .flat_map(|path| transcript::run(path).err().map(|e| format!("{}:{e}", path.display())))
        .collect();
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

#[test]
fn an_idle_session_is_small() {
    assert!(size_of::<Session>() <= 400, "{}", size_of::<Session>());
}

#[test]
fn an_answer_of_the_wrong_kind_ends_the_session() {
    let now = Instant::now();
    let offer = Offer::new(vec![crate::sasl::Mechanism::Plain]);
    let start = Start { offers: Offers { clear: offer, ..Offers::default() }, ..Start::default() };
    let mut session = Session::new(Arc::default(), start, now);
    session.input(b"USER a\r\nPASS b\r\n", now);
    session.answer(Answer::Deleted, now);
    let outputs: Vec<_> = std::iter::from_fn(|| session.next()).collect();
    assert!(matches!(outputs.last(), Some(Output::Close(_))), "{outputs:?}");
    session.answer(Answer::Deleted, now + Duration::from_secs(1));
    assert!(session.next().is_none());
}
