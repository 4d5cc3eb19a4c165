//! The facts that a client session reports, as log events.

use crate::log::kind::{self, Kind};
use crate::log::{Event, Fields};
use crate::net::connect;
use crate::smtp::client;

/// The log event of a session's fact.
pub(crate) fn of(event: &client::Event) -> Event {
    Event::Protocol { kind: kind_of(event), text: event.to_string(), fields: Fields::default() }
}

/// One of several addresses of a next hop cannot be connected to.
pub(crate) fn attempt_failed(error: &connect::Error) -> Event {
    Event::Protocol { kind: kind::TRACE, text: error.to_string(), fields: Fields::default() }
}

fn kind_of(event: &client::Event) -> &'static Kind {
    match event {
        client::Event::Received(_)
        | client::Event::Sent(_)
        | client::Event::SentAuth
        | client::Event::SentContent { .. }
        | client::Event::SentChunk { .. } => kind::TRACE,
        client::Event::LoggedIn { .. } => kind::LOGGED_IN,
        client::Event::AuthRefused { .. } => kind::LOGIN_RETRIED,
        client::Event::SecretInClear => kind::SECRET_IN_CLEAR,
        client::Event::GreetingTimeout { .. } => kind::GREETING_TIMEOUT,
        client::Event::VeryLongLine { .. } => kind::LONG_REPLY,
        client::Event::PlaintextAfterStartTls => kind::TLS_PLAINTEXT,
        client::Event::UnexpectedResponse { .. } => kind::UNEXPECTED_RESPONSE,
        client::Event::Refused { .. } | client::Event::RecipientsRejected => kind::LOCAL_REFUSAL,
        client::Event::Missing(_) => kind::MISSING_EXTENSION,
    }
}
