//! What the README tells a newcomer to type, typed.

use std::fs;
use std::process::Command;

use crate::support::container::{Container, local};
use crate::support::hop::{Script, ScriptedHop};
use crate::support::need::{self, require};
use crate::support::rootfs::Rootfs;
use crate::support::{built, package};

#[test]
fn installation_chapter_leads_to_the_first_mail() {
    require!(Rootfs::missing(), need::program("swaks"), need::program("make"));
    let container = Rootfs::mount().boot();
    let source = source_in(&container);
    // Nobody to become in the container but root; and the programs of this test run are the ones that are built.
    container.write("/usr/local/bin/sudo", "#!/bin/sh\nexec \"$@\"\n");
    container.sh("chmod 755 /usr/local/bin/sudo");
    let hop = container.in_network(|| ScriptedHop::start_on(local(2526), Script::well()));
    for command in commands() {
        let command = command.replace("smtp.example.com:25", "127.0.0.1:2526");
        eprintln!("$ {command}");
        container.sh(&format!("cd {source}; export CARGO=true BUILT=built; {command}"));
    }
    let delivery = &hop.wait_accepted(1)[0];
    assert!(delivery.mail.starts_with("<me@example.com>"), "{delivery:?}");
    assert_eq!(delivery.rcpt, ["<you@example.com>"]);
    for unit in ["emailrelay-smtp.socket", "emailrelay-forward.path", "emailrelay-forward.timer"] {
        assert_eq!(container.run(&["systemctl", "is-enabled", unit]), "enabled");
    }
    assert_eq!(container.systemctl(&["--failed", "--plain", "--no-legend"]), "");
}

/// The first block of commands of the chapter "Installation".
fn commands() -> Vec<String> {
    let readme = fs::read_to_string(package().join("README.md")).unwrap();
    let (_, chapter) = readme.split_once("## Installation\n").unwrap();
    let lines = chapter.lines().skip_while(|line| !line.starts_with("    "));
    let commands: Vec<String> =
        lines.map_while(|line| line.strip_prefix("    ")).map(str::to_owned).collect();
    assert!(commands.len() >= 5, "{commands:?}");
    commands
}

/// All that `make install` takes, in the container, with the programs in `built`.
fn source_in(container: &Container) -> &'static str {
    let source = "/root/emailrelay";
    let place = container.path(source);
    fs::create_dir_all(place.join("built")).unwrap();
    let mut copy = Command::new("cp");
    copy.current_dir(package()).arg("-r").args([
        "Makefile",
        "README.md",
        "CHANGELOG.md",
        "docs",
        "systemd",
        "packaging",
    ]);
    copy.args(["LICENSE", "LICENSE-MIT", "LICENSE-APACHE"]).arg(&place);
    assert!(copy.status().unwrap().success());
    for program in [
        "emailrelay",
        "emailrelay-smtp",
        "emailrelay-forward",
        "emailrelay-pop",
        "emailrelay-admin",
        "emailrelay-submit",
        "emailrelay-passwd",
    ] {
        fs::copy(built().join(program), place.join("built").join(program)).unwrap();
    }
    source
}
