//! A network of its own for a test: addresses that are not local to anybody's eyes, on a machine that nobody else sees.

use std::process::{Command, Stdio};

use nix::sched::{CloneFlags, unshare};

/// A client address that block lists are asked about, and one of IPv6.
pub(crate) const REMOTE: &str = "203.0.113.5";
pub(crate) const REMOTE_V6: &str = "2001:db8::5";

/// Runs the test in a thread whose network, and that of the programs which it starts, is new: loopback, with the two
/// remote addresses on it. Needs root.
pub(crate) fn alone(test: impl FnOnce() + Send + 'static) {
    let thread = std::thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        ip(&["link", "set", "lo", "up"]);
        ip(&["address", "add", &format!("{REMOTE}/32"), "dev", "lo"]);
        ip(&["address", "add", &format!("{REMOTE_V6}/128"), "dev", "lo", "nodad"]);
        test();
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

fn ip(arguments: &[&str]) {
    let status = Command::new("ip").args(arguments).stdin(Stdio::null()).status().unwrap();
    assert!(status.success(), "ip {arguments:?}");
}
