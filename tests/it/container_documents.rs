//! What README and `docs/` tell people to type, typed: in a booted container, chapter by chapter, and the mail arrives.

use std::fs;
use std::process::Command;

use crate::container::installed_container;
use crate::support::container::{Container, local};
use crate::support::documents::{self, Block};
use crate::support::hop::{Script, ScriptedHop};
use crate::support::need::{self, require};
use crate::support::rootfs::Rootfs;
use crate::support::{PATIENCE, built, package, wait_for};

const README: &str = "README.md";
const GUIDE: &str = "docs/guide.md";

/// Chapters whose commands send messages to the next hop, and how many.
const SENT: [(&str, &str, usize); 6] = [
    (README, "Installation", 1),
    (GUIDE, "First mail in five minutes", 1),
    (GUIDE, "Store and forward", 1),
    (GUIDE, "Several instances", 1),
    (GUIDE, "Laptops and dial-up", 1),
    (GUIDE, "Without systemd", 1),
];

/// As after the installation chapter, with nothing enabled: what an earlier chapter has made is gone.
const FRESH: &str = "\
systemctl stop 'emailrelay*' 2>/dev/null || true
for link in /etc/systemd/system/*.wants/emailrelay*; do rm -f \"$link\"; done
rm -rf /etc/systemd/system/emailrelay* /etc/emailrelay* /var/spool/emailrelay* /run/emailrelay* /etc/fail2ban/jail.local
systemctl daemon-reload
systemctl reset-failed 'emailrelay*' 2>/dev/null || true
systemd-tmpfiles --create
emailrelay --generate-sample-config >/etc/emailrelay.conf";

#[test]
fn commands_of_the_guide_do_what_they_say() {
    require!(Rootfs::missing(), need::program("swaks"), need::program("curl"), need::program("socat"));
    let container = installed_container();
    container.sh("mkdir -p /root/emailrelay");
    typed(&container, GUIDE);
}

/// First the README: its first chapter is the installation.
#[test]
fn commands_of_the_readme_and_the_others_do_what_they_say() {
    require!(
        Rootfs::missing(),
        need::program("swaks"),
        need::program("make"),
        need::program("socat"),
        need::program("fail2ban-server"),
        need::program("systemd-creds")
    );
    let container = Rootfs::mount().boot();
    source_in(&container);
    typed(&container, README);
    let mut names: Vec<String> = documents::blocks("sh").into_iter().map(|block| block.document).collect();
    names.dedup();
    names.retain(|name| name != README && name != GUIDE);
    assert!(names.contains(&"docs/administration.md".to_owned()), "{names:?}");
    names.iter().for_each(|name| typed(&container, name));
}

#[test]
fn drop_ins_in_the_documents_are_accepted_by_systemd() {
    require!(Rootfs::missing());
    let container = installed_container();
    let blocks = documents::blocks("ini");
    assert!(blocks.len() > 3, "{}", blocks.len());
    for block in blocks {
        let unit = block.argument.replace("@NAME", "@office");
        container.drop_in(&unit, &block.text);
        let said = container.try_run(&["systemd-analyze", "verify", "--man=no", &unit]);
        let ours: Vec<&str> = said.stderr.lines().filter(|line| line.contains("emailrelay")).collect();
        assert!(said.code == 0 && ours.is_empty(), "{}: {said:?}", block.place());
        container.sh(FRESH);
    }
}

/// Types all commands of a document.
fn typed(container: &Container, document: &str) {
    prepare(container);
    let hop = container.in_network(|| ScriptedHop::start_on(local(2526), Script::well()));
    let mut blocks = documents::blocks("sh");
    blocks.retain(|block| block.document == document);
    assert!(!blocks.is_empty(), "{document}");
    let mut chapter = String::new();
    let mut sent = 0;
    for block in &blocks {
        if block.chapter != chapter {
            arrived(&hop, document, &chapter, &mut sent);
            in_order(container, document, &chapter);
            if chapter.is_empty() && document == README {
                assert_eq!(block.chapter, "Installation", "nothing can be done before");
            } else {
                container.sh(FRESH);
            }
            block.chapter.clone_into(&mut chapter);
        }
        run(container, block);
    }
    arrived(&hop, document, &chapter, &mut sent);
    in_order(container, document, &chapter);
}

/// Nobody to become in the container but root; and the programs of this test run are the ones that `make` would build.
fn prepare(container: &Container) {
    container.write("/usr/local/bin/sudo", "#!/bin/sh\nexec \"$@\"\n");
    container.sh("chmod 755 /usr/local/bin/sudo");
}

fn run(container: &Container, block: &Block) {
    let commands = block.text.replace("smtp.example.com:25", "127.0.0.1:2526");
    eprintln!("== {} {}\n{commands}", block.place(), block.chapter);
    let said = container.try_run(&[
        "sh",
        "-euc",
        &format!("cd /root/emailrelay; export CARGO=true BUILT=built HOME=/root; {commands}"),
    ]);
    eprintln!("{}{}", said.stdout, said.stderr);
    assert_eq!(said.code, 0, "{}: {}", block.place(), said.stderr);
}

fn arrived(hop: &ScriptedHop, document: &str, chapter: &str, sent: &mut usize) {
    let expected = SENT.iter().find(|(name, title, _)| (*name, *title) == (document, chapter));
    let count = expected.map_or(0, |(_, _, count)| *count);
    if count != 0 {
        hop.wait_accepted(*sent + count);
    }
    *sent = hop.accepted().len();
}

/// No unit is left that could not do its work.
fn in_order(container: &Container, document: &str, chapter: &str) {
    wait_for("units that have all started", PATIENCE, || {
        let units = container.systemctl(&["list-units", "--plain", "--no-legend", "emailrelay*"]);
        (!units.contains(" activating ")).then_some(())
    });
    let failed = container.systemctl(&["list-units", "--failed", "--plain", "--no-legend", "emailrelay*"]);
    assert_eq!(failed, "", "{document}: {chapter}");
}

/// All that `make install` takes, in the container, with the programs in `built`.
fn source_in(container: &Container) {
    let place = container.path("/root/emailrelay");
    fs::create_dir_all(place.join("built")).unwrap();
    let mut copy = Command::new("cp");
    copy.current_dir(package()).arg("-r");
    copy.args([
        "Makefile",
        "README.md",
        "SECURITY.md",
        "CHANGELOG.md",
        "docs",
        "examples",
        "systemd",
        "packaging",
    ]);
    copy.args(["LICENSE", "LICENSE-MIT", "LICENSE-APACHE"]).arg(&place);
    assert!(copy.status().unwrap().success());
    let programs =
        fs::read_dir(built()).unwrap().flatten().map(|entry| entry.file_name().into_string().unwrap());
    for program in programs.filter(|name| name.starts_with("emailrelay") && !name.contains(['.', '_'])) {
        if program != "emailrelay-docs" {
            fs::copy(built().join(&program), place.join("built").join(&program)).unwrap();
        }
    }
}
