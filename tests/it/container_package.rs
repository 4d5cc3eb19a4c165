//! The Debian package under a real systemd: from installation to purge.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::container::{Container, local};
use crate::support::load::Load;
use crate::support::need::{self, require};
use crate::support::relay::{CONFIGURATION, Relay, SMTP, UNITS};
use crate::support::rootfs::Rootfs;
use crate::support::{built, package};

/// Makes a package of the programs of this test run, in the root directory of the container to be.
fn build(rootfs: &Rootfs, version: &str) -> String {
    let into = rootfs.path().join("root");
    let mut build = Command::new(package().join("packaging/debian/build"));
    // The programs of a test run are large, and stripping them proves nothing.
    build.arg(&into).env("BUILT", built()).env("VERSION", version).env("STRIP", "true");
    let output = build.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let architecture = Command::new("dpkg").arg("--print-architecture").output().unwrap().stdout;
    let name = format!("emailrelay_{version}_{}.deb", String::from_utf8_lossy(&architecture).trim());
    assert!(into.join(&name).exists());
    Path::new("/root").join(name).display().to_string()
}

fn state(container: &Container, question: &str, unit: &str) -> String {
    container.try_run(&["systemctl", question, unit]).stdout.trim().to_owned()
}

#[test]
fn package_installs_upgrades_under_load_and_goes() {
    require!(
        Rootfs::missing(),
        need::program("swaks"),
        need::program("dpkg-shlibdeps"),
        need::program("make")
    );
    let rootfs = Rootfs::mount();
    let (first, second) = (build(&rootfs, "3.0.0-1"), build(&rootfs, "3.0.1-1"));
    let mut relay = Relay { container: rootfs.boot(), hop: None };
    relay.container.run(&["dpkg", "-i", &first]);
    enabled_by_the_preset(&relay.container);

    relay.configure(CONFIGURATION);
    relay.hop_up();
    relay.swaks();
    relay.hop().wait_accepted(1);

    let load = Load::default();
    let old = relay.smtp("MainPID");
    relay.container.in_network(|| {
        load.during(|| {
            load.wait_more("messages before the upgrade", 20);
            relay.container.run(&["dpkg", "-i", &second]);
            load.wait_more("messages after the upgrade", load.acknowledged() + 20);
        });
    });
    assert_ne!(relay.smtp("MainPID"), old, "the new program runs");
    assert_eq!(relay.container.run(&["dpkg-query", "-W", "-f", "${Version}", "emailrelay"]), "3.0.1-1");
    relay.wait_empty_spool();
    let delivered: Vec<_> = relay
        .hop()
        .accepted()
        .into_iter()
        .filter(|one| {
            one.content.starts_with(b"X-Test-Id")
                || String::from_utf8_lossy(&one.content).contains("X-Test-Id: ")
        })
        .collect();
    load.check(&delivered);
    assert_eq!(std::fs::read_to_string(relay.container.path("/etc/emailrelay.conf")).unwrap(), CONFIGURATION);

    removal_keeps_mail_and_configuration(relay);
}

fn enabled_by_the_preset(container: &Container) {
    for unit in UNITS {
        assert_eq!(state(container, "is-enabled", unit), "enabled", "{unit}");
        assert_eq!(state(container, "is-active", unit), "active", "{unit}");
    }
    for unit in ["emailrelay-submission.socket", "emailrelay.target", "emailrelay.service"] {
        assert_eq!(state(container, "is-enabled", unit), "disabled", "{unit}");
    }
    let owner = container.run(&["stat", "-c", "%a %U %G", "/var/spool/emailrelay"]);
    assert_eq!(owner, "2770 emailrelay emailrelay");
    assert!(container.run(&["journalctl", "--list-catalog"]).contains("E-MailRelay:"));
    container.run(&["/usr/sbin/emailrelay-smtp", "--check", "/etc/emailrelay.conf"]);
}

fn removal_keeps_mail_and_configuration(mut relay: Relay) {
    relay.hop = None;
    relay.swaks();
    let waiting =
        |relay: &Relay| relay.spool_files().iter().filter(|file| file.contains(".envelope")).count();
    assert_eq!(waiting(&relay), 1);
    relay.container.run(&["dpkg", "-r", "emailrelay"]);
    assert_eq!(relay.container.processes("emailrelay"), [""; 0]);
    let refused =
        relay.container.in_network(|| TcpStream::connect(local(25)).map(drop).map_err(|e| e.kind()));
    assert_eq!(refused, Err(ErrorKind::ConnectionRefused));
    for unit in UNITS.into_iter().chain([SMTP]) {
        assert_eq!(relay.container.property(unit, "LoadState"), "not-found", "{unit}");
    }
    assert_eq!(waiting(&relay), 1);
    assert!(relay.container.path("/etc/emailrelay.conf").exists());

    let said = relay.container.try_run(&["dpkg", "-P", "emailrelay"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.stderr.contains("is not empty and stays"), "{said:?}");
    assert!(!relay.container.path("/etc/emailrelay.conf").exists());
    assert_eq!(waiting(&relay), 1);
    assert_eq!(relay.container.systemctl(&["--failed", "--plain", "--no-legend"]), "");
    assert_eq!(relay.container.sh("ls /etc/systemd/system/*/emailrelay* 2>/dev/null || true"), "");
}
