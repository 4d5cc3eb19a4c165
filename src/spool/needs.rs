//! Who needs the content of a message: every envelope of its name, in whatever state, beside it or in a sub-directory that has
//! no content of its own for it (`copy:pop`, `emailrelay-submit --copy`).
//!
//! Whoever removes an envelope asks afterwards whether another one is left, and removes the content only if not. Of two who
//! do so at the same time at least one sees that there is none.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::disk::{Disk, Kind};
use super::id::{CONTENT, FileKind, MessageId, NEW, STATES, classify};
use super::{Shared, unix_time};

/// What stands between id and state in the name of an envelope in any state.
const SET_ASIDE: &str = ".envelope.";

/// What was seen in the sub-directories is used for so long, and no longer: the clock may be set back meanwhile.
const KEPT: Duration = Duration::from_secs(60);

/// Time stamps of files may be that much behind the clock.
const COARSE: Duration = Duration::from_millis(100);

/// Links of a directory without sub-directories, where the file system counts them.
const NO_FOLDERS: u64 = 2;

/// Whether a directory has an envelope of this message, in any state. A message can go back and forth between two names
/// while we look, so each is looked at twice.
pub(super) fn has_envelope(disk: &dyn Disk, id: &MessageId) -> Result<bool, Errno> {
    has_any(disk, id, STATES.iter().chain(&STATES))
}

/// The same for envelopes of accepted messages.
pub(super) fn has_accepted(disk: &dyn Disk, id: &MessageId) -> Result<bool, Errno> {
    has_any(disk, id, STATES.iter().chain(&STATES).filter(|suffix| **suffix != NEW))
}

