//! The one log of the process, and [`emit`].

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use super::carrier::Record;
use super::event::ProcessEvent;
use super::format::Format;
use super::init::LogConfig;
use super::kind::Level;
use super::queue::Queue;
use super::ratelimit::Limiter;
use super::{Context, Event};

/// A logger's state.
#[derive(Debug)]
pub(super) struct Logger {
    /// Levels below this number are on.
    levels: AtomicU8,
    format: Format,
    /// The program's name if the messages of tracing events carry it.
    prefix: Option<String>,
    limiter: Mutex<Limiter>,
    pub(super) queue: Queue,
}

static LOGGER: OnceLock<Arc<Logger>> = OnceLock::new();

/// Logs `event`, which happened in `context`: one tracing event, or none if its level is off or too many warnings like it came from this
/// peer. Does nothing before [`super::init`].
pub fn emit(context: &Context, event: &Event) {
    if let Some(logger) = LOGGER.get() {
        logger.emit(context, event);
    }
}

/// Is this level on? To avoid making events, such as those of a protocol trace, that nobody sees.
pub fn is_enabled(level: Level) -> bool {
    LOGGER.get().is_some_and(|logger| logger.is_enabled(level))
}

/// Makes `logger` the one of [`emit`].
pub(super) fn install(logger: Arc<Logger>) -> Result<(), Arc<Logger>> {
    LOGGER.set(logger)
}

impl Logger {
    pub(super) fn new(config: &LogConfig, prefixed: bool) -> Logger {
        Logger {
            levels: AtomicU8::new(levels(config.level)),
            format: config.format,
            prefix: prefixed.then(|| config.program.clone()),
            limiter: Mutex::default(),
            queue: Queue::default(),
        }
    }

    pub(super) fn set_level(&self, level: Option<Level>) {
        self.levels.store(levels(level), Ordering::Relaxed);
    }

    pub(super) fn is_enabled(&self, level: Level) -> bool {
        (level as u8) < self.levels.load(Ordering::Relaxed)
    }

    pub(super) fn emit(&self, context: &Context, event: &Event) {
        let kind = event.kind();
        if !self.is_enabled(kind.level) {
            return;
        }
        let now = Instant::now();
        self.report_folded(Some(now));
        if Limiter::applies(kind) && !self.limiter().admit(kind, context.address.as_ref(), now) {
            return;
        }
        self.write(self.record(context, event));
    }

    /// Logs how many warnings were folded in the windows that are over, or in all if `now` is None.
    pub(super) fn report_folded(&self, now: Option<Instant>) {
        let folded = {
            let mut limiter = self.limiter();
            if now.is_some_and(|now| !limiter.is_due(now)) {
                return;
            }
            limiter.take(now)
        };
        for fold in folded {
            let context = Context { address: fold.peer.clone(), ..Context::default() };
            let peer = fold.peer.as_deref().map(str::to_owned);
            let event = Event::Process(ProcessEvent::Repeated { count: fold.count, kind: fold.kind, peer });
            self.write(self.record(&context, &event));
        }
    }

    /// The finished entry for an event.
    pub(super) fn record(&self, context: &Context, event: &Event) -> Record {
        let mut record = Record::new(self.format, context, event);
        if let Some(program) = &self.prefix {
            record.message = format!("{program}: {}: {}", record.kind.level.word(), record.message);
        }
        record
    }

    fn write(&self, record: Record) {
        if let Some(record) = self.queue.push(record) {
            record.dispatch();
        }
    }

    fn limiter(&self) -> MutexGuard<'_, Limiter> {
        self.limiter.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn levels(least: Option<Level>) -> u8 {
    least.map_or(0, |level| level as u8 + 1)
}
