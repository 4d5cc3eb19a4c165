//! forward
pub mod backoff;
pub mod outcome;
#[cfg(test)]
mod transcripts;
