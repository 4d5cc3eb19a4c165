//! The facts that a POP session reports, as log events.

use crate::log::kind::{self, Kind};
use crate::log::{Event, Fields};
use crate::pop;

/// The log event of a session's fact.
pub(super) fn of(event: &pop::Event) -> Event {
    Event::Protocol { kind: kind_of(event), text: event.to_string(), fields: Fields::default() }
}

fn kind_of(event: &pop::Event) -> &'static Kind {
    match event {
        pop::Event::TlsHello => kind::TLS_HELLO,
        pop::Event::PlaintextAfterStls => kind::PLAINTEXT_BEHIND,
        pop::Event::Rx(_) | pop::Event::Tx(_) | pop::Event::TxLines(_) | pop::Event::TxContent(_) => {
            kind::TRACE
        }
    }
}
