//! Where a message goes, and as whom: what decides which messages share connections, back-off and fate.

use std::fmt;

use crate::config::address::Remote;
use crate::spool::Envelope;

/// A next hop and the account that is used there. Messages for the same destination share a lane; what happens to one
/// destination is nothing to another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Destination {
    /// Where to connect to.
    pub address: Remote,
    /// Which account to log in with (`ClientAccountSelector`); empty for the default one.
    pub selector: String,
}

impl Destination {
    /// Where a message with this envelope goes: to its `ForwardToAddress`, or else to `next_hop`.
    ///
    /// # Errors
    /// The address is none; the reason for the envelope.
    pub fn of(envelope: &Envelope, next_hop: &Remote) -> Result<Self, String> {
        let address = match envelope.forward_to_address.as_str() {
            "" => next_hop.clone(),
            text => Remote::parse(text, None).map_err(|_| format!("invalid host:service format: {text}"))?,
        };
        Ok(Self { address, selector: envelope.client_account_selector.clone() })
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.address)?;
        if self.selector.is_empty() { Ok(()) } else { write!(f, " as {}", self.selector) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_and_selector_make_a_destination() {
        let next_hop = Remote::parse("hop.test:25", None).unwrap();
        let envelope = |address: &str, selector: &str| Envelope {
            forward_to_address: address.to_owned(),
            client_account_selector: selector.to_owned(),
            ..Envelope::default()
        };
        let of = |address, selector| Destination::of(&envelope(address, selector), &next_hop);
        assert_eq!(of("", "").unwrap().to_string(), "hop.test:25");
        assert_eq!(of("192.0.2.1:26", "").unwrap().to_string(), "192.0.2.1:26");
        assert_eq!(of("", "alice").unwrap().to_string(), "hop.test:25 as alice");
        assert_ne!(of("", "alice"), of("", ""));
        assert_eq!(of("rubbish", "").unwrap_err(), "invalid host:service format: rubbish");
    }
}
