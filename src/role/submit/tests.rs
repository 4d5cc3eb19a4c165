//! Composing and storing, against a store in memory.

use std::cell::{Cell, RefCell};
use std::io::Cursor;

use super::compose::Envelope;
use super::store::{Draft, StoreFault};
use super::*;

/// A spool in memory, which may fail at a given point.
#[derive(Default)]
struct Memory {
    created: Cell<usize>,
    stored: RefCell<Vec<(String, Vec<u8>, Envelope)>>,
    asked_to_forward: Cell<bool>,
    fail: Option<Step>,
}

#[derive(Clone, Copy, PartialEq)]
enum Step {
    Create(usize),
    Append,
    Envelope,
    Commit(usize),
}

struct MemoryDraft {
    name: String,
    content: Vec<u8>,
    envelope: Option<Envelope>,
    fail: Option<Step>,
}

impl Memory {
    fn step(fail: Option<Step>, step: Step) -> Result<(), StoreFault> {
        if fail == Some(step) { Err(StoreFault::Temporary("full".to_owned())) } else { Ok(()) }
    }
}

impl Store for Memory {
    type Draft = MemoryDraft;

    fn create(&self, _: &Envelope) -> Result<MemoryDraft, StoreFault> {
        let number = self.created.get() + 1;
        self.created.set(number);
        Self::step(self.fail, Step::Create(number))?;
        Ok(MemoryDraft {
            name: format!("m.{number}.content"),
            content: Vec::new(),
            envelope: None,
            fail: self.fail,
        })
    }

    fn commit(&self, drafts: Vec<MemoryDraft>, stored: &mut dyn FnMut(&str)) -> Result<(), StoreFault> {
        let mut result = Ok(());
        for (index, draft) in drafts.into_iter().enumerate() {
            match Self::step(self.fail, Step::Commit(index + 1)) {
                Ok(()) => {
                    stored(&draft.name);
                    self.stored.borrow_mut().push((
                        draft.name,
                        draft.content,
                        draft.envelope.expect("envelope"),
                    ));
                }
                Err(error) => result = Err(error),
            }
        }
        result
    }

    fn request_forward(&self) {
        self.asked_to_forward.set(true);
    }
}

impl Draft for MemoryDraft {
    fn append(&mut self, bytes: &[u8]) -> Result<(), StoreFault> {
        self.content.extend_from_slice(bytes);
        Memory::step(self.fail, Step::Append)
    }

    fn write_envelope(&mut self, envelope: &Envelope) -> Result<(), StoreFault> {
        self.envelope = Some(envelope.clone());
        Memory::step(self.fail, Step::Envelope)
    }
}

fn submit_to(store: &Memory, arguments: &[&str], input: &str) -> Result<Vec<String>, Fault> {
    let options = match options::parse(arguments.iter().map(OsString::from), Path::new("/")).unwrap() {
        Request::Submit(options) => *options,
        other => panic!("{other:?}"),
    };
    let stamp = Stamp { now: jiff::Zoned::now(), process: 1 };
    let input = Input::new(Cursor::new(input.as_bytes().to_vec()), false);
    let mut names = Vec::new();
    let trace = Trace { program: PROGRAM, level: 0 };
    run(&options, Some(input), store, &stamp, &trace, |name| names.push(stored_line(&options, name)))?;
    Ok(names)
}

const SPLIT: &str = "To: a@x\nBcc: b@x, c@x\n\nbody\n";

#[test]
fn content_is_header_empty_line_and_body() {
    let store = Memory::default();
    let names = submit_to(&store, &["-vs", "/spool", "t@x"], "A: b\n\nx").unwrap();
    assert_eq!(names, ["/spool/m.1.content\n"]);
    assert_eq!(store.stored.borrow()[0].1, b"A: b\r\n\r\nx\r\n");
    assert!(store.asked_to_forward.get());
}

#[test]
fn empty_input_is_one_empty_line() {
    let store = Memory::default();
    submit_to(&store, &["t@x"], "").unwrap();
    assert_eq!(store.stored.borrow()[0].1, b"\r\n");
}

#[test]
fn every_split_message_gets_the_body() {
    let store = Memory::default();
    let names = submit_to(&store, &["-bn"], SPLIT).unwrap();
    assert_eq!(names, ["m.1.content\n", "m.2.content\n", "m.3.content\n"]);
    let stored = store.stored.borrow();
    let contents: Vec<&str> =
        stored.iter().map(|(_, content, _)| std::str::from_utf8(content).unwrap()).collect();
    assert_eq!(
        contents,
        [
            "To: a@x\r\n\r\nbody\r\n",
            "To: a@x\r\nbcc: b@x\r\n\r\nbody\r\n",
            "To: a@x\r\nbcc: c@x\r\n\r\nbody\r\n"
        ]
    );
}

#[test]
fn a_failure_before_the_commit_stores_nothing() {
    for fail in [Step::Create(1), Step::Create(3), Step::Append, Step::Envelope] {
        let store = Memory { fail: Some(fail), ..Memory::default() };
        let fault = submit_to(&store, &["-b"], SPLIT).unwrap_err();
        assert_eq!(fault.exit_code(), fault::TEMPORARY);
        assert!(store.stored.borrow().is_empty() && !store.asked_to_forward.get());
    }
}

#[test]
fn a_failed_commit_is_temporary_and_the_others_are_forwarded() {
    let store = Memory { fail: Some(Step::Commit(2)), ..Memory::default() };
    assert_eq!(submit_to(&store, &["-b"], SPLIT).unwrap_err().exit_code(), fault::TEMPORARY);
    assert_eq!(store.stored.borrow().len(), 2);
    assert!(store.asked_to_forward.get());
}

#[test]
fn the_size_limit_counts_the_stored_bytes() {
    // "A: b\r\n\r\nx\r\n" is 11 bytes.
    assert!(submit_to(&Memory::default(), &["--size=11", "t@x"], "A: b\n\nx").is_ok());
    for size in ["--size=10", "--size=5"] {
        let store = Memory::default();
        let fault = submit_to(&store, &[size, "t@x"], "A: b\n\nx").unwrap_err();
        assert_eq!(fault.exit_code(), fault::DATA);
        assert!(store.stored.borrow().is_empty());
    }
}

#[test]
fn errors_in_the_message_come_before_files() {
    let store = Memory::default();
    for (arguments, input) in [(&[] as &[_], "Subject: s\n\n"), (&[], "To: <<\n"), (&["-f", "@", "t@x"], "")]
    {
        assert_eq!(submit_to(&store, arguments, input).unwrap_err().exit_code(), fault::DATA);
    }
    assert_eq!(store.created.get(), 0);
}
