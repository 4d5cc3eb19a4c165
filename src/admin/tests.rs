//! The session against the transcripts in `tests/transcripts/admin`, and its properties.

mod transcript;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use proptest::prelude::*;

use super::event::Scope;
use super::*;

#[test]
fn transcripts() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts/admin");
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
fn events_are_printable_and_chosen() {
    let classic = Notice::classic(&["client", "sent", "a\r\nb", ""]);
    assert_eq!(classic.text(), "client: sent: a\\r\\nb");
    assert!(classic.is_for(Scope::Classic) && classic.is_for(Scope::All));
    let extra = Notice::extra(&["store", "ready", "a"]);
    assert!(!extra.is_for(Scope::Classic) && extra.is_for(Scope::All));
}

#[test]
fn a_list_of_any_length_is_given_out_in_pieces() {
    let mut session = session();
    session.input(b"list\n", Instant::now());
    assert!(matches!(session.next(), Some(Output::Ask(Request::List(State::Ready)))));
    let ids: String = (0..10_000).map(|number| format!("emailrelay.1.2.{number}\0")).collect();
    session.answer(Answer::Block(ids.into()));
    let mut whole = Vec::new();
    while let Some(output) = session.next() {
        let Output::Send(piece) = output else { panic!("{output:?}") };
        assert!(piece.len() < PIECE + 64, "{}", piece.len());
        whole.extend(piece);
        let busy = session.is_busy();
        assert_eq!(busy, !whole.ends_with(b"E-MailRelay> "));
        assert!(!busy || session.input(b"pid\n", Instant::now()) == 0);
    }
    assert_eq!(whole.iter().filter(|byte| **byte == b'\n').count(), 10_000);
}

#[test]
fn a_client_that_is_gone_gets_and_takes_nothing() {
    let mut session = session();
    session.input(b"notify\nflush\nlist\n", Instant::now());
    session.peer_closed(None);
    session.answer(Answer::Done);
    session.flushed(&FlushEnd::default());
    session.notice(&Notice::classic(&["network", "in", "start"]));
    assert_eq!(session.input(b"pid\n", Instant::now()), 0);
    let outputs: Vec<_> = std::iter::from_fn(|| session.next()).collect();
    assert_eq!(outputs.last(), Some(&Output::Close(CloseReason::PeerDisconnected)), "{outputs:?}");
    assert_eq!(session.deadline(), None);
}

fn session() -> Session {
    Session::new(Arc::default(), Right::Full, None, Instant::now())
}

/// Everything that comes out for this input, in pieces of these sizes.
fn dialogue(input: &[u8], sizes: &[usize]) -> String {
    let now = Instant::now();
    let mut session = session();
    let (mut said, mut rest) = (String::new(), input);
    let mut sizes = sizes.iter().cycle();
    while !rest.is_empty() {
        let (mut piece, later) = rest.split_at(rest.len().min(*sizes.next().unwrap()));
        rest = later;
        loop {
            let taken = session.input(piece, now);
            piece = &piece[taken..];
            let mut progress = taken > 0;
            while let Some(output) = session.next() {
                progress = true;
                match output {
                    Output::Ask(request) => {
                        said.push_str(&format!("<{request:?}>"));
                        session.answer(Answer::Lines(vec!["x".to_owned()]));
                    }
                    Output::Send(bytes) => said.push_str(&String::from_utf8(bytes).unwrap()),
                    other => said.push_str(&format!("<{other:?}>")),
                }
            }
            if !progress {
                break;
            }
        }
    }
    said
}

proptest! {
    #[test]
    fn any_split_of_the_input_gives_the_same(
        words in prop::collection::vec(
            prop::sample::select(vec![
                "list", "pid", "\r\n", "\n", "\r", " ", "hold", "x.1", "\u{ff}", "smtp", "disable", "notify", "flush", "\0", "quit",
                "GET / HTTP/1.1", "status",
            ]),
            0..60,
        ),
        sizes in prop::collection::vec(1usize..9, 1..8),
    ) {
        let input = words.concat().into_bytes();
        prop_assert_eq!(dialogue(&input, &sizes), dialogue(&input, &[input.len().max(1)]));
    }

    #[test]
    fn any_bytes_are_answered(input in prop::collection::vec(any::<u8>(), 0..6000)) {
        dialogue(&input, &[4096]);
    }
}
