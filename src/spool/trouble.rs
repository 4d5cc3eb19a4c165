//! Destinations that are being left alone, as one forwarder tells the next: a program that is started for every message
//! must not knock at a dead server every time.
//!
//! The file `forward.backoff` has a line `UNTIL FAILURES DESTINATION` for each: the time in seconds since 1970, a number,
//! and an [xtext]. It is advice and no more: without it, or with one that cannot be read, every destination is tried. It
//! is replaced as a whole, never synced, and gone when nobody is in trouble. Several forwarders may write it; that one of
//! them loses a line to another costs one attempt.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use nix::errno::Errno;

use super::disk::Access;
use super::envelope::xtext;
use super::error::SpoolError;
use super::{Spool, control};

pub(super) const FILE: &str = "forward.backoff";
pub(super) const FILE_NEW: &str = "forward.backoff.tmp";

/// Destinations that are remembered; routed mail may have any number.
pub const MAX_TROUBLES: usize = 1000;

/// A destination with a longer name, encoded, is not remembered.
const MAX_NAME: usize = 400;

/// A line has two numbers and their blanks as well.
const MAX_LINE: usize = MAX_NAME + 40;

const ACTION: &str = "note destinations in trouble";

/// What is known of a destination that is in trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Sessions that have failed in a row.
    pub failures: u32,
    /// Until when it is left alone, in seconds since 1970.
    pub until: u64,
}

impl Spool {
    /// The destinations that are being left alone. None if they cannot be read: then each of them is tried.
    #[must_use]
    pub fn troubles(&self) -> BTreeMap<String, Trouble> {
        let disk = &self.shared.disk;
        let Ok((file, _)) = disk.open(FILE, Access::Read) else { return BTreeMap::new() };
        let bytes = disk.read(&file, MAX_TROUBLES * MAX_LINE).unwrap_or_default();
        bytes.split(|byte| *byte == b'\n').filter_map(parse).take(MAX_TROUBLES).collect()
    }

    /// Replaces what is noted of destinations. Of too many those are kept that are to be left alone the longest.
    ///
    /// # Errors
    /// The file could not be written or removed; what was noted before stays.
    pub fn note_troubles(&self, troubles: &BTreeMap<String, Trouble>) -> Result<(), SpoolError> {
        let mut lines: Vec<(u64, String)> = troubles
            .iter()
            .filter_map(|(name, trouble)| Some((trouble.until, line(name, *trouble)?)))
            .collect();
        if lines.is_empty() {
            return self.forget_troubles();
        }
        lines.sort_by_key(|(until, _)| Reverse(*until));
        lines.truncate(MAX_TROUBLES);
        let text: String = lines.into_iter().map(|(_, line)| line).collect();
        control::replace(&*self.shared.disk, FILE_NEW, FILE, text.as_bytes())
            .map_err(|errno| SpoolError { action: ACTION, errno })
    }

    /// Has every destination tried again.
    ///
    /// # Errors
    /// The file could not be removed.
    pub fn forget_troubles(&self) -> Result<(), SpoolError> {
        match self.shared.disk.unlink(FILE) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(SpoolError { action: ACTION, errno }),
        }
    }
}

fn line(name: &str, trouble: Trouble) -> Option<String> {
    let name = xtext::encode(name.as_bytes());
    let good = !name.is_empty() && name.len() <= MAX_NAME;
    good.then(|| format!("{} {} {name}\n", trouble.until, trouble.failures))
}

fn parse(line: &[u8]) -> Option<(String, Trouble)> {
    let mut words = str::from_utf8(line).ok()?.split(' ');
    let (until, failures, name) = (words.next()?, words.next()?, words.next()?);
    let trouble = Trouble { failures: failures.parse().ok()?, until: until.parse().ok()? };
    let name = String::from_utf8(xtext::decode(name)).ok()?;
    let good = words.next().is_none() && !name.is_empty() && trouble.failures > 0;
    good.then_some((name, trouble))
}
