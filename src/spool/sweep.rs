//! Finding and removing what crashes leave behind.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use nix::errno::Errno;

use super::delivery::{TMP, is_maildir_file, open_maildir};
use super::disk::{Access, Disk, Kind};
use super::error::SpoolError;
use super::health::is_probe;
use super::id::{BUSY, CONTENT, FileKind, MessageId, NEW, classify};
use super::needs::{borrowed, has_envelope, stem_of_envelope};
use super::recover::is_older;
use super::{MailboxName, Spool};

/// What [`Spool::sweep`] does with orphans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SweepMode {
    /// Remove those that are old enough.
    Remove,
    /// Tell only.
    Report,
}

/// A file that belongs to no message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Orphan {
    /// Name of the file.
    pub name: String,
    /// What became of it.
    pub fate: Fate,
}

/// What was changed a moment ago is not spoken of: somebody is at work.
const SETTLED: Duration = Duration::from_secs(60);

/// What the sweep did with an orphan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Removed.
    Removed,
    /// Left: not old enough, or only a report was wanted.
    Kept,
    /// It should have been removed but could not be.
    Failed(Errno),
}

impl Spool {
    /// Looks for files that belong to no message: content without an envelope in any state here or in a mailbox
    /// sub-directory, envelopes that were never finished, and temporary files; the same in mailbox sub-directories, where
    /// only files with our names count, and files that a maildir's `tmp` has kept half as long again. Those whose last change is `older_than`
    /// ago or longer and that no process holds locked are removed. 24 hours are usual, which protects E-MailRelay 2.6
    /// and people, who lock nothing.
    ///
    /// # Errors
    /// The spool directory, or a sub-directory that may refer to content, cannot be read; nothing is removed then.
    pub fn sweep(&self, older_than: Duration, mode: SweepMode) -> Result<Vec<Orphan>, SpoolError> {
        let mut found = self.survey()?;
        let sweeper = Sweeper { disk: &*self.shared.disk, older_than, mode };
        let mut orphans = Vec::new();
        for name in std::mem::take(&mut found.unfinished) {
            let Some(orphan) = sweeper.consider(name) else { continue };
            if orphan.fate == Fate::Removed
                && let Some(stem) = orphan.name.strip_suffix(NEW)
            {
                found.drop_envelope(stem);
            }
            orphans.push(orphan);
        }
        found.contents.retain(|stem| !found.envelopes.contains_key(stem));
        if !found.contents.is_empty() {
            self.keep_those_in_mailboxes(&mut found)?;
        }
        orphans.extend(found.contents.iter().filter_map(|stem| sweeper.consider(format!("{stem}{CONTENT}"))));
        for folder in &found.folders {
            orphans.extend(self.sweep_mailbox(folder, older_than, mode)?);
        }
        if orphans.iter().any(|orphan| orphan.fate == Fate::Removed) {
            self.shared.committer.directory_changed();
        }
        Ok(orphans)
    }

