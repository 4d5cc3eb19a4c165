//! Limits of the client: what a server can make us hold, and how much we send at once.

/// Longest reply line in bytes, its CRLF included. RFC 5321 section 4.5.3.1.5 asks for 512; servers exceed it.
pub const MAX_REPLY_LINE: usize = 4096;

/// Longest reply in bytes, all its lines together.
pub const MAX_REPLY: usize = 20_000;

/// A reply line longer than this many bytes (without CRLF) is accepted but logged, once per session.
pub const LONG_REPLY_LINE: usize = 1000;

/// Reply text in bytes kept for each refused recipient, so that a message with thousands of them stays small.
pub const MAX_RECIPIENT_TEXT: usize = 512;

/// Most RCPT commands whose replies are outstanding at any time.
pub const MAX_GROUP_RECIPIENTS: usize = 100;

/// Most bytes of commands whose replies are outstanding at any time, unless a single command is longer.
pub const MAX_GROUP_BYTES: usize = 32 * 1024;

/// Bytes of content in a BDAT chunk: what E-MailRelay has always sent.
pub const CHUNK_SIZE: u64 = 1_000_000;

/// Content is collected until there are at least this many bytes to write, or the content ends.
pub const CONTENT_BUFFER: usize = 16 * 1024;
