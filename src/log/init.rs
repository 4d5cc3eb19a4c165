//! Setting the log up.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use thiserror::Error;
use tracing::Level as Carried;
use tracing_journald::{Priority, PriorityMappings};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Layer, Registry};

use super::carrier::TARGET;
use super::event::{ProcessEvent, StartEvent};
use super::file::{LogFile, OpenFailed};
use super::format::Format;
use super::kind::Level;
use super::logger::{self, Logger};
use super::queue::Taken;
use super::text::{Control, Out, Style, SyslogLayer, TextLayer};
use super::{Context, Event};
use crate::config::Facility;
use crate::os::journal::stderr_is_journal;
use crate::os::syslog::Syslog;
use crate::os::{self, identity::User};

/// The writer looks this often whether folded warnings are due.
const TICK: Duration = Duration::from_secs(1);

/// Lines that come so closely are written together.
const GATHER: Duration = Duration::from_millis(2);

/// A stop waits this long for the last lines.
const LAST_LINES: Duration = Duration::from_secs(5);

/// What is logged, and where.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// The program's own name: the identity in syslog and journal.
    pub identifier: String,
    /// With this text lines begin: the base name of `argv[0]`, as in options' errors.
    pub program: String,
    /// The least important level that is logged; None logs nothing at all (no `--log`).
    pub level: Option<Level>,
    /// The parts of a line.
    pub format: Format,
    /// Text to stderr, if there is no log file.
    pub stderr: Stderr,
    /// The log file, with `%d` and `%h`. Created even if nothing is logged.
    pub file: Option<String>,
    /// The account that new log files are given to, so that they can be opened again after root is left.
    pub owner: Option<User>,
    /// Syslog, with this facility.
    pub syslog: Option<Facility>,
    /// When there are journal entries.
    pub journal: Journal,
    /// What the journal gets as `MESSAGE=`.
    pub journal_text: JournalText,
}

impl LogConfig {
    /// Whether what is logged at level warning is also seen on stderr.
    #[must_use]
    pub fn warns_on_stderr(&self) -> bool {
        self.level.is_some() && self.file.is_none() && self.stderr != Stderr::Off
    }

    /// That of a tool which people and timers start: whoever sees its standard output needs warnings only, and the journal has all.
    #[must_use]
    pub fn of_tool(identifier: &str, program: &str) -> Self {
        Self {
            identifier: identifier.to_owned(),
            program: program.to_owned(),
            stderr: Stderr::Warnings,
            journal_text: JournalText::Plain,
            ..Self::default()
        }
    }

    /// That of a program which people and programs call and that does one thing: it is in the journal, or in syslog where there is no
    /// journal, whoever has called, and never on stderr.
    #[must_use]
    pub fn of_command(identifier: &str, program: &str) -> Self {
        Self {
            stderr: Stderr::Off,
            syslog: Some(Facility::default()),
            journal: Journal::Always,
            ..Self::of_tool(identifier, program)
        }
    }
}

/// When there are journal entries, in place of lines on stderr or in syslog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Journal {
    /// If stderr is connected to the journal.
    IfStderr,
    /// Wherever there is a journal.
    Always,
}

/// What stderr shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stderr {
    /// Everything that is logged.
    All,
    /// Warnings and errors: for a daemon with syslog that is about to give its stderr up.
    Warnings,
    /// Nothing.
    Off,
}

/// The `MESSAGE=` of journal entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JournalText {
    /// The complete line, program and level included, as the journal got it from `emailrelay` 2.6 by way of syslog; log watchers match that.
    Line,
    /// Context and text: identifier and priority have their own fields.
    Plain,
}

/// The log cannot be set up.
#[derive(Debug, Error)]
pub enum LogError {
    /// The log file cannot be opened.
    #[error("cannot open log file: {path}: {reason}")]
    File {
        /// Which.
        path: String,
        /// Why.
        reason: String,
    },
    /// It is set up already.
    #[error("the log is set up already")]
    Twice,
}

/// The log; dropping it writes what is left.
#[derive(Debug)]
#[must_use]
pub struct LogHandle {
    logger: Arc<Logger>,
    control: Arc<Control>,
    writer: Option<JoinHandle<()>>,
    /// Entries go to the journal.
    journal: bool,
}

impl Default for LogConfig {
    fn default() -> LogConfig {
        LogConfig {
            identifier: "emailrelay".to_owned(),
            program: "emailrelay".to_owned(),
            level: Some(Level::Info),
            format: Format::default(),
            stderr: Stderr::All,
            file: None,
            owner: None,
            syslog: None,
            journal: Journal::IfStderr,
            journal_text: JournalText::Line,
        }
    }
}

/// Sets the log of this process up. From now on [`super::emit`] writes, at once and on the calling thread, until
/// [`LogHandle::start_writer`].
///
/// If stderr is the journal, or [`Journal::Always`] is wanted, structured entries replace what would go to stderr or syslog. They are not affected by
/// [`LogHandle::close_stderr`]. A log file is written in any case.
///
/// # Errors
/// If the log file cannot be opened, or the log is set up already.
pub fn init(config: &LogConfig) -> Result<LogHandle, LogError> {
    let control = Arc::new(Control { stderr: AtomicBool::new(true), ..Control::default() });
    let journal = journal_layer(config);
    let to_journal = journal.is_some();
    let prefixed = to_journal && config.journal_text == JournalText::Line;
    let layers = layers(config, &control, journal, prefixed)?;
    let ours = filter_fn(|metadata| metadata.target() == TARGET);
    let subscriber = Registry::default().with(layers.with_filter(ours));
    let logger = Arc::new(Logger::new(config, prefixed));
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LogError::Twice)?;
    logger::install(Arc::clone(&logger)).map_err(|_| LogError::Twice)?;
    Ok(LogHandle { logger, control, writer: None, journal: to_journal })
}