    /// Removes messages that their process did not finish: an envelope that was never given its final name, and the content with
    /// it, neither of which is locked, and the envelope untouched for `older_than`. No client was ever told that they are stored. For the start of
    /// a process, which need not wait as long as [`sweep`](Self::sweep) does for other left-overs.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn sweep_unfinished(&self, older_than: Duration) -> Result<Vec<Orphan>, SpoolError> {
        let found = self.messages_of(FileKind::New)?;
        let sweeper = Sweeper { disk: &*self.shared.disk, older_than, mode: SweepMode::Remove };
        let mut orphans = Vec::new();
        for id in found {
            let Some(envelope) = sweeper.consider(id.file(NEW)) else { continue };
            let is_removed = envelope.fate == Fate::Removed;
            orphans.extend(Some(envelope).filter(|envelope| envelope.fate != Fate::Kept));
            if is_removed {
                orphans
                    .extend(sweeper.consider(id.file(CONTENT)).filter(|content| content.fate != Fate::Kept));
            }
        }
        if !orphans.is_empty() {
            self.shared.committer.directory_changed();
        }
        Ok(orphans)
    }

    fn survey(&self) -> Result<Survey, SpoolError> {
        let mut found = Survey::default();
        self.list(None, |name, kind| match (classify(name), kind) {
            (_, Kind::Directory) if matches!(name, "." | "..") => {}
            (_, Kind::Directory) => found.folders.push(name.to_owned()),
            (Some((stem, kind)), _) if !stem.is_empty() => found.add(name, stem, kind),
            _ if is_probe(name) => found.unfinished.push(name.to_owned()),
            _ => found.note_set_aside(name),
        })?;
        Ok(found)
    }

    /// Looks through a sub-directory for what interrupted deliveries have left. People may keep anything there, so only
    /// names that we make are touched.
    fn sweep_mailbox(
        &self,
        folder: &str,
        older_than: Duration,
        mode: SweepMode,
    ) -> Result<Vec<Orphan>, SpoolError> {
        let failed = |errno| SpoolError { action: "list mailbox", errno };
        if folder.parse::<MailboxName>().is_err() {
            return Ok(Vec::new());
        }
        let disk = match self.shared.disk.open_folder(folder) {
            Ok(disk) => disk,
            // Gone, or not ours to look into.
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP | Errno::EACCES) => return Ok(Vec::new()),
            Err(errno) => return Err(failed(errno)),
        };
        let mut found = Survey::default();
        disk.list(None, &mut |name, _| match classify(name) {
            Some((stem, kind)) if is_our_id(stem) => found.add(name, stem, kind),
            _ => found.note_set_aside(name),
        })
        .map_err(failed)?;
        let sweeper = Sweeper { disk: &*disk, older_than, mode };
        let mut orphans = Vec::new();
        for name in std::mem::take(&mut found.unfinished) {
            let Some(orphan) = sweeper.consider(name) else { continue };
            if orphan.fate == Fate::Removed
                && let Some(stem) = orphan.name.strip_suffix(NEW)
            {
                found.drop_envelope(stem);
            }
            orphans.push(orphan);
        }
        found.contents.retain(|stem| !found.envelopes.contains_key(stem));
        orphans.extend(found.contents.iter().filter_map(|stem| sweeper.consider(format!("{stem}{CONTENT}"))));
        if let Ok(Some(maildir)) = open_maildir(&*disk) {
            orphans.extend(sweep_maildir(&*maildir.tmp, older_than + older_than / 2, mode).map_err(failed)?);
        }
        for orphan in &mut orphans {
            orphan.name = format!("{folder}/{}", orphan.name);
        }
        Ok(orphans)
    }

    /// Messages delivered to mailboxes may have their envelope there and their content here; those that have both there
    /// need nothing here.
    fn keep_those_in_mailboxes(&self, found: &mut Survey) -> Result<(), SpoolError> {
        for folder in &found.folders {
            let needed = borrowed(&*self.shared.disk, folder, |stem| found.contents.contains(stem));
            for stem in needed.map_err(|errno| SpoolError { action: "list spool directory", errno })? {
                found.contents.remove(&stem);
            }
        }
        Ok(())
    }
}

/// What is in the spool directory.
#[derive(Default)]
struct Survey {
    contents: HashSet<String>,
    /// Number of envelope files by stem, for stems that may be orphans.
    envelopes: HashMap<String, u32>,
    unfinished: Vec<String>,
    folders: Vec<String>,
}

impl Survey {
    fn add(&mut self, name: &str, stem: &str, kind: FileKind) {
        match kind {
            FileKind::Content => drop(self.contents.insert(stem.to_owned())),
            FileKind::Temporary => self.unfinished.push(name.to_owned()),
            FileKind::New => {
                self.unfinished.push(name.to_owned());
                *self.envelopes.entry(stem.to_owned()).or_default() += 1;
            }
            FileKind::Ready | FileKind::Busy | FileKind::Bad | FileKind::Held => {
                *self.envelopes.entry(stem.to_owned()).or_default() += 1;
            }
        }
    }

