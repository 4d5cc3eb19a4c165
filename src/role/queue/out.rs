//! What is printed: lines for people, or one JSON object with a list in it, one element on a line.
//!
//! It is written as it comes, so that a list of any length takes no memory. A reader that goes away ends the output, and
//! changes nothing about the work.

use std::io::{self, BufWriter, Stdout, Write};

use serde::Serialize;

/// Standard output.
pub(super) struct Output {
    out: BufWriter<Stdout>,
    /// The first part of the JSON object, if it is to be one.
    json: Option<&'static str>,
    items: usize,
    gone: bool,
}

impl Output {
    /// Text, or JSON that begins in this way.
    pub(super) fn new(json: bool, opening: &'static str) -> Self {
        let json = json.then_some(opening);
        Self { out: BufWriter::new(io::stdout()), json, items: 0, gone: false }
    }

    /// Nobody reads any more.
    pub(super) fn is_gone(&self) -> bool {
        self.gone
    }

    /// Adds an element, in whichever form is wanted.
    pub(super) fn item(&mut self, item: &impl Serialize, text: impl FnOnce() -> String) {
        let written = match self.json {
            Some(opening) => self.json_item(opening, item),
            None => self.out.write_all(text().as_bytes()),
        };
        self.items += 1;
        self.gone |= written.is_err();
    }

    fn json_item(&mut self, opening: &str, item: &impl Serialize) -> io::Result<()> {
        let before = if self.items == 0 { opening } else { "," };
        writeln!(self.out, "{before}")?;
        serde_json::to_writer(&mut self.out, item).map_err(io::Error::from)
    }

    /// For text only.
    pub(super) fn text(&mut self, text: &str) {
        if self.json.is_none() {
            self.gone |= self.out.write_all(text.as_bytes()).is_err();
        }
    }

    /// Sends what there is so far: something slow comes next.
    pub(super) fn flush(&mut self) {
        self.gone |= self.out.flush().is_err();
    }

    /// Ends it.
    pub(super) fn finish(mut self) {
        let end = match self.json {
            Some(opening) if self.items == 0 => writeln!(self.out, "{opening}]}}"),
            Some(_) => writeln!(self.out, "\n]}}"),
            None => Ok(()),
        };
        if end.is_ok() {
            self.flush();
        }
    }
}
