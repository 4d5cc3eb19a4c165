//! A disk that stops working at a chosen operation, and knows what a power cut would have left.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use nix::errno::Errno;

use crate::spool::disk::{Access, Disk, DiskResult, Facts, Hold, Kind, RealDisk, Space};

/// Our own number of a file: inode numbers are used again.
type FileNumber = usize;
type Names = BTreeMap<String, FileNumber>;

pub(crate) struct TestDisk {
    real: RealDisk,
    path: PathBuf,
    /// Path below the first one; empty for that.
    folder: PathBuf,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    operations: usize,
    /// The first operation that does not happen.
    crash_at: Option<usize>,
    /// Operations that give this error, after so many that do not; the disk goes on.
    fail: Option<(Operation, Errno, usize)>,
    /// Operations that panic.
    bug: Option<Operation>,
    /// Files opened so far.
    opened: usize,
    numbers: HashMap<u64, FileNumber>,
    files: usize,
    /// Data that survives a power cut.
    synced: HashMap<FileNumber, Vec<u8>>,
    /// Each directory after its last sync.
    durable: BTreeMap<PathBuf, Names>,
    /// Each change since, in order: the directory and what is in it then.
    changes: Vec<(PathBuf, Names)>,
    before_directory_sync: Option<Box<dyn FnOnce() + Send>>,
    /// After the changes that a sync of the directory makes durable.
    during_directory_sync: Option<Box<dyn FnOnce() + Send>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Open,
    Create,
    Write,
    Preallocate,
    Rename,
    Unlink,
    SyncFile,
    SyncDirectory,
}

impl TestDisk {
    pub(super) fn new(path: &Path) -> Self {
        Self::in_folder(path, PathBuf::new(), Arc::default())
    }

    fn in_folder(path: &Path, folder: PathBuf, state: Arc<Mutex<State>>) -> Self {
        state.lock().unwrap().durable.entry(folder.clone()).or_default();
        Self { real: RealDisk::open(path).unwrap(), path: path.to_owned(), folder, state }
    }

    pub(super) fn crash_after(&self, operations: usize) {
        let mut state = self.lock();
        state.crash_at = Some(state.operations + operations);
    }

    pub(crate) fn fail(&self, operation: Operation, errno: Errno) {
        self.fail_after(0, operation, errno);
    }

    pub(super) fn fail_after(&self, good: usize, operation: Operation, errno: Errno) {
        self.lock().fail = Some((operation, errno, good));
    }

    pub(super) fn before_directory_sync(&self, act: impl FnOnce() + Send + 'static) {
        self.lock().before_directory_sync = Some(Box::new(act));
    }

    pub(super) fn during_directory_sync(&self, act: impl FnOnce() + Send + 'static) {
        self.lock().during_directory_sync = Some(Box::new(act));
    }

    /// How many files have been opened.
    pub(crate) fn opened(&self) -> usize {
        self.lock().opened
    }

    pub(crate) fn panic_at(&self, operation: Operation) {
        self.lock().bug = Some(operation);
    }

    pub(crate) fn heal(&self) {
        let mut state = self.lock();
        (state.fail, state.bug) = (None, None);
    }

    pub(super) fn crashed(&self) -> bool {
        let state = self.lock();
        state.crash_at.is_some_and(|limit| state.operations > limit)
    }

    /// Number of directory changes that a power cut may or may not have lost.
    pub(super) fn unsynced_changes(&self) -> usize {
        self.lock().changes.len()
    }

    /// Writes the directories as they are after a power cut: the first `kept` changes that were not synced reached the disk,
    /// and of the files what was synced. False: the background has synced meanwhile and there is no such state any more.
    pub(super) fn power_cut(&self, kept: usize, target: &Path) -> bool {
        let state = self.lock();
        let Some(kept) = state.changes.get(..kept) else { return false };
        for (folder, names) in &state.durable {
            let last = kept.iter().rev().find(|(changed, _)| changed == folder).map(|(_, names)| names);
            fs::create_dir_all(target.join(folder)).unwrap();
            for (name, number) in last.unwrap_or(names) {
                let data = state.synced.get(number).cloned().unwrap_or_default();
                fs::write(target.join(folder).join(name), data).unwrap();
            }
        }
        true
    }

