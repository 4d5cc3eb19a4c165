//! Replies: every fixed text is here. Clients and log matchers depend on them; codes in brackets are those of RFC 2449 and
//! RFC 3206.

use crate::smtp::escape;

/// Greeting, with the challenge behind it if APOP is offered.
pub const GREETING: &str = "+OK POP3 server ready";
/// Done.
pub const OK: &str = "+OK";
/// QUIT.
pub const SIGNING_OFF: &str = "+OK signing off";
/// CAPA.
pub const CAPABILITIES: &str = "+OK capability list follows";
/// LANG without an argument.
pub const LANGUAGES: &str = "+OK language list follows";
/// End of a reply of several lines.
pub const END: &str = ".";

/// No command, or none that is possible now.
pub const INVALID_COMMAND: &str = "-ERR invalid command";
/// A word that is missing or makes no sense.
pub const INVALID_ARGUMENT: &str = "-ERR invalid argument";
/// No such message, or it is marked as deleted.
pub const INVALID_ID: &str = "-ERR invalid id";
/// A line over the limit.
pub const LINE_TOO_LONG: &str = "-ERR line too long";
/// USER and PASS where passwords may not be sent.
pub const NO_PLAIN: &str = "-ERR no SASL PLAIN mechanism to do USER/PASS authentication";
/// AUTH with a mechanism that is not offered.
pub const INVALID_MECHANISM: &str = "-ERR invalid mechanism";
/// AUTH with an initial response where the server speaks first.
pub const INVALID_INITIAL: &str = "-ERR invalid initial response";
/// A response that is not base64.
pub const INVALID_BASE64: &str = "-ERR invalid base64 encoding";
/// `*` in an exchange (RFC 5034 §4).
pub const CANCELLED: &str = "-ERR authentication cancelled";
/// Nobody logs in in clear.
pub const MUST_USE_STLS: &str = "-ERR must use STLS before authentication";
/// STLS in an encrypted session.
pub const ALREADY_TLS: &str = "-ERR [SYS/PERM] already using tls";
/// STLS behind UTF8 (RFC 6856 §2.1).
pub const STLS_AFTER_UTF8: &str = "-ERR STLS must come before UTF8";
/// LANG with a language that we do not have.
pub const INVALID_LANGUAGE: &str = "-ERR invalid language";
/// Wrong name or password (RFC 3206).
pub const DENIED: &str = "-ERR [AUTH] authentication failed";
/// The last failed login of a connection.
pub const TOO_MANY_FAILURES: &str = "-ERR [AUTH] too many failures";
/// The accounts cannot be asked now.
pub const AUTH_UNAVAILABLE: &str = "-ERR [SYS/TEMP] authentication unavailable";
/// Another session has the mailbox (RFC 2449 §8.1.1).
pub const IN_USE: &str = "-ERR [IN-USE] mailbox is in use";
/// The mailbox cannot be read.
pub const UNAVAILABLE: &str = "-ERR [SYS/TEMP] mailbox unavailable";
/// The user's name cannot be that of a mailbox.
pub const INVALID_MAILBOX: &str = "-ERR [SYS/PERM] invalid mailbox name";
/// Somebody else has removed the message.
pub const GONE: &str = "-ERR [SYS/TEMP] message is gone";
/// The message cannot be opened.
pub const UNREADABLE: &str = "-ERR [SYS/TEMP] message cannot be read";
/// QUIT, when messages that were to be deleted stay.
pub const NOT_REMOVED: &str = "-ERR [SYS/PERM] some deleted messages not removed";
/// Nothing was received for too long.
pub const IDLE_TIMEOUT: &str = "-ERR [SYS/TEMP] idle timeout";
/// A limit on connections.
pub const TOO_MANY_CONNECTIONS: &str = "-ERR [SYS/TEMP] too many connections";
/// The server stops.
pub const SHUTTING_DOWN: &str = "-ERR [SYS/TEMP] server is shutting down";
/// A bug of ours.
pub const LOCAL_ERROR: &str = "-ERR [SYS/TEMP] local error";

/// USER.
pub(super) fn user(name: &[u8]) -> String {
    format!("+OK user: {}", escape::reply_text(&String::from_utf8_lossy(name)))
}

/// Behind a challenge of the mechanism, in base64.
pub(super) fn challenge(base64: &str) -> String {
    format!("+ {base64}")
}

/// Whether a reply is a refusal.
pub(super) fn is_refusal(line: &str) -> bool {
    line.starts_with('-')
}
