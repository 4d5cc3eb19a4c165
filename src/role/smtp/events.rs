//! The facts that a server session reports, as log events.

use crate::log::kind::{self, Kind};
use crate::log::{Event, Fields};
use crate::smtp::server;

/// The log event of a session's fact.
pub(super) fn of(event: &server::Event) -> Event {
    let fields = match event {
        server::Event::RecipientRejected { response, reason, .. } => {
            Fields::reason(if reason.is_empty() { response } else { reason })
        }
        _ => Fields::default(),
    };
    Event::Protocol { kind: kind_of(event), text: event.to_string(), fields }
}

fn kind_of(event: &server::Event) -> &'static Kind {
    match event {
        server::Event::EmptyReturnPath => kind::NULL_RETURN_PATH,
        server::Event::VeryLongLine { .. } => kind::LONG_LINE,
        server::Event::MissingBrackets => kind::BAD_SYNTAX,
        server::Event::ContentTooBig => kind::TOO_BIG,
        server::Event::RecipientRejected { .. } => kind::RECIPIENT_REJECTED,
        server::Event::TlsHello => kind::TLS_HELLO,
        server::Event::BareLineEndings => kind::BARE_LINE_ENDS,
        server::Event::TooManyRecipients { .. } | server::Event::RecipientsTooLong { .. } => {
            kind::TOO_MANY_RECIPIENTS
        }
        server::Event::AuthNotAdvertised => kind::AUTH_NOT_OFFERED,
        server::Event::TooManyAuth
        | server::Event::AuthInClear
        | server::Event::UnsupportedMechanism { .. }
        | server::Event::BadAuthParameter
        | server::Event::BadAuthResponse
        | server::Event::UnexpectedInitialResponse => kind::AUTH_MISUSE,
        server::Event::Trusting { .. } | server::Event::NotTrusted { .. } => kind::AUTH_TRUST,
        server::Event::PlaintextAfterStartTls => kind::TLS_PLAINTEXT,
        server::Event::ClientGone => kind::CLIENT_GONE,
        server::Event::Rx(_) | server::Event::RxContent | server::Event::RxAuth | server::Event::Tx(_) => {
            kind::TRACE
        }
    }
}
