//! A booted systemd with our units, thrown away with the value.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::rootfs::Rootfs;
use super::{need, wait_for};

/// A container whose systemd is up.
pub(crate) struct Container {
    leader: i32,
    rootfs: Rootfs,
}

/// What a command in the container has said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Container {
    pub(super) fn wait_booted(rootfs: Rootfs) -> Self {
        let leader = wait_for("leader of the container", BOOT, || leader(rootfs.holder()));
        let this = Self { leader, rootfs };
        wait_for("booted systemd", BOOT, || {
            let state = this.try_run(&["systemctl", "is-system-running"]).stdout;
            ["running", "degraded"].contains(&state.trim()).then_some(())
        });
        this
    }

    /// Runs a command, whatever its result.
    pub(crate) fn try_run(&self, command: &[&str]) -> Said {
        let mut nsenter = Command::new(need::path("nsenter"));
        nsenter.args(["-t", &self.leader.to_string(), "-a", "--"]).args(command);
        nsenter.env_clear().env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        nsenter.env("LANG", "C.UTF-8").env("SYSTEMD_COLORS", "0").env("SYSTEMD_PAGER", "");
        let output = nsenter.stdin(Stdio::null()).output().unwrap();
        Said {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Runs a command that must succeed; its standard output without the last line end.
    pub(crate) fn run(&self, command: &[&str]) -> String {
        let said = self.try_run(command);
        assert_eq!(said.code, 0, "{command:?}: {said:?}");
        said.stdout.trim_end().to_owned()
    }

    /// Runs a shell script that must succeed.
    pub(crate) fn sh(&self, script: &str) -> String {
        self.run(&["sh", "-euc", script])
    }

    /// `systemctl` with these arguments.
    pub(crate) fn systemctl(&self, arguments: &[&str]) -> String {
        self.run(&[&["systemctl"], arguments].concat())
    }

    /// One property of a unit.
    pub(crate) fn property(&self, unit: &str, property: &str) -> String {
        self.systemctl(&["show", "--value", "-p", property, unit])
    }

    /// `journalctl` for this boot with these arguments.
    pub(crate) fn journal(&self, arguments: &[&str]) -> String {
        self.run(&["journalctl", "--sync"]);
        self.run(&[&["journalctl", "-b", "-q", "--no-pager"], arguments].concat())
    }

    /// Writes a drop-in for a unit and has systemd read it.
    pub(crate) fn drop_in(&self, unit: &str, text: &str) {
        self.write(&format!("/etc/systemd/system/{unit}.d/test.conf"), text);
        self.systemctl(&["daemon-reload"]);
    }

    /// Writes a file of the container, and the directories above it.
    pub(crate) fn write(&self, file: &str, text: &str) {
        let file = self.path(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }

    /// A path of the container as seen from the tests.
    pub(crate) fn path(&self, file: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root", self.leader)).join(file.trim_start_matches('/'))
    }

    /// Runs a part of the test in the container's network, for example one that connects to its port 25.
    ///
    /// A thread of its own enters that network, so that threads which it starts are in it too.
    pub(crate) fn in_network<T: Send>(&self, part: impl FnOnce() -> T + Send) -> T {
        let network = fs::File::open(format!("/proc/{}/ns/net", self.leader)).unwrap();
        let result = std::thread::scope(|scope| {
            let enter_and_run = move || {
                setns(network, CloneFlags::CLONE_NEWNET).unwrap();
                part()
            };
            scope.spawn(enter_and_run).join()
        });
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// The processes of the container with this name in their command.
    pub(crate) fn processes(&self, name: &str) -> Vec<String> {
        let list = self.run(&["ps", "-e", "-o", "args="]);
        let matching =
            list.lines().filter(|line| line.split(' ').next().is_some_and(|first| first.contains(name)));
        matching.map(str::to_owned).collect()
    }

    /// How often systemd has started the service since boot.
    pub(crate) fn starts(&self, unit: &str) -> usize {
        self.journal(&["-o", "cat", "--output-fields=JOB_RESULT", UNIT_STARTED, &format!("UNIT={unit}")])
            .lines()
            .count()
    }

    /// An orderly end, as far as it gets within a few seconds.
    pub(crate) fn power_off(self) {
        self.try_run(&["systemctl", "poweroff", "--no-block"]);
        wait_for("power-off", BOOT, || {
            (!fs::exists(format!("/proc/{}", self.leader)).unwrap()).then_some(())
        });
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "{}",
                self.try_run(&["journalctl", "-b", "-q", "--no-pager", "-u", "emailrelay*"]).stdout
            );
        }
        // The death of its first process ends all others; systemd-nspawn then cleans up and ends by itself.
        let _ = kill(Pid::from_raw(self.leader), Signal::SIGKILL);
        wait_for("end of the container", BOOT, || {
            (leader(self.rootfs.holder()).is_none() || std::thread::panicking()).then_some(())
        });
    }
}

/// Loopback of the network that the calling thread is in.
pub(crate) fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// The first process of the container: the child of systemd-nspawn that has a pid and network namespace of its own.
fn leader(nspawn: u32) -> Option<i32> {
    let namespace = |process: &str, kind: &str| fs::read_link(format!("/proc/{process}/ns/{kind}")).ok();
    let children = fs::read_to_string(format!("/proc/{nspawn}/task/{nspawn}/children")).ok()?;
    let mut children = children.split_whitespace();
    let child = children.find(|child| {
        let apart = |kind| namespace(child, kind).is_some_and(|own| namespace("self", kind) != Some(own));
        let comm = fs::read_to_string(format!("/proc/{child}/comm")).unwrap_or_default();
        comm.trim() == "systemd" && apart("pid") && apart("net") && apart("mnt")
    })?;
    child.parse().ok()
}

/// How long a boot may take on a busy machine; three seconds are usual.
const BOOT: Duration = Duration::from_secs(90);

/// The message of systemd when a unit has started.
const UNIT_STARTED: &str = "MESSAGE_ID=39f53479d3a045ac8e11786248231fbf";
