//! Replies of the server (RFC 5321 §4.2). All fixed texts are here: clients and log matchers depend on them.

use std::borrow::Cow;

use super::escape;
use super::path::PathError;
use super::status::Status;

/// A reply: code and text, one line unless made by [`Reply::lines`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    code: u16,
    /// Escaped; a line feed only between the lines of a reply.
    text: Cow<'static, str>,
    status: Status,
}

impl Reply {
    /// A reply with a text that comes from outside, escaped so that it stays one line.
    pub fn new(code: u16, text: &str) -> Self {
        Self { code, text: Cow::Owned(escape::reply_text(text).into_owned()), status: Status::ByCode }
    }

    /// A reply of several lines, as EHLO has (RFC 5321 §4.2.1), and therefore without a status code.
    pub fn lines<'a>(code: u16, lines: impl IntoIterator<Item = &'a str>) -> Self {
        let mut text = String::new();
        for line in lines {
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(&escape::reply_text(line));
        }
        Self { code, text: Cow::Owned(text), status: Status::Never }
    }

    const fn fixed(code: u16, text: &'static str) -> Self {
        Self { code, text: Cow::Borrowed(text), status: Status::ByCode }
    }

    /// A fixed reply whose enhanced status code is not the usual one of its code.
    const fn coded(code: u16, status: &'static str, text: &'static str) -> Self {
        Self { code, text: Cow::Borrowed(text), status: Status::Is(status) }
    }

    /// A fixed reply that never has an enhanced status code.
    const fn uncoded(code: u16, text: &'static str) -> Self {
        Self { code, text: Cow::Borrowed(text), status: Status::Never }
    }

    fn with_status(self, status: &'static str) -> Self {
        Self { status: Status::Is(status), ..self }
    }

    /// The same with what the client can do about it.
    #[must_use]
    pub fn with_hint(&self, hint: &str) -> Self {
        Self { text: Cow::Owned(format!("{}: {hint}", self.text)), ..self.clone() }
    }

    /// The reply as it goes to a client that was told of enhanced status codes (RFC 2034 §4), or not.
    pub fn for_client(&self, enhanced: bool) -> Cow<'_, Self> {
        match self.status.code(self.code, &self.text).filter(|_| enhanced) {
            Some(status) => {
                Cow::Owned(Self { text: Cow::Owned(format!("{status} {}", self.text)), ..self.clone() })
            }
            None => Cow::Borrowed(self),
        }
    }

    /// Three-digit code.
    pub fn code(&self) -> u16 {
        self.code
    }

    /// True for a 5xx reply.
    pub fn is_permanent(&self) -> bool {
        self.code >= 500
    }

    /// The lines as they go over the wire, without CRLF.
    pub fn wire_lines(&self) -> impl Iterator<Item = String> {
        let mut lines = self.text.split('\n').peekable();
        std::iter::from_fn(move || {
            let line = lines.next()?;
            let separator = if lines.peek().is_some() { '-' } else { ' ' };
            Some(format!("{:03}{separator}{line}", self.code))
        })
    }

    /// Appends the reply with its line ends.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        for line in self.wire_lines() {
            out.extend_from_slice(line.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// Greeting (RFC 5321 §3.1); `product` is name and version.
pub fn greeting(domain: &str, product: &str) -> Reply {
    Reply { status: Status::Never, ..Reply::new(220, &format!("{domain} -- {product} -- Service ready")) }
}

/// First line of the EHLO reply (RFC 5321 §4.1.1.1).
pub fn says_hello(domain: &str) -> String {
    format!("{domain} says hello")
}

/// MAIL accepted (RFC 5321 §4.1.1.2); the address as it was sent.
pub fn sender_ok(address: &str) -> Reply {
    Reply::new(250, &format!("sender <{address}> OK")).with_status("2.1.0")
}

/// MAIL with an address or a parameter that cannot be accepted (RFC 5321 §4.2.2).
pub fn sender_not_allowed(error: PathError) -> Reply {
    let status = match error {
        PathError::UnknownParameter => return Reply::fixed(555, "mail-from parameter not recognized"),
        PathError::BadParameter => return Reply::fixed(501, "invalid mail-from parameter"),
        PathError::SenderNeedsUtf8 => NEEDS_UTF8,
        PathError::Parameter | PathError::MailCommand => "5.5.4",
        _ => "5.1.7",
    };
    Reply::new(553, &format!("mailbox name not allowed: {error}")).with_status(status)
}

/// RCPT with an address or a parameter that cannot be accepted (RFC 5321 §4.2.2).
pub fn recipient_not_allowed(error: PathError) -> Reply {
    let status = match error {
        PathError::UnknownParameter => return Reply::fixed(555, "rcpt-to parameter not recognized"),
        PathError::RecipientNeedsUtf8 => NEEDS_UTF8,
        PathError::RcptCommand => "5.5.4",
        _ => "5.1.3",
    };
    Reply::new(550, &error.to_string()).with_status(status)
}

/// An address that is not ASCII where that was not announced (RFC 6531 §3.5).
const NEEDS_UTF8: &str = "5.6.7";

/// RCPT accepted for forwarding (RFC 5321 §4.1.1.3).
pub fn remote_recipient_ok(address: &str) -> Reply {
    Reply::new(250, &format!("recipient <{address}> OK")).with_status("2.1.5")
}

/// RCPT accepted for a mailbox here. The second blank is the only difference, and tools look for it.
pub fn local_recipient_ok(address: &str) -> Reply {
    Reply::new(250, &format!("recipient <{address}>  OK")).with_status("2.1.5")
}

/// End of data, to a program of this machine that wants to know the name of its message.
pub fn processed_as(name: &str) -> Reply {
    Reply::new(250, &format!("{PROCESSED_TEXT}: {name}"))
}

/// MAIL, RCPT or a message refused by the spool, a filter or the next hop.
pub fn refused(code: u16, text: &str) -> Reply {
    let reply = Reply::new(code, text);
    if text == INSUFFICIENT_STORAGE { reply.with_status("4.3.1") } else { reply }
}

/// RCPT or VRFY refused: the address is named only where the client may not know it by its own spelling.
pub fn recipient_refused(code: u16, address: &str, reason: &str) -> Reply {
    let reply = if address.bytes().all(escape::is_plain) {
        Reply::new(code, reason)
    } else {
        Reply::new(code, &format!("recipient <{address}> {reason}"))
    };
    reply.with_status(if code < 500 { "4.2.0" } else { "5.1.1" })
}

/// A step of AUTH (RFC 4954 §4); the text is base64, or empty.
pub fn challenge(text: &str) -> Reply {
    Reply::new(334, text)
}

/// A chunk that is not the last has come (RFC 3030 §2).
pub fn chunk_received(size: u64) -> Reply {
    Reply::new(250, &format!("{size} bytes received"))
}

/// VRFY of an address that is here.
pub fn verified(full_name: &str) -> Reply {
    Reply::new(250, full_name)
}

/// VRFY of an address that is not ours (RFC 5321 §3.5.3).
pub fn cannot_verify(address: &str) -> Reply {
    Reply::new(252, &format!("cannot verify but will accept: {address}"))
}

/// In place of a greeting, or to MAIL: this block list has the client (RFC 5321 §3.1).
pub fn blocked(list: &str) -> Reply {
    Reply::new(554, &format!("blocked using {list}")).with_status("5.7.1")
}

/// STARTTLS (RFC 3207 §4).
pub const READY_FOR_TLS: Reply = Reply::fixed(220, "ready to start tls");
/// QUIT (RFC 5321 §4.1.1.10).
pub const GOODBYE: Reply = Reply::fixed(221, "OK");
/// AUTH (RFC 4954 §6).
pub const AUTH_SUCCESSFUL: Reply = Reply::fixed(235, "authentication successful");
/// NOOP (RFC 5321 §4.1.1.9).
pub const NOOP: Reply = Reply::fixed(250, "noop");
/// HELO (RFC 5321 §4.1.1.1).
pub const HELLO: Reply = Reply::uncoded(250, "hello");
/// RSET (RFC 5321 §4.1.1.5).
pub const RESET: Reply = Reply::fixed(250, "state reset");
/// End of data: the message is ours now (RFC 5321 §4.2.5).
pub const PROCESSED: Reply = Reply::fixed(250, PROCESSED_TEXT);
const PROCESSED_TEXT: &str = "message processed";
/// VRFY when we do not tell (RFC 5321 §3.5.3).
pub const CANNOT_VRFY: Reply = Reply::fixed(252, "cannot vrfy");
/// DATA (RFC 5321 §4.1.1.4).
pub const START_INPUT: Reply = Reply::fixed(354, "start mail input -- end with <CRLF>.<CRLF>");
/// Greeting of a server that is disabled (RFC 5321 §3.1).
pub const NOT_AVAILABLE: Reply = Reply::uncoded(421, "service not available");
/// The server has as many connections as it will have: in place of the greeting, or to the one idle for longest
/// (RFC 5321 §3.1, §3.8).
pub const TOO_MANY_CONNECTIONS: Reply = Reply::fixed(421, "too many connections");
/// Nothing received for too long (RFC 5321 §4.5.3.2.7).
pub const IDLE_TIMEOUT: Reply = Reply::coded(421, "4.4.2", "idle timeout");
/// Content arrives more slowly than we are willing to wait.
pub const TOO_SLOW: Reply = Reply::coded(421, "4.4.2", "data too slow");
/// Graceful stop (RFC 5321 §3.8, enhanced code of RFC 3463).
pub const SHUTTING_DOWN: Reply = Reply::fixed(421, "4.3.2 service shutting down");
/// Too many refused logins (RFC 4954 §4 leaves the limit to the server).
pub const TOO_MANY_AUTH_FAILURES: Reply = Reply::coded(421, "4.7.0", "too many authentication failures");
/// The login cannot be judged now (RFC 4954 §4.7.6).
pub const AUTH_UNAVAILABLE: Reply = Reply::fixed(454, "temporary authentication failure");
/// A question of the session was answered with something else: temporary, so that no mail is lost to our own fault.
pub const LOCAL_ERROR: Reply = Reply::fixed(452, "error");
/// RCPT over the limit (RFC 5321 §4.5.3.1.10).
pub const TOO_MANY_RECIPIENTS: Reply = Reply::coded(452, "4.5.3", "too many recipients");
/// Text of a 452 for a message that cannot be stored (RFC 5321 §4.2.2).
pub const INSUFFICIENT_STORAGE: &str = "insufficient system storage";
/// STARTTLS when there are too many handshakes (RFC 3207 §4).
pub const TLS_NOT_AVAILABLE: Reply = Reply::fixed(454, "tls not available");
/// Unknown verb, or one that is not offered (RFC 5321 §4.2.4).
pub const UNRECOGNIZED: Reply = Reply::fixed(500, "command unrecognized");
/// Command line over the limit (RFC 5321 §4.5.3.1.4, §4.5.3.1.9).
pub const LINE_TOO_LONG: Reply = Reply::fixed(500, "line too long");
/// EHLO or HELO without a name.
pub const PARAMETER_REQUIRED: Reply = Reply::fixed(501, "parameter required");
/// EHLO or HELO with a name over 255 bytes (RFC 5321 §4.5.3.1.2).
pub const PARAMETER_TOO_LONG: Reply = Reply::fixed(501, "parameter too long");
/// BDAT without a size (RFC 3030 §2), AUTH with a bad initial response (RFC 4954 §4).
pub const INVALID_ARGUMENT: Reply = Reply::fixed(501, "invalid argument");
/// The client has ended the exchange of AUTH (RFC 4954 §4).
pub const AUTH_CANCELLED: Reply = Reply::fixed(501, "authentication cancelled");
/// HELP, EXPN, and AUTH when there is nothing to log in with (RFC 5321 §4.2.4).
pub const NOT_IMPLEMENTED: Reply = Reply::fixed(502, "command not implemented");
/// Command in the wrong state (RFC 5321 §4.1.4).
pub const OUT_OF_SEQUENCE: Reply = Reply::fixed(503, "command out of sequence -- use RSET to resynchronise");
/// DATA for a message that can only be sent by BDAT (RFC 3030 §3).
pub const BINARY_DATA: Reply =
    Reply::fixed(503, "invalid data command with binarymime -- use RSET to resynchronise");
/// AUTH with a mechanism that is not offered (RFC 4954 §4).
pub const UNSUPPORTED_MECHANISM: Reply = Reply::fixed(504, "unsupported authentication mechanism");
/// MAIL and VRFY before a login (RFC 4954 §6).
pub const AUTH_REQUIRED: Reply = Reply::fixed(530, "authentication required");
/// AUTH with the wrong credentials (RFC 4954 §6).
pub const AUTH_FAILED: Reply = Reply::fixed(535, "authentication failed");
/// MAIL, VRFY and AUTH before STARTTLS where that is required (RFC 3207 §4).
pub const ENCRYPTION_REQUIRED: Reply = Reply::coded(530, "5.7.0", "encryption required");
/// VRFY of nothing.
pub const INVALID_MAILBOX: Reply = Reply::coded(550, "5.1.3", "invalid mailbox");
/// Over the size limit (RFC 1870 §6.1).
pub const TOO_BIG: Reply = Reply::fixed(552, "message size exceeds fixed maximum message size");
/// DATA without a recipient (RFC 5321 §3.3).
pub const NO_RECIPIENTS: Reply = Reply::coded(554, "5.5.1", "no valid recipients");
/// A message in more small chunks than anyone needs.
pub const TOO_MANY_CHUNKS: Reply = Reply::coded(554, "5.5.1", "too many small chunks");
/// A lone dot between bare line ends in the data (RFC 5321 §2.3.8).
pub const BARE_DOT: Reply = Reply::fixed(554, "5.5.2 bare line endings around end of data");
/// A bare line feed in the data where none is allowed (RFC 5321 §2.3.8).
pub const BARE_LF: Reply = Reply::fixed(554, "5.5.2 bare line feed in message");

/// What a client without encryption can do about a refusal.
pub const USE_STARTTLS: &str = "use starttls";
/// Text of a refused recipient when nobody gave one (RFC 5321 §4.2.2).
pub const MAILBOX_UNAVAILABLE: &str = "mailbox unavailable";
/// Greeting of a server that does not tell its name.
pub const ANONYMOUS_GREETING: Reply = Reply::uncoded(220, "greeting");
/// Name in the EHLO reply of a server that does not tell its own.
pub const ANONYMOUS_NAME: &str = "smtp";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_line_has_a_blank() {
        let mut out = Vec::new();
        Reply::lines(250, ["x says hello", "8BITMIME"]).write_to(&mut out);
        NOOP.write_to(&mut out);
        assert_eq!(out, b"250-x says hello\r\n250 8BITMIME\r\n250 noop\r\n");
    }

    #[test]
    fn status_codes_stand_before_the_text() {
        let sent = |reply: &Reply| reply.for_client(true).wire_lines().collect::<Vec<_>>().join("|");
        assert_eq!(sent(&sender_ok("a")), "250 2.1.0 sender <a> OK");
        assert_eq!(sent(&SHUTTING_DOWN), "421 4.3.2 service shutting down");
        assert_eq!(sent(&HELLO), "250 hello");
        assert_eq!(sent(&START_INPUT), "354 start mail input -- end with <CRLF>.<CRLF>");
        assert_eq!(sent(&Reply::lines(250, ["a", "b"])), "250-a|250 b");
        assert_eq!(sent(&Reply::new(554, "5.7.1 spam")), "554 5.7.1 spam");
        assert_eq!(sender_ok("a").for_client(false).into_owned(), sender_ok("a"));
    }

    #[test]
    fn text_from_outside_stays_one_line() {
        let lines: Vec<_> = Reply::new(550, "a\r\n250 b").wire_lines().collect();
        assert_eq!(lines, ["550 a\\r\\n250 b"]);
    }
}
