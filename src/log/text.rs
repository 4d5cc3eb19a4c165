//! The layers that write text lines: stderr or log file, and syslog.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use jiff::Zoned;
use tracing::{Event as Carried, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::carrier::{Line, severity};
use super::event::ProcessEvent;
use super::file::LogFile;
use super::format::line;
use super::kind;
use crate::os::clock;
use crate::os::syslog::Syslog;

/// What the handle of the log tells the layers.
#[derive(Debug, Default)]
pub(super) struct Control {
    /// stderr is still ours.
    pub(super) stderr: AtomicBool,
    /// The log file is to be opened again.
    pub(super) reopen: AtomicBool,
    /// The next line comes at once: this one may be written together with it.
    pub(super) more: AtomicBool,
}

/// How a text line begins.
#[derive(Clone, Debug)]
pub(super) struct Style {
    /// The program's name.
    pub(super) program: String,
    /// Is there a time?
    pub(super) time: bool,
    /// The message of a tracing event has the program's name and level already (see [`super::JournalText`]).
    pub(super) prefixed: bool,
}

impl Style {
    /// The line for a message of a tracing event.
    fn line(&self, now: Option<&Zoned>, word: &str, message: &str) -> String {
        let message = match self.prefixed {
            true => message.get(self.program.len() + word.len() + 4..).unwrap_or(message),
            false => message,
        };
        line(&self.program, now.filter(|_| self.time), word, message)
    }
}

/// Where a [`TextLayer`] writes.
#[derive(Debug)]
pub(super) enum Out {
    /// stderr, this level and worse.
    Stderr(Level),
    /// A log file.
    File(Box<LogFile>),
}

/// Writes lines to stderr or a log file.
#[derive(Debug)]
pub(super) struct TextLayer {
    style: Style,
    control: Arc<Control>,
    state: Mutex<TextState>,
}

#[derive(Debug)]
struct TextState {
    out: Out,
    /// Lines that are to be written together.
    block: String,
    /// How many they are.
    count: u64,
    lost: u64,
}

/// A block of so many bytes is written whatever comes next.
const BLOCK: usize = 16 * 1024;

impl TextLayer {
    pub(super) fn new(style: Style, control: Arc<Control>, out: Out) -> TextLayer {
        TextLayer {
            style,
            control,
            state: Mutex::new(TextState { out, block: String::new(), count: 0, lost: 0 }),
        }
    }
}

impl<S: Subscriber> Layer<S> for TextLayer {
    fn on_event(&self, event: &Carried<'_>, _context: Context<'_, S>) {
        let level = *event.metadata().level();
        let mut message = Line::default();
        event.record(&mut message);
        let now = clock::now();
        let mut state = lock(&self.state);
        let mut wanted = true;
        match &mut state.out {
            Out::Stderr(least) => wanted = level <= *least && self.control.stderr.load(Ordering::Relaxed),
            Out::File(file) => {
                let force = self.control.reopen.swap(false, Ordering::Relaxed);
                if let Err(failed) = file.refresh(&now, Instant::now(), force) {
                    let path = failed.path.display().to_string();
                    let event = ProcessEvent::LogFileFailed { path, reason: failed.reason };
                    let line = self.own(&now, event);
                    state.add(&line);
                }
            }
        }
        if wanted {
            state.add(&self.style.line(Some(&now), severity(level).0, &message.0));
        }
        if state.block.len() >= BLOCK || !self.control.more.load(Ordering::Relaxed) {
            state.write(|count| self.own(&now, ProcessEvent::LinesLost { count }));
        }
    }
}

impl TextLayer {
    /// A line about the log itself.
    fn own(&self, now: &Zoned, event: ProcessEvent) -> String {
        let event = super::Event::Process(event);
        let message = super::format::message(super::Format::default(), &super::Context::default(), &event);
        line(&self.style.program, Some(now).filter(|_| self.style.time), event.level().word(), &message)
    }
}

impl TextState {
    fn add(&mut self, line: &str) {
        self.block.push_str(line);
        self.count += 1;
    }

    /// Writes the block, and once it works again says how many lines were lost while it did not.
    fn write(&mut self, report: impl FnOnce(u64) -> String) {
        if self.block.is_empty() {
            return;
        }
        let (block, count) = (std::mem::take(&mut self.block), std::mem::take(&mut self.count));
        if self.lost > 0 {
            if self.out.write(report(self.lost).as_bytes()).is_err() {
                self.lost += count;
                return;
            }
            self.lost = 0;
        }
        if self.out.write(block.as_bytes()).is_err() {
            self.lost += count;
        }
    }
}

impl Out {
    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        match self {
            Out::Stderr(_) => io::stderr().lock().write_all(line),
            Out::File(file) => file.write(line),
        }
    }
}

/// Sends the complete lines, without a time of ours, to the syslog daemon.
#[derive(Debug)]
pub(super) struct SyslogLayer {
    style: Style,
    state: Mutex<(Syslog, u64)>,
}

impl SyslogLayer {
    pub(super) fn new(style: Style, syslog: Syslog) -> SyslogLayer {
        SyslogLayer { style, state: Mutex::new((syslog, 0)) }
    }
}

impl<S: Subscriber> Layer<S> for SyslogLayer {
    fn on_event(&self, event: &Carried<'_>, _context: Context<'_, S>) {
        let level = *event.metadata().level();
        if level > Level::INFO {
            return;
        }
        let mut message = Line::default();
        event.record(&mut message);
        let (word, severity) = severity(level);
        let line = self.style.line(None, word, &message.0);
        let mut state = lock(&self.state);
        let (syslog, lost) = &mut *state;
        if *lost > 0 {
            let report = ProcessEvent::LinesLost { count: *lost };
            let report = format!("{}: {}: {report}", self.style.program, kind::LINES_LOST.level.word());
            if syslog.send(4, &report).is_err() {
                *lost += 1;
                return;
            }
            *lost = 0;
        }
        if syslog.send(severity, line.trim_end()).is_err() {
            *lost += 1;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