fn has_any<'a>(
    disk: &dyn Disk,
    id: &MessageId,
    suffixes: impl Iterator<Item = &'a &'static str>,
) -> Result<bool, Errno> {
    for suffix in suffixes {
        match disk.facts_at(&id.file(suffix)) {
            Ok(_) => return Ok(true),
            Err(Errno::ENOENT) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(false)
}

/// The message that a file belongs to, if it is an envelope in any state, one that people have made up included.
pub(super) fn stem_of_envelope(name: &str) -> Option<&str> {
    match classify(name) {
        Some((_, FileKind::Content | FileKind::Temporary)) => None,
        Some((stem, _)) => Some(stem),
        None => name.rfind(SET_ASIDE).and_then(|at| name.get(..at)),
    }
}

/// Those of the wanted messages of which a sub-directory has an envelope but no content: it needs the one above. None, if
/// the sub-directory has gone meanwhile.
pub(super) fn borrowed(
    disk: &dyn Disk,
    folder: &str,
    wanted: impl Fn(&str) -> bool,
) -> Result<Vec<String>, Errno> {
    let (mut envelopes, mut contents) = (Vec::new(), HashSet::new());
    let listed = disk.list(Some(folder), &mut |name, _| {
        if let Some(stem) = stem_of_envelope(name) {
            if wanted(stem) {
                envelopes.push(stem.to_owned());
            }
        } else if let Some(stem) = name.strip_suffix(CONTENT)
            && wanted(stem)
        {
            contents.insert(stem.to_owned());
        }
    });
    match listed {
        Ok(()) => {}
        // It was no directory, or is none any more.
        Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => return Ok(Vec::new()),
        Err(errno) => return Err(errno),
    }
    envelopes.retain(|stem| !contents.contains(stem));
    Ok(envelopes)
}

/// The directory above, if it has content of this message: this one is a mailbox then, and shares it.
pub(super) fn above(disk: &dyn Disk, id: &MessageId) -> Option<Arc<dyn Disk>> {
    let above = disk.open_folder("..").ok()?;
    let regular = above.facts_at(&id.file(CONTENT)).is_ok_and(|facts| facts.regular);
    regular.then_some(above)
}

/// Whether any envelope is left that needs content in this directory. All sub-directories are read.
pub(super) fn is_needed_in(disk: &dyn Disk, id: &MessageId) -> Result<bool, Errno> {
    if has_envelope(disk, id)? {
        return Ok(true);
    }
    let stem = id.to_string();
    for folder in folders(disk, |_| {})? {
        if !borrowed(disk, &folder, |other| other == stem)?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The sub-directories; other names are given to `each`.
fn folders(disk: &dyn Disk, mut each: impl FnMut(&str)) -> Result<Vec<String>, Errno> {
    let mut folders = Vec::new();
    disk.list(None, &mut |name, kind| match kind {
        Kind::Directory if matches!(name, "." | "..") => {}
        Kind::Directory => folders.push(name.to_owned()),
        Kind::File | Kind::Other => each(name),
    })?;
    Ok(folders)
}

/// What mailboxes need of the messages in the spool directory, as it was a moment ago.
#[derive(Debug, Default)]
pub(super) struct Needs(Mutex<Option<Known>>);

#[derive(Debug)]
struct Known {
    /// The sub-directories.
    folders: Vec<String>,
    /// Messages of the spool directory whose content is needed by sub-directories, with the numbers of these.
    shared: HashMap<MessageId, Vec<usize>>,
    /// When that was looked at, since 1970.
    taken: Duration,
    at: Instant,
    /// The directory's number of links tells how many sub-directories there are.
    counts: bool,
}

impl Shared {
    /// Whether any envelope is left that needs the content of a message, of which one envelope was just removed. Since `since`,
    /// a time since 1970, nobody has made copies of it: what is known from later than that need not be looked at again. So
    /// a whole queue costs one look at the mailboxes, and no look at all where there are none.
    pub(super) fn is_needed(&self, id: &MessageId, since: Duration) -> Result<bool, Errno> {
        if has_envelope(&*self.disk, id)? {
            return Ok(true);
        }
        let mut last = self.needs.0.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_ref().is_some_and(|known| known.counts) && self.disk.facts_at(".")?.links == NO_FOLDERS {
            return Ok(false);
        }
        let usable = |known: &Known| known.taken >= since.saturating_add(COARSE) && known.at.elapsed() < KEPT;
        let known = match last.take().filter(usable) {
            Some(known) => last.insert(known),
            None => last.insert(self.survey(id)?),
        };
        for folder in known.shared.get(id).into_iter().flatten().filter_map(|at| known.folders.get(*at)) {
            if self.needs_still(folder, id)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A user may have deleted it since.
    fn needs_still(&self, folder: &str, id: &MessageId) -> Result<bool, Errno> {
        if self.disk.open_folder(folder).is_ok_and(|folder| has_envelope(&*folder, id) == Ok(true)) {
            return Ok(true);
        }
        let stem = id.to_string();
        Ok(!borrowed(&*self.disk, folder, |other| other == stem)?.is_empty())
    }

    /// Takes away from `ids` those whose content is needed by a mailbox. All sub-directories are read once.
    pub(super) fn drop_needed(&self, ids: &mut HashSet<MessageId>) -> Result<(), Errno> {
        if ids.is_empty() {
            return Ok(());
        }
        for folder in folders(&*self.disk, |_| {})? {
            let wanted = |stem: &str| stem.parse().is_ok_and(|id: MessageId| ids.contains(&id));
            for id in borrowed(&*self.disk, &folder, wanted)?.iter().filter_map(|stem| stem.parse().ok()) {
                ids.remove(&id);
            }
        }
        Ok(())
    }

    fn survey(&self, also: &MessageId) -> Result<Known, Errno> {
        let (taken, at) = (unix_time(), Instant::now());
        let links = self.disk.facts_at(".")?.links;
        let mut ours = HashSet::from([also.clone()]);
        let note = |name: &str| ours.extend(stem_of_envelope(name).and_then(|stem| stem.parse().ok()));
        let folders = folders(&*self.disk, note)?;
        let mut shared: HashMap<MessageId, Vec<usize>> = HashMap::new();
        for (at, folder) in folders.iter().enumerate() {
            let wanted = |stem: &str| stem.parse().is_ok_and(|id: MessageId| ours.contains(&id));
            for id in borrowed(&*self.disk, folder, wanted)?.iter().filter_map(|stem| stem.parse().ok()) {
                shared.entry(id).or_default().push(at);
            }
        }
        let counts = links == NO_FOLDERS.saturating_add(folders.len() as u64);
        Ok(Known { folders, shared, taken, at, counts })
    }
}
