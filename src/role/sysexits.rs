//! Exit codes of the tools, by the names and numbers of sysexits: what scripts and mail programs look at.

/// A command line that makes no sense (`EX_USAGE`).
pub(crate) const USAGE: u8 = 64;
/// Input that makes no sense, or a message that is not in a state for what is wanted (`EX_DATAERR`).
pub(crate) const DATA: u8 = 65;
/// A file, a message, or a spool directory that is not there (`EX_NOINPUT`).
pub(crate) const NO_INPUT: u8 = 66;
/// Trouble of the system's (`EX_IOERR`).
pub(crate) const SYSTEM: u8 = 74;
/// Trouble that will pass, or a message that another process is at work on: to be tried again (`EX_TEMPFAIL`).
pub(crate) const TEMPORARY: u8 = 75;
/// What the caller may not do (`EX_NOPERM`).
pub(crate) const NOT_PERMITTED: u8 = 77;
