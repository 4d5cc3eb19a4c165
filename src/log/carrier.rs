//! tracing as the carrier: each record is exactly one tracing event with constant field names.

use std::sync::Arc;

use tracing::field::{Field, Visit};
use tracing::{Level as Carried, event};

use super::context::Context;
use super::event::{Event, Fields};
use super::format::{Format, message};
use super::kind::{Kind, Level};

/// Only tracing events with this target are ours; whatever a library may emit is not logged.
pub(super) const TARGET: &str = "emailrelay";

/// The field that holds the line.
const MESSAGE: &str = "message";

/// A finished log entry.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) kind: &'static Kind,
    /// Context and text.
    pub(super) message: String,
    fields: Fields,
}

impl Record {
    pub(super) fn new(format: Format, context: &Context, event: &Event) -> Record {
        let own = |part: &Option<Arc<str>>| part.as_deref().map(str::to_owned);
        let mut fields = event.fields();
        fields.msgid = fields.msgid.or_else(|| own(&context.msgid));
        fields.peer = fields.peer.or_else(|| own(&context.address));
        fields.instance = fields.instance.or_else(|| own(&context.unit));
        Record { kind: event.kind(), message: message(format, context, event), fields }
    }

    /// Hands the record to the layers, on this thread.
    pub(super) fn dispatch(&self) {
        macro_rules! carry {
            ($level:expr) => {
                event!(
                    target: TARGET,
                    $level,
                    MESSAGE_ID = self.kind.id,
                    EMAILRELAY_MSGID = self.fields.msgid.as_deref(),
                    EMAILRELAY_PEER = self.fields.peer.as_deref(),
                    EMAILRELAY_FROM = self.fields.from.as_deref(),
                    EMAILRELAY_RCPTS = self.fields.rcpts.as_deref(),
                    EMAILRELAY_SIZE = self.fields.size,
                    EMAILRELAY_NEXT_HOP = self.fields.next_hop.as_deref(),
                    EMAILRELAY_REPLY_CODE = self.fields.reply_code,
                    EMAILRELAY_REASON = self.fields.reason.as_deref(),
                    EMAILRELAY_USER = self.fields.user.as_deref(),
                    EMAILRELAY_INSTANCE = self.fields.instance.as_deref(),
                    EMAILRELAY_FILTER = self.fields.filter.as_deref(),
                    EMAILRELAY_RESULT = self.fields.result,
                    EMAILRELAY_EXIT = self.fields.exit,
                    EMAILRELAY_MS = self.fields.took_ms,
                    EMAILRELAY_TLS = self.fields.tls.as_deref(),
                    message = self.message.as_str(),
                )
            };
        }
        match self.kind.level {
            Level::Error => carry!(Carried::ERROR),
            Level::Warning => carry!(Carried::WARN),
            Level::Info | Level::Verbose | Level::Extra => carry!(Carried::INFO),
            Level::Debug => carry!(Carried::DEBUG),
        }
    }
}

/// What the text layers need of a tracing event.
#[derive(Debug, Default)]
pub(super) struct Line(pub(super) String);

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == MESSAGE {
            self.0.push_str(value);
        }
    }

    fn record_debug(&mut self, _field: &Field, _value: &dyn std::fmt::Debug) {}
}

/// The word and the syslog severity for a level, one to one.
pub(super) fn severity(level: Carried) -> (&'static str, u8) {
    match level {
        Carried::ERROR => (Level::Error.word(), 3),
        Carried::WARN => (Level::Warning.word(), 4),
        Carried::INFO => (Level::Info.word(), 6),
        _ => (Level::Debug.word(), 7),
    }
}
