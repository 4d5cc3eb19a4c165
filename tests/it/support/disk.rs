//! A disk that remembers in which order it was written and flushed, to be cut off from power at any moment.
//!
//! The disk is a single file that this process serves to the kernel by FUSE; a loop device on the file carries a real
//! ext4. Writes and flushes come here in the order in which the kernel makes them. After a power cut everything is there
//! that was written before the last flush; of what was written since, any part.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use super::dice::Dice;
use super::need;

/// Of the disk, bytes.
const SIZE: usize = 32 << 20;
/// What a disk writes in one go, or not at all.
const BLOCK: usize = 4096;
/// Longest write that the kernel may send.
const MAX_WRITE: u32 = 128 * 1024;

/// Request codes of the FUSE protocol, version 7.
mod opcode {
    pub(super) const FORGET: u32 = 2;
    pub(super) const GETATTR: u32 = 3;
    pub(super) const SETATTR: u32 = 4;
    pub(super) const OPEN: u32 = 14;
    pub(super) const READ: u32 = 15;
    pub(super) const WRITE: u32 = 16;
    pub(super) const STATFS: u32 = 17;
    pub(super) const RELEASE: u32 = 18;
    pub(super) const FSYNC: u32 = 20;
    pub(super) const INIT: u32 = 26;
    pub(super) const BATCH_FORGET: u32 = 42;
}

enum Event {
    Write(usize, Vec<u8>),
    Flush,
}

struct State {
    now: Vec<u8>,
    events: Vec<Event>,
}

/// The disk, with a file system mounted from it. All is taken apart when dropped.
pub(crate) struct RecordingDisk {
    state: Arc<Mutex<State>>,
    base: Vec<u8>,
    mounted: Option<Mounted>,
    dir: tempfile::TempDir,
}

/// What has to be undone, in this order.
struct Mounted {
    directory: PathBuf,
    device: String,
    image: PathBuf,
    server: Option<JoinHandle<()>>,
}

impl RecordingDisk {
    /// What a test must `require!`.
    pub(crate) fn needs() -> Option<String> {
        let programs = ["mkfs.ext4", "losetup", "mount", "umount"].into_iter().find_map(need::program);
        need::root().or(programs)
    }

    /// What the kernel of this machine does not give, and no package brings: the test is skipped, also in CI.
    pub(crate) fn kernel_lacks() -> bool {
        let missing = ["/dev/fuse", "/dev/loop-control"].into_iter().find_map(need::file);
        missing.inspect(|missing| eprintln!("SKIPPED power cuts: no {missing}")).is_some()
    }

    /// A new file system, mounted on an existing directory.
    pub(crate) fn mount(directory: &Path) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (blank, image) = (dir.path().join("blank"), dir.path().join("image"));
        File::create(&blank).unwrap().set_len(SIZE as u64).unwrap();
        let lazy = "lazy_itable_init=0,lazy_journal_init=0,nodiscard";
        run(Command::new(need::path("mkfs.ext4"))
            .args(["-q", "-F", "-b", "4096", "-J", "size=4", "-E", lazy])
            .arg(&blank));
        let base = std::fs::read(&blank).unwrap();
        let state = Arc::new(Mutex::new(State { now: base.clone(), events: Vec::new() }));
        File::create(&image).unwrap();
        let fuse = OpenOptions::new().read(true).write(true).open("/dev/fuse").unwrap();
        let options = "fd=0,rootmode=100000,user_id=0,group_id=0";
        let mut mount = Command::new(need::path("mount"));
        mount.args(["-i", "-t", "fuse", "-o", options, "recording-disk"]).arg(&image);
        run(mount.stdin(Stdio::from(fuse.try_clone().unwrap())));
        let for_thread = Arc::clone(&state);
        let server = std::thread::spawn(move || serve(fuse, &for_thread));
        let mut mounted = Mounted {
            directory: directory.to_owned(),
            device: String::new(),
            image: image.clone(),
            server: Some(server),
        };
        mounted.device = run(Command::new(need::path("losetup")).args(["-f", "--show"]).arg(&image));
        run(Command::new(need::path("mount")).args(["-t", "ext4", &mounted.device]).arg(directory));
        Self { state, base, mounted: Some(mounted), dir }
    }

    /// How many writes and flushes there have been.
    pub(crate) fn position(&self) -> usize {
        self.state.lock().unwrap().events.len()
    }

    /// Takes the file system off, so that no more is written.
    pub(crate) fn unmount(&mut self) {
        self.mounted = None;
    }

    /// Writes and flushes.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let state = self.state.lock().unwrap();
        let flushes = state.events.iter().filter(|event| matches!(event, Event::Flush)).count();
        (state.events.len() - flushes, flushes)
    }

    /// Calls `look` with the directory as it is found when the power was cut behind the first `position` events.
    pub(crate) fn after_power_cut(&self, position: usize, dice: &mut Dice, look: impl FnOnce(&Path)) {
        // A directory of its own: the kernel may still hold the file of the cut before, and mount would take that.
        let dir = tempfile::tempdir_in(self.dir.path()).unwrap();
        let (file, directory) = (dir.path().join("cut"), dir.path().join("found"));
        std::fs::write(&file, self.survivors(position, dice)).unwrap();
        std::fs::create_dir(&directory).unwrap();
        run(Command::new(need::path("mount")).args(["-t", "ext4", "-o", "loop"]).arg(&file).arg(&directory));
        let _mounted = Unmount(&directory);
        look(&directory);
    }

    fn survivors(&self, position: usize, dice: &mut Dice) -> Vec<u8> {
        let state = self.state.lock().unwrap();
        let events = &state.events[..position];
        let flushed = events.iter().rposition(|event| matches!(event, Event::Flush)).unwrap_or(0);
        let mut disk = self.base.clone();
        for (index, event) in events.iter().enumerate() {
            let Event::Write(offset, data) = event else { continue };
            for (number, block) in data.chunks(BLOCK).enumerate() {
                if index < flushed || dice.between(0, 1) == 0 {
                    let start = offset + number * BLOCK;
                    disk[start..start + block.len()].copy_from_slice(block);
                }
            }
        }
        disk
    }
}

