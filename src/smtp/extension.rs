//! Keywords of the EHLO reply (RFC 5321 §4.1.1.1).

/// RFC 1870: followed by the size limit in bytes.
pub const SIZE: &str = "SIZE";
/// RFC 4954 §3: followed by the mechanisms.
pub const AUTH: &str = "AUTH";
/// RFC 3207 §2.
pub const STARTTLS: &str = "STARTTLS";
/// RFC 5321 §3.5.
pub const VRFY: &str = "VRFY";
/// RFC 3030 §2.
pub const CHUNKING: &str = "CHUNKING";
/// RFC 3030 §3.
pub const BINARYMIME: &str = "BINARYMIME";
/// RFC 2920.
pub const PIPELINING: &str = "PIPELINING";
/// RFC 6531.
pub const SMTPUTF8: &str = "SMTPUTF8";
/// RFC 2034 §3.
pub const ENHANCED_STATUS_CODES: &str = "ENHANCEDSTATUSCODES";
/// RFC 6152.
pub const EIGHT_BIT_MIME: &str = "8BITMIME";