    /// The directories as a killed process leaves them.
    pub(super) fn killed(&self, target: &Path) {
        copy_all(&self.path, target);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn alive(&self) -> DiskResult<()> {
        if self.crashed() { Err(Errno::EIO) } else { Ok(()) }
    }

    /// Counts an operation that changes something.
    fn step(&self, operation: Operation) -> DiskResult<()> {
        self.alive()?;
        self.faultless(operation)?;
        let mut state = self.lock();
        state.operations += 1;
        let limit = state.crash_at;
        if limit.is_some_and(|limit| state.operations > limit) { Err(Errno::EIO) } else { Ok(()) }
    }

    /// Unless it is to fail.
    fn faultless(&self, operation: Operation) -> DiskResult<()> {
        let bug = self.lock().bug;
        assert!(bug != Some(operation), "a bug at {operation:?}");
        if let Some((failing, errno, good)) = &mut self.lock().fail
            && *failing == operation
        {
            if *good == 0 {
                return Err(*errno);
            }
            *good -= 1;
        }
        Ok(())
    }

    fn change(&self, change: impl FnOnce(&mut Names)) {
        let mut state = self.lock();
        let mut names = state.names(&self.folder);
        change(&mut names);
        state.changes.push((self.folder.clone(), names));
    }
}

impl State {
    /// What is in a directory now.
    fn names(&self, folder: &Path) -> Names {
        let last = self.changes.iter().rev().find(|(changed, _)| changed == folder).map(|(_, names)| names);
        last.or_else(|| self.durable.get(folder)).cloned().unwrap_or_default()
    }
}

fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_all(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

impl Disk for TestDisk {
    fn create(&self, name: &str) -> DiskResult<File> {
        self.step(Operation::Create)?;
        let file = self.real.create(name)?;
        let number = {
            let mut state = self.lock();
            state.files += 1;
            let number = state.files;
            state.numbers.insert(file.metadata().unwrap().ino(), number);
            number
        };
        self.change(|names| _ = names.insert(name.to_owned(), number));
        Ok(file)
    }

    fn open(&self, name: &str, access: Access) -> DiskResult<(File, Facts)> {
        self.alive()?;
        self.faultless(Operation::Open)?;
        self.lock().opened += 1;
        self.real.open(name, access)
    }

    fn write(&self, file: &File, data: &[u8]) -> DiskResult<()> {
        let before = self.crashed();
        if let Err(error) = self.step(Operation::Write) {
            // The kill, or the end of the space, came in the middle of it.
            if !before {
                let _ = self.real.write(file, &data[..data.len() / 2]);
            }
            return Err(error);
        }
        self.real.write(file, data)
    }

    fn read(&self, file: &File, limit: usize) -> DiskResult<Vec<u8>> {
        self.alive()?;
        self.real.read(file, limit)
    }

    fn preallocate(&self, file: &File, bytes: u64) -> DiskResult<()> {
        self.step(Operation::Preallocate)?;
        self.real.preallocate(file, bytes)
    }

    fn facts(&self, file: &File) -> DiskResult<Facts> {
        self.alive()?;
        self.real.facts(file)
    }

    fn facts_at(&self, name: &str) -> DiskResult<Facts> {
        self.alive()?;
        self.real.facts_at(name)
    }

    fn try_lock(&self, file: &File) -> DiskResult<bool> {
        self.alive()?;
        self.real.try_lock(file)
    }

    fn rename(&self, from: &str, to: &str) -> DiskResult<()> {
        self.step(Operation::Rename)?;
        self.real.rename(from, to)?;
        self.change(|names| {
            let number = names.remove(from).unwrap();
            names.insert(to.to_owned(), number);
        });
        Ok(())
    }

    fn replace(&self, from: &str, to: &str) -> DiskResult<()> {
        self.step(Operation::Rename)?;
        self.real.replace(from, to)?;
        self.change(|names| {
            let number = names.remove(from).unwrap();
            names.insert(to.to_owned(), number);
        });
        Ok(())
    }

    fn unlink(&self, name: &str) -> DiskResult<()> {
        self.step(Operation::Unlink)?;
        self.real.unlink(name)?;
        self.change(|names| _ = names.remove(name));
        Ok(())
    }

    fn sync_file(&self, file: &File) -> DiskResult<()> {
        self.step(Operation::SyncFile)?;
        let data = self.real.read(file, usize::MAX)?;
        let mut state = self.lock();
        let number = state.numbers[&file.metadata().unwrap().ino()];
        state.synced.insert(number, data);
        Ok(())
    }

    fn sync_directory(&self) -> DiskResult<()> {
        let act = self.lock().before_directory_sync.take();
        if let Some(act) = act {
            act();
        }
        self.step(Operation::SyncDirectory)?;
        let mut state = self.lock();
        let now = state.names(&self.folder);
        state.durable.insert(self.folder.clone(), now);
        state.changes.retain(|(folder, _)| *folder != self.folder);
        let act = state.during_directory_sync.take();
        drop(state);
        if let Some(act) = act {
            act();
        }
        Ok(())
    }

    fn list(&self, folder: Option<&str>, each: &mut dyn FnMut(&str, Kind)) -> DiskResult<()> {
        self.alive()?;
        self.real.list(folder, each)
    }

    fn space(&self) -> DiskResult<Space> {
        self.alive()?;
        self.real.space()
    }

    fn refresh(&self) -> DiskResult<()> {
        self.real.refresh()
    }

    fn make_folder(&self, name: &str) -> DiskResult<()> {
        self.step(Operation::Create)?;
        self.real.make_folder(name)
    }

    /// What happens in a folder is counted and kept as well.
    fn open_folder(&self, name: &str) -> DiskResult<Arc<dyn Disk>> {
        self.alive()?;
        self.real.open_folder(name)?;
        let folder = self.folder.join(name);
        Ok(Arc::new(Self::in_folder(&self.path.join(name), folder, Arc::clone(&self.state))))
    }

    fn follow_folder(&self, name: &str) -> DiskResult<Arc<dyn Disk>> {
        self.alive()?;
        self.real.follow_folder(name)
    }

    fn handle(&self) -> Arc<File> {
        self.real.handle()
    }

    fn link_from(&self, source: &dyn Disk, from: &str, to: &str) -> DiskResult<()> {
        self.step(Operation::Create)?;
        self.real.link_from(source, from, to)?;
        let inode = self.real.facts_at(to)?.inode;
        let number = self.lock().numbers[&inode];
        self.change(|names| _ = names.insert(to.to_owned(), number));
        Ok(())
    }

    fn move_to(&self, from: &str, target: &dyn Disk, to: &str) -> DiskResult<()> {
        self.step(Operation::Rename)?;
        self.real.move_to(from, target, to)?;
        let inode = target.facts_at(to)?.inode;
        let number = self.lock().numbers[&inode];
        // The target's part of it is noted first: the file is never nowhere.
        let mut state = self.lock();
        let mut names = state.names(&self.folder.with_file_name("new"));
        names.insert(to.to_owned(), number);
        state.changes.push((self.folder.with_file_name("new"), names));
        drop(state);
        self.change(|names| _ = names.remove(from));
        Ok(())
    }

    fn copy(&self, from: &File, to: &File) -> DiskResult<()> {
        self.write(to, &self.read(from, usize::MAX)?)
    }

    fn hold(&self) -> DiskResult<Option<Hold>> {
        self.alive()?;
        self.real.hold()
    }
}