struct Unmount<'a>(&'a Path);

impl Drop for Unmount<'_> {
    fn drop(&mut self) {
        let _ = Command::new(need::path("umount")).arg(self.0).status();
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new(need::path("umount")).arg(&self.directory).stderr(Stdio::null()).status();
        let _ = Command::new(need::path("losetup")).args(["-d", &self.device]).stderr(Stdio::null()).status();
        // The loop device lets go of the file a moment later.
        let _ = Command::new(need::path("umount")).arg("-l").arg(&self.image).status();
        if let Some(server) = self.server.take()
            && !std::thread::panicking()
        {
            let _ = server.join();
        }
    }
}

/// Runs a command that must succeed; what it says, trimmed.
fn run(command: &mut Command) -> String {
    let output = command.stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", output.status);
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Answers the kernel's requests until the file is unmounted.
fn serve(mut fuse: File, state: &Mutex<State>) {
    let mut buffer = vec![0; 1 << 20];
    while let Ok(length @ 40..) = fuse.read(&mut buffer) {
        let request = Request(&buffer[..length]);
        let answer = match request.number(4) {
            opcode::FORGET | opcode::BATCH_FORGET => continue,
            code => request.answer(code, &mut state.lock().unwrap()),
        };
        let (error, body) = answer.map_or_else(|error| (-error, Vec::new()), |body| (0, body));
        let mut reply = Vec::with_capacity(16 + body.len());
        reply.extend(u32::try_from(16 + body.len()).unwrap().to_ne_bytes());
        reply.extend(error.to_ne_bytes());
        reply.extend(&buffer[8..16]);
        reply.extend(body);
        // A request that was given up meanwhile wants no answer.
        let _ = fuse.write_all(&reply);
    }
}

/// A request: a header of 40 bytes, then what the code says.
struct Request<'a>(&'a [u8]);

impl Request<'_> {
    fn number(&self, at: usize) -> u32 {
        u32::from_ne_bytes(self.0[at..at + 4].try_into().unwrap())
    }

    fn long(&self, at: usize) -> usize {
        usize::try_from(u64::from_ne_bytes(self.0[at..at + 8].try_into().unwrap())).unwrap()
    }

    fn answer(&self, code: u32, state: &mut State) -> Result<Vec<u8>, i32> {
        match code {
            opcode::INIT => Ok(init()),
            opcode::GETATTR | opcode::SETATTR => Ok(attributes()),
            opcode::OPEN => Ok(vec![0; 16]),
            opcode::STATFS => Ok(vec![0; 80]),
            opcode::RELEASE => Ok(Vec::new()),
            opcode::READ => {
                let start = self.long(48).min(SIZE);
                let end = (start + usize::try_from(self.number(56)).unwrap()).min(SIZE);
                Ok(state.now[start..end].to_vec())
            }
            opcode::WRITE => {
                let (start, data) = (self.long(48), &self.0[80..]);
                state.now[start..start + data.len()].copy_from_slice(data);
                state.events.push(Event::Write(start, data.to_vec()));
                Ok([self.number(56), 0].into_iter().flat_map(u32::to_ne_bytes).collect())
            }
            opcode::FSYNC => {
                state.events.push(Event::Flush);
                Ok(Vec::new())
            }
            _ => Err(nix::libc::ENOSYS),
        }
    }
}

/// Version 7.31, plain write-through, no options but writes of more than a page.
fn init() -> Vec<u8> {
    const BIG_WRITES: u32 = 1 << 5;
    let mut words = [7, 31, 0, BIG_WRITES, 0, MAX_WRITE, 1].to_vec();
    words.resize(16, 0);
    words.into_iter().flat_map(u32::to_ne_bytes).collect()
}

/// A regular file of the disk's size, good for ever.
fn attributes() -> Vec<u8> {
    let mut longs = vec![u64::from(u32::MAX), 0, 1, SIZE as u64, SIZE as u64 / 512, 0, 0, 0];
    // Then words: times, mode, links, owner, device, block size, flags; two to a long.
    let words: [u32; 10] = [0, 0, 0, 0o100_600, 1, 0, 0, 0, 4096, 0];
    longs.extend(words.chunks(2).map(|pair| {
        let bytes: Vec<u8> = pair.iter().flat_map(|word| word.to_ne_bytes()).collect();
        u64::from_ne_bytes(bytes.try_into().unwrap())
    }));
    longs.into_iter().flat_map(u64::to_ne_bytes).collect()
}
