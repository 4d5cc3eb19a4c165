//! What a line is about, apart from the event: the instance, the peer, the message.

use std::net::SocketAddr;
use std::sync::Arc;

use super::format::Format;

/// Prefix of message ids, left out in the context of a line.
const ID_PREFIX: &str = "emailrelay.";

/// Where an event happened. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Context {
    /// Name of the instance (configuration); none for the unnamed one.
    pub unit: Option<Arc<str>>,
    /// The client's address without port in a server session, `/` for an unnamed unix peer.
    pub address: Option<Arc<str>>,
    /// The client's port.
    pub port: Option<u16>,
    /// The full id of the current message. Server sessions may set it: it reaches the journal, but only lines without
    /// an address (those of the forwarding side) show it.
    pub msgid: Option<Arc<str>>,
}

impl Context {
    /// A context for the instance `unit`; empty means the unnamed one.
    pub fn unit(unit: &str) -> Context {
        Context { unit: (!unit.is_empty()).then(|| unit.into()), ..Context::default() }
    }

    /// The same with a client.
    #[must_use]
    pub fn with_peer(&self, address: &str, port: Option<u16>) -> Context {
        Context { address: Some(address.into()), port, ..self.clone() }
    }

    /// The same without the client.
    #[must_use]
    pub fn without_peer(&self) -> Context {
        Context { address: None, port: None, ..self.clone() }
    }

    /// The same with a message.
    #[must_use]
    pub fn with_message(&self, id: &str) -> Context {
        Context { msgid: Some(id.into()), ..self.clone() }
    }

    /// Writes the parts that `format` selects, always in the order unit, address and port, message id.
    pub(super) fn write(&self, format: Format, out: &mut String) {
        if let Some(unit) = self.unit.as_deref().filter(|_| format.unit) {
            out.extend(["[", unit, "] "]);
        }
        let address = self.address.as_deref().filter(|_| format.address);
        let port = self.port.filter(|_| format.port);
        match (address, port) {
            (Some(address), Some(port)) => out.extend([address, ";", &port.to_string(), ": "]),
            (Some(address), None) => out.extend([address, "; "]),
            (None, Some(port)) => out.extend([&port.to_string(), ": "]),
            (None, None) => {}
        }
        if let Some(id) = self.msgid.as_deref().filter(|_| format.msgid && self.address.is_none()) {
            out.extend(["(", id.strip_prefix(ID_PREFIX).unwrap_or(id), ") "]);
        }
    }
}

/// A transport address as log lines show it: `192.0.2.7:25`, `2001:db8::5.25` (with `%scope` if it has one). IPv4 addresses mapped
/// into IPv6 are shown as IPv4.
pub fn show(address: &SocketAddr) -> String {
    match address {
        SocketAddr::V4(v4) => v4.to_string(),
        SocketAddr::V6(v6) => match (v6.ip().to_ipv4_mapped(), v6.scope_id()) {
            (Some(v4), _) => format!("{v4}:{}", v6.port()),
            (None, 0) => format!("{}.{}", v6.ip(), v6.port()),
            (None, scope) => format!("{}%{scope}.{}", v6.ip(), v6.port()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(context: &Context, words: &str) -> String {
        let mut format = Format::default();
        assert!(words.split(',').filter(|word| !word.is_empty()).all(|word| format.set(word)));
        let mut out = String::new();
        context.write(format, &mut out);
        out
    }

    #[test]
    fn parts_have_a_fixed_order() {
        let server = Context::unit("in").with_peer("192.0.2.7", Some(34482));
        assert_eq!(text(&server, ""), "");
        assert_eq!(text(&server, "address"), "192.0.2.7; ");
        assert_eq!(text(&server, "port"), "34482: ");
        assert_eq!(text(&server, "port,address"), "192.0.2.7;34482: ");
        assert_eq!(text(&server, "port,address,unit,msgid"), "[in] 192.0.2.7;34482: ");
        assert_eq!(text(&Context::default().with_peer("/", None), "address,port"), "/; ");
    }

    #[test]
    fn the_message_id_is_short_and_for_the_forwarding_side() {
        let client = Context::unit("").with_message("emailrelay.1234.1795170487.1");
        assert_eq!(text(&client, "msgid,unit"), "(1234.1795170487.1) ");
        assert_eq!(text(&client.with_peer("::1", None), "msgid"), "");
    }

    #[test]
    fn addresses_are_shown_as_ever() {
        for (address, shown) in [
            ("192.0.2.7:25", "192.0.2.7:25"),
            ("[2001:db8::5]:25", "2001:db8::5.25"),
            ("[fe80::1%2]:25", "fe80::1%2.25"),
            ("[::ffff:192.0.2.7]:25", "192.0.2.7:25"),
        ] {
            assert_eq!(show(&address.parse().expect("address")), shown);
        }
    }
}
