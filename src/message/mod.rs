//! Internet messages as text (RFC 5322, with UTF-8 as in RFC 6532): header blocks, address lists, dates and message ids.
//!
//! Pure: no files, no clock, no environment; the time is a value given by the caller. Input is bytes, because real
//! headers are not always UTF-8, and nothing here panics or allocates more than a small multiple of its input.
//!
//! | module | what |
//! |---|---|
//! | [`header`] | a header block: finding, adding, removing and replacing fields |
//! | [`list`] | the address-list grammar |
//! | [`address`] | one address: its envelope form, checks, A-labels |
//! | [`date`] | `Date:` and `Message-ID:` values |
//! | [`hops`] | how often a message has been handed on |
//! | [`line_ends`] | CRLF for every line |
//! | [`report`] | delivery status notifications |

pub mod address;
pub mod date;
pub mod header;
pub mod hops;
mod lexer;
pub mod line_ends;
pub mod list;
pub mod report;

pub use address::Address;
pub use header::{Field, Headers};
pub use line_ends::LineEnds;
pub use list::{HeaderError, ListError};
