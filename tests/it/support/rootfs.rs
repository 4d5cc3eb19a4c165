//! A throw-away copy of the machine's own root file system, before a systemd is booted in it.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use tempfile::TempDir;

use super::container::Container;
use super::need;

/// An overlay over `/` with the changes in memory, in a mount namespace of its own.
///
/// A helper process holds the namespace; when it dies (with this test program at the latest) every mount is gone, so
/// that not even a killed test run leaves anything behind.
pub(crate) struct Rootfs {
    holder: Child,
    start: Option<ChildStdin>,
    path: PathBuf,
    console: fs::File,
    /// Where the holder mounts; for everybody else it stays empty.
    _base: TempDir,
    cgroup: Cgroup,
}

impl Rootfs {
    /// For `require!`: what is missing for containers on this machine.
    pub(crate) fn missing() -> Option<String> {
        let programs = ["systemd-nspawn", "nsenter", "unshare", "setpriv", "mount"];
        need::root().or_else(|| programs.into_iter().find_map(need::program))
    }

    /// Mounts it, and takes out of it what the machine would start at boot.
    pub(crate) fn mount() -> Self {
        let base = tempfile::Builder::new().prefix("emailrelay-root.").tempdir().unwrap();
        let cgroup = Cgroup::create();
        let mut command = Command::new(need::path("setpriv"));
        command.args([
            "--pdeathsig",
            "KILL",
            "unshare",
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-ec",
            HOLDER,
            "holder",
        ]);
        command.arg(base.path()).arg(&cgroup.procs).arg(base.path().file_name().unwrap());
        let console = tempfile::tempfile().unwrap();
        command.stderr(console.try_clone().unwrap());
        let mut holder = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut ready = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        let path = PathBuf::from(format!("/proc/{}/root{}/root", holder.id(), base.path().display()));
        let start = holder.stdin.take();
        let this = Self { holder, start, path, console, cgroup, _base: base };
        assert_eq!(ready.trim(), "mounted", "no overlay: {}", this.console());
        this.quiet();
        this
    }

    /// The top of the tree, as seen from the tests; good for `make install DESTDIR=`.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file, and the directories above it.
    pub(crate) fn write(&self, file: &str, text: &str) {
        let file = self.path.join(file.trim_start_matches('/'));
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }

    /// Boots systemd in it.
    pub(crate) fn boot(mut self) -> Container {
        self.start.take().unwrap().write_all(b"boot\n").unwrap();
        Container::wait_booted(self)
    }

    /// The process that holds the namespace, and that becomes systemd-nspawn.
    pub(crate) fn holder(&self) -> u32 {
        self.holder.id()
    }

    /// What systemd-nspawn and the systemd in it have said.
    pub(crate) fn console(&self) -> String {
        let mut text = vec![0; 1 << 20];
        let length = self.console.read_at(&mut text, 0).unwrap_or_default();
        String::from_utf8_lossy(&text[..length]).into_owned()
    }

    /// Nothing of what the machine itself has enabled is started in the container.
    fn quiet(&self) {
        let etc = self.path.join("etc");
        let wants = fs::read_dir(etc.join("systemd/system")).into_iter().flatten().flatten();
        for dir in wants.filter(|entry| entry.file_name().to_string_lossy().ends_with(".wants")) {
            fs::remove_dir_all(dir.path()).unwrap();
        }
        for level in 2..=5 {
            let _ = fs::remove_dir_all(etc.join(format!("rc{level}.d")));
        }
        // The container has its one file system already; to mount it again as the machine does can fail.
        fs::write(etc.join("fstab"), "").unwrap();
        // Made by generators, or by packages outside of /etc.
        for unit in ["postfix.service", "postgresql.service", "apt-daily.timer", "apt-daily-upgrade.timer"] {
            let mask = etc.join("systemd/system").join(unit);
            let _ = fs::remove_file(&mask);
            std::os::unix::fs::symlink("/dev/null", mask).unwrap();
        }
    }
}

impl Drop for Rootfs {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
        self.cgroup.remove();
    }
}

/// Mounts in its own namespace, waits for the word, then turns into the container manager.
const HOLDER: &str = r#"
base=$1 procs=$2 name=$3
mount -t tmpfs -o mode=0755 tmpfs "$base"
mkdir "$base/upper" "$base/work" "$base/root"
mount -t overlay -o "lowerdir=/,upperdir=$base/upper,workdir=$base/work" overlay "$base/root"
echo mounted
read -r word
if [ -n "$procs" ]; then echo $$ >"$procs"; fi
exec systemd-nspawn -q -D "$base/root" -M "$name" --register=no --keep-unit --private-network --link-journal=no \
    --console=pipe -b systemd.unit=multi-user.target </dev/null >&2
"#;

/// A control group for one container: two systemds in the same one would end each other's processes.
struct Cgroup {
    dir: Option<PathBuf>,
    /// The file that takes the pid, or an empty path where there is no writable hierarchy.
    procs: PathBuf,
}

impl Cgroup {
    fn create() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let name =
            format!("emailrelay-test-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let dir = own_cgroup().map(|own| own.join(name)).filter(|dir| fs::create_dir(dir).is_ok());
        let procs = dir.as_deref().map(|dir| dir.join("cgroup.procs")).unwrap_or_default();
        Self { dir, procs }
    }

    fn remove(&self) {
        if let Some(dir) = &self.dir {
            super::wait_for("empty control group", super::PATIENCE, || {
                remove_tree(dir);
                (!dir.exists() || std::thread::panicking()).then_some(())
            });
        }
    }
}

/// The directory of our own control group in the hierarchy that systemd uses: unified, or the named one.
fn own_cgroup() -> Option<PathBuf> {
    let text = fs::read_to_string("/proc/self/cgroup").ok()?;
    let find =
        |prefix: &str| text.lines().find_map(|line| line.split_once(prefix)).map(|(_, path)| path.to_owned());
    let (top, own) = match find(":name=systemd:") {
        Some(own) => ("/sys/fs/cgroup/systemd", own),
        None => ("/sys/fs/cgroup", find("0::")?),
    };
    Some(Path::new(top).join(own.trim_start_matches('/')))
}

fn remove_tree(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path());
        }
    }
    let _ = fs::remove_dir(dir);
}
