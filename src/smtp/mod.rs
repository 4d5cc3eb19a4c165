//! The SMTP protocol without I/O: grammar, replies, and the [`server`] and [`client`] sessions.
//!
//! Nothing here opens a socket or a file, reads a clock or the environment: bytes, answers and the time come in as
//! values and everything that is to be done comes out as values. That is what makes each rule of the protocol
//! testable at any split of the input and at any pace.
//!
//! | module | what | source |
//! |---|---|---|
//! | [`mod@line`] | command lines out of bytes, their limits | RFC 5321 §2.3.8, §4.5.3.1.4 |
//! | [`command`] | verbs and their arguments | RFC 5321 §4.1.1 |
//! | [`path`], [`params`] | addresses and parameters of MAIL and RCPT | RFC 5321 §4.1.2, RFC 1870, 4954, 6152, 6531 |
//! | [`strict`] | the letter of their grammar, where that is wanted | RFC 5321 §4.1.2, §4.5.3.1 |
//! | [`data`] | dot-unstuffing, end of data, bare line ends | RFC 5321 §4.5.2 |
//! | [`received`] | the trace line in front of a message | RFC 5321 §4.4 |
//! | [`reply`], [`extension`] | replies of the server with their status codes, keywords of EHLO | RFC 5321 §4.2, §4.1.1.1, RFC 2034 |
//! | [`escape`], [`xtext`], [`idn`] | encodings | RFC 3461 §4, UTS 46 |

pub mod client;
pub mod command;
pub mod data;
pub mod escape;
pub mod extension;
pub mod idn;
pub mod line;
pub mod params;
pub mod path;
pub mod received;
pub mod reply;
pub mod server;
mod status;
pub mod strict;
pub mod xtext;

/// What a message declares its body to be: `BODY=` of MAIL (RFC 6152 §2, RFC 3030 §3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Body {
    /// `7BIT`.
    SevenBit,
    /// `8BITMIME`.
    EightBit,
    /// `BINARYMIME`.
    BinaryMime,
    /// Not declared, or with a word we do not know.
    #[default]
    Unknown,
}

impl Body {
    /// The body that a value of `BODY=` names, in any case.
    pub fn from_parameter(value: &[u8]) -> Self {
        match value {
            v if v.eq_ignore_ascii_case(b"7BIT") => Self::SevenBit,
            v if v.eq_ignore_ascii_case(b"8BITMIME") => Self::EightBit,
            v if v.eq_ignore_ascii_case(b"BINARYMIME") => Self::BinaryMime,
            _ => Self::Unknown,
        }
    }

    /// The value of `BODY=` for this body; none when it was not declared.
    pub const fn as_parameter(self) -> Option<&'static str> {
        match self {
            Self::SevenBit => Some("7BIT"),
            Self::EightBit => Some("8BITMIME"),
            Self::BinaryMime => Some("BINARYMIME"),
            Self::Unknown => None,
        }
    }
}
