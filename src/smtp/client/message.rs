//! The message to be sent, and the checks it must pass before the server hears of it.

use std::fmt;

use crate::smtp::Body;

use super::chunks::Cut;
use super::{Capabilities, ClientConfig, MissingExtension};

/// The envelope of one message to be sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outgoing {
    /// Reverse path without angle brackets; empty for `<>`.
    pub sender: String,
    /// Forward paths without angle brackets, in the order of the envelope.
    pub recipients: Vec<String>,
    /// Declared kind of content.
    pub body: Body,
    /// The envelope needs SMTPUTF8 (RFC 6531).
    pub utf8_mailboxes: bool,
    /// Size of the content in bytes. It must be exact: what is sent by BDAT is announced by it.
    pub size: u64,
    /// Value for the AUTH parameter of MAIL (RFC 4954 section 5). It goes out only in a session that has authenticated,
    /// and so not before this client can do that.
    pub mail_auth_out: String,
}

/// Why a message was refused by ourselves, without a command to the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LocalRefusal {
    /// 8-bit content, and the server lacks 8BITMIME.
    EightBit,
    /// Binary content, and the server lacks BINARYMIME or CHUNKING.
    BinaryMime,
    /// UTF-8 addresses, and the server lacks SMTPUTF8.
    Utf8,
    /// Content larger than the server's announced limit.
    Size,
    /// An address that cannot stand in a command: control characters, angle brackets, unquoted blanks, or an empty recipient.
    Address,
    /// No recipient at all.
    NoRecipients,
}

impl LocalRefusal {
    /// The reply code that stands for this refusal, if there is one.
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Size => Some(552),
            _ => None,
        }
    }
}

impl fmt::Display for LocalRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EightBit => "cannot send 8-bit message to 7-bit server",
            Self::BinaryMime => "cannot send binarymime message to a non-chunking server",
            Self::Utf8 => "cannot send utf8 message to non-smtputf8 server",
            Self::Size => "message size exceeds fixed maximum message size",
            Self::Address => "invalid address in envelope",
            Self::NoRecipients => "no remote recipients",
        })
    }
}

impl Outgoing {
    /// Checks the envelope, then what the server lacks for it. Lacks that are tolerated are returned for a warning.
    ///
    /// # Errors
    /// The first reason why this message cannot be sent to this server.
    pub(super) fn check(
        &self,
        config: &ClientConfig,
        peer: &Capabilities,
    ) -> Result<Vec<MissingExtension>, LocalRefusal> {
        if self.recipients.is_empty() {
            return Err(LocalRefusal::NoRecipients);
        }
        let bad_recipient = |address: &String| address.is_empty() || !is_sendable(address);
        if !is_sendable(&self.sender) || self.recipients.iter().any(bad_recipient) {
            return Err(LocalRefusal::Address);
        }
        let mut missing = Vec::new();
        if self.body == Body::EightBit && !peer.eightbitmime {
            missing.push(MissingExtension::EightBitMime);
            refuse_if(config.eightbit_strict, LocalRefusal::EightBit)?;
        }
        if self.body == Body::BinaryMime && !peer.takes_binary() {
            missing.push(MissingExtension::BinaryMime);
            refuse_if(config.binarymime_strict, LocalRefusal::BinaryMime)?;
        }
        if self.utf8_mailboxes && !peer.smtputf8 {
            missing.push(MissingExtension::SmtpUtf8);
            refuse_if(config.smtputf8_strict, LocalRefusal::Utf8)?;
        }
        refuse_if(
            config.send_size && peer.size_limit.is_some_and(|limit| self.size > limit),
            LocalRefusal::Size,
        )?;
        Ok(missing)
    }

    /// How the content is cut into chunks (RFC 3030); `None` if it goes by DATA. Binary content that the server does not know
    /// as such goes as lines.
    pub(super) fn cut(&self, config: &ClientConfig, peer: &Capabilities) -> Option<Cut> {
        let by_chunks = match self.body {
            Body::BinaryMime => peer.takes_binary(),
            _ => config.chunking && peer.chunking,
        };
        by_chunks.then_some(Cut {
            size: config.chunk_size,
            lone_last: config.chunking,
            ahead: config.pipelining && peer.pipelining,
        })
    }

    /// The MAIL command line, CRLF included.
    pub(super) fn mail_command(&self, config: &ClientConfig, peer: &Capabilities) -> String {
        let mut line = format!("MAIL FROM:<{}>", self.sender);
        match self.body {
            Body::SevenBit if peer.eightbitmime => line.push_str(" BODY=7BIT"),
            Body::EightBit if peer.eightbitmime => line.push_str(" BODY=8BITMIME"),
            Body::BinaryMime if peer.takes_binary() => line.push_str(" BODY=BINARYMIME"),
            _ => {}
        }
        if self.utf8_mailboxes && peer.smtputf8 {
            line.push_str(" SMTPUTF8");
        }
        if config.send_size && peer.size {
            line.push_str(&format!(" SIZE={}", self.size));
        }
        line.push_str("\r\n");
        line
    }
}

fn refuse_if(condition: bool, refusal: LocalRefusal) -> Result<(), LocalRefusal> {
    if condition { Err(refusal) } else { Ok(()) }
}

/// True if the address, put between angle brackets, is one path and nothing else for any server. Envelopes can be edited by
/// programs, so that this is the last guard against commands smuggled in an address.
fn is_sendable(address: &str) -> bool {
    let mut quoted = false;
    let mut escaped = false;
    for c in address.chars() {
        match c {
            '<' | '>' => return false,
            c if c.is_ascii_control() => return false,
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ' ' if !quoted => return false,
            _ => {}
        }
    }
    !quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_addresses_are_sendable() {
        for address in
            ["", "bob@to.net", "\"bob smith\"@to.net", "\"b\\\"ob s\"@x", "b\u{f6}b@x", "a@[IPv6:::1]"]
        {
            assert!(is_sendable(address), "{address:?}");
        }
    }

    #[test]
    fn addresses_that_could_become_commands_are_not_sendable() {
        for address in [
            "a@b\r\nDATA",
            "a@b\n",
            "a@b\r",
            "a\0@b",
            "a@b> SIZE=1",
            "<a@b",
            "a b@c",
            "a@b SIZE=1",
            "\"a\tb\"@c",
            "\"a@b c",
            "\"a<b\"@c",
        ] {
            assert!(!is_sendable(address), "{address:?}");
        }
    }
}
