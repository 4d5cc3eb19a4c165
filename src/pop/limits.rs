//! Limits of a session: what a peer can make grow, or make us wait for, ends here.

use std::time::Duration;

/// Longest command line before login, line end included (RFC 2449 §4).
pub const MAX_LINE_BEFORE: usize = 255;
/// Longest line in an exchange (RFC 5034 §4).
pub const MAX_LINE_SASL: usize = 12_290;
/// Longest command line after login.
pub const MAX_LINE_AFTER: usize = 512;
/// Lines over their limit in a connection; the last is answered, then the session closes.
pub const MAX_LONG_LINES: u8 = 10;
/// Bytes of one line after which the peer is not talking POP and is cut off.
pub const MAX_UNENDED: usize = 64 * 1024;
/// Refusals in a row; one more closes the session.
pub const MAX_ERRORS: u16 = 50;
/// Failed logins of a connection; the last is answered, then the session closes.
pub const MAX_FAILURES: u8 = 3;
/// Longest silence before login, if the configured limit is not shorter.
pub const MAX_IDLE_BEFORE_LOGIN: Duration = Duration::from_secs(60);
/// Longest time until login, whatever is said.
pub const MAX_LOGIN_TIME: Duration = Duration::from_secs(120);
/// Bytes of replies waiting to be fetched at which no more input is taken.
pub(super) const MAX_QUEUED: usize = 16 * 1024;
/// Content comes in blocks of at most so many bytes, and lists go out in blocks of about as many.
pub const BLOCK: usize = 64 * 1024;
/// Longest name in UIDL (RFC 1939 §7).
pub(super) const MAX_UNIQUE_ID: usize = 70;
