//! The installed files under a real systemd.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::container::Container;
use crate::support::need::require;
use crate::support::rootfs::Rootfs;
use crate::support::{built, package};

/// `make install` of the programs of this test run below a directory, with PREFIX=/usr.
pub(crate) fn install(root: &Path) {
    make(root, "install");
}

/// A booted container with our files in it and the identity and directories made, nothing enabled.
pub(crate) fn installed_container() -> Container {
    let rootfs = Rootfs::mount();
    install(rootfs.path());
    let container = rootfs.boot();
    container.run(&["systemd-sysusers"]);
    container.run(&["systemd-tmpfiles", "--create"]);
    container
}

/// Runs a target of the Makefile that takes DESTDIR.
pub(crate) fn make(root: &Path, target: &str) {
    let mut make = Command::new("make");
    make.current_dir(package()).args(["-s", target, "PREFIX=/usr"]);
    make.arg(format!("DESTDIR={}", root.display())).arg(format!("BUILT={}", built().display()));
    let output = make.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "make {target}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn boots_with_our_identity_spool_and_units() {
    require!(Rootfs::missing());
    let container = installed_container();
    assert!(container.run(&["getent", "passwd", "emailrelay"]).ends_with(":/var/spool/emailrelay:/usr/sbin/nologin"));
    container.run(&["getent", "group", "emailrelay"]);
    assert_eq!(container.run(&["stat", "-c", "%a %U %G", "/var/spool/emailrelay"]), "2770 emailrelay emailrelay");
    assert_eq!(container.processes("emailrelay"), [""; 0]);
    assert_eq!(container.systemctl(&["--failed", "--plain", "--no-legend"]), "");

    container.systemctl(&["preset-all"]);
    let enabled = |unit| container.try_run(&["systemctl", "is-enabled", unit]).stdout.trim().to_owned();
    for unit in ["emailrelay-smtp.socket", "emailrelay-forward.path", "emailrelay-forward.timer"] {
        assert_eq!(enabled(unit), "enabled", "{unit}");
    }
    for unit in ["emailrelay-submission.socket", "emailrelay.target"] {
        assert_eq!(enabled(unit), "disabled", "{unit}");
    }
    container.power_off();
}