    /// An envelope that somebody has set aside under a name of their own, such as `ID.envelope.hold`, needs its content.
    fn note_set_aside(&mut self, name: &str) {
        if let Some(stem) = stem_of_envelope(name) {
            *self.envelopes.entry(stem.to_owned()).or_default() += 1;
        }
    }

    fn drop_envelope(&mut self, stem: &str) {
        if let Some(count) = self.envelopes.get_mut(stem) {
            *count -= 1;
            if *count == 0 {
                self.envelopes.remove(stem);
            }
        }
    }
}

/// Files of a maildir that were never finished.
fn sweep_maildir(tmp: &dyn Disk, older_than: Duration, mode: SweepMode) -> Result<Vec<Orphan>, Errno> {
    let mut names = Vec::new();
    tmp.list(None, &mut |name, _| {
        if is_maildir_file(name) {
            names.push(name.to_owned());
        }
    })?;
    let sweeper = Sweeper { disk: tmp, older_than, mode };
    let orphans = names.into_iter().filter_map(|name| sweeper.consider(name));
    Ok(orphans.map(|orphan| Orphan { name: format!("{TMP}/{}", orphan.name), ..orphan }).collect())
}

/// The id is one that we make.
fn is_our_id(stem: &str) -> bool {
    stem.parse::<MessageId>().is_ok_and(|id| id.order().is_some())
}

struct Sweeper<'a> {
    disk: &'a dyn Disk,
    older_than: Duration,
    mode: SweepMode,
}

impl Sweeper<'_> {
    /// None: no orphan after all.
    fn consider(&self, name: String) -> Option<Orphan> {
        let fate = self.examine(&name).unwrap_or_else(|errno| Some(Fate::Failed(errno)))?;
        Some(Orphan { name, fate })
    }

    fn examine(&self, name: &str) -> Result<Option<Fate>, Errno> {
        let facts = match self.disk.facts_at(name) {
            Err(Errno::ENOENT) => return Ok(None),
            facts => facts?,
        };
        if !is_older(facts.changed, self.older_than.min(SETTLED)) {
            return Ok(None);
        }
        let (file, facts) = self.disk.open(name, Access::Edit)?;
        if !self.disk.try_lock(&file)? || self.has_owner(name)? {
            return Ok(None);
        }
        // It may have been replaced, or been committed since the directory was listed.
        if !self.disk.facts_at(name)?.same_file(&facts) || self.has_envelope(name) {
            return Ok(None);
        }
        if self.mode == SweepMode::Report || !is_older(facts.changed, self.older_than) {
            return Ok(Some(Fate::Kept));
        }
        self.disk.unlink(name)?;
        Ok(Some(Fate::Removed))
    }

    /// The owner of a new message holds its content, that of a message being sent its envelope.
    fn has_owner(&self, name: &str) -> Result<bool, Errno> {
        match classify(name) {
            Some((stem, FileKind::New | FileKind::Temporary)) => Ok(self
                .is_locked(&format!("{stem}{CONTENT}"))?
                || self.is_locked(&format!("{stem}{BUSY}"))?),
            _ => Ok(false),
        }
    }

    fn is_locked(&self, name: &str) -> Result<bool, Errno> {
        match self.disk.open(name, Access::Edit) {
            Ok((file, _)) => Ok(!self.disk.try_lock(&file)?),
            Err(Errno::ENOENT) => Ok(false),
            Err(errno) => Err(errno),
        }
    }

    /// A content file that got an envelope: the last look before it is removed.
    fn has_envelope(&self, name: &str) -> bool {
        let Some((stem, FileKind::Content)) = classify(name) else { return false };
        stem.parse().is_ok_and(|id| has_envelope(self.disk, &id).unwrap_or(true))
    }
}