impl LogHandle {
    /// Moves writing to a thread of its own, with a bounded queue: the event loop never waits for a disk or for journald. To be called after
    /// daemonising and after root was left.
    ///
    /// # Errors
    /// If the thread cannot be started; lines are then written directly as before.
    pub fn start_writer(&mut self) -> io::Result<()> {
        if self.writer.is_none() {
            let (logger, control) = (Arc::clone(&self.logger), Arc::clone(&self.control));
            self.writer =
                Some(Builder::new().name("log".to_owned()).spawn(move || write_on(&logger, &control))?);
            self.logger.queue.open();
        }
        Ok(())
    }

    /// Opens the log file again with the next line (SIGUSR1, SIGHUP). One that was rotated away is noticed without this.
    pub fn reopen(&self) {
        self.control.reopen.store(true, Ordering::Relaxed);
    }

    /// No more text to stderr (`--close-stderr`), which becomes the null device.
    ///
    /// # Errors
    /// If the null device cannot be opened.
    pub fn close_stderr(&self) -> io::Result<()> {
        self.flush();
        self.control.stderr.store(false, Ordering::Relaxed);
        os::daemon::null_stderr()
    }

    /// Records why the process ends, everywhere but on stderr, which is for the caller to write. True if the journal has it,
    /// where a line on stderr would be the second.
    pub fn fatal(&self, text: &str) -> bool {
        self.flush();
        self.control.stderr.store(false, Ordering::Relaxed);
        super::emit(&Context::default(), &StartEvent::Fatal { text: text.to_owned() }.into());
        self.flush();
        self.journal && super::is_enabled(Level::Error)
    }

    /// Changes what is logged, after a reload.
    pub fn set_level(&self, level: Option<Level>) {
        self.logger.set_level(level);
    }

    /// Waits until everything logged so far is written, five seconds at most.
    pub fn flush(&self) {
        self.logger.queue.flush(LAST_LINES);
    }
}

impl Drop for LogHandle {
    fn drop(&mut self) {
        self.logger.report_folded(None);
        self.logger.queue.flush(LAST_LINES);
        self.logger.queue.close();
        // Not joined if it hangs: a stop must not wait for journald.
        if let Some(writer) = self.writer.take()
            && self.logger.queue.is_written()
        {
            let _ = writer.join();
        }
    }
}

/// The writer thread.
fn write_on(logger: &Logger, control: &Control) {
    loop {
        match logger.queue.take(TICK) {
            Taken::Records(records, lost) => {
                // Lines seldom come alone, and each write and each wake-up costs as much as many lines.
                std::thread::sleep(GATHER);
                for (record, left) in records.iter().zip((0..records.len()).rev()) {
                    control.more.store(left > 0, Ordering::Relaxed);
                    record.dispatch();
                }
                if lost > 0 {
                    let event = Event::Process(ProcessEvent::LinesLost { count: lost });
                    logger.record(&Context::default(), &event).dispatch();
                }
            }
            Taken::Nothing => {}
            Taken::Closed => return,
        }
        logger.report_folded(Some(std::time::Instant::now()));
    }
}

type AnyLayer = Box<dyn Layer<Registry> + Send + Sync>;

fn layers(
    config: &LogConfig,
    control: &Arc<Control>,
    journal: Option<AnyLayer>,
    prefixed: bool,
) -> Result<Vec<AnyLayer>, LogError> {
    let style = Style { program: config.program.clone(), time: config.format.time, prefixed };
    let text = |out| -> AnyLayer { Box::new(TextLayer::new(style.clone(), Arc::clone(control), out)) };
    let mut layers: Vec<AnyLayer> = Vec::new();
    let to_journal = journal.is_some();
    layers.extend(journal);
    if let Some(template) = &config.file {
        let owner = config.owner.as_ref().map(|user| (user.uid, user.gid));
        let file = LogFile::open(template, owner, &os::clock::now()).map_err(LogError::from)?;
        layers.push(text(Out::File(Box::new(file))));
    } else if !to_journal {
        match config.stderr {
            Stderr::All => layers.push(text(Out::Stderr(Carried::TRACE))),
            Stderr::Warnings => layers.push(text(Out::Stderr(Carried::WARN))),
            Stderr::Off => {}
        }
    }
    if let Some(facility) = config.syslog.filter(|_| !to_journal) {
        layers.push(Box::new(SyslogLayer::new(style.clone(), Syslog::new(&config.identifier, facility))));
    }
    Ok(layers)
}

/// The journal, if it is to be used and lines would go to stderr or syslog.
fn journal_layer(config: &LogConfig) -> Option<AnyLayer> {
    let wanted = config.syslog.is_some() || (config.stderr != Stderr::Off && config.file.is_none());
    let used = config.journal == Journal::Always || stderr_is_journal();
    if !wanted || !used {
        return None;
    }
    let priorities = PriorityMappings {
        error: Priority::Error,
        warn: Priority::Warning,
        info: Priority::Informational,
        debug: Priority::Debug,
        trace: Priority::Debug,
    };
    let facility = config.syslog.unwrap_or_default().number().to_string();
    // There may be none.
    let layer = tracing_journald::Layer::new().ok()?;
    Some(Box::new(
        layer
            .with_field_prefix(None)
            .with_priority_mappings(priorities)
            .with_syslog_identifier(config.identifier.clone())
            .with_custom_fields([("SYSLOG_FACILITY", facility)]),
    ))
}

impl From<OpenFailed> for LogError {
    fn from(failed: OpenFailed) -> LogError {
        LogError::File { path: failed.path.display().to_string(), reason: failed.reason }
    }
}
