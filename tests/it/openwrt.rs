//! `tests/openwrt/NN-topic/`: a UCI file and the command lines that the init script makes of it, under busybox's shell.
//!
//! `config` is the UCI file, with `@ROOT@` for a directory of the test's own; without one it is the file that the package installs. `expected` is
//! what the stand-in for OpenWrt's functions prints: a line for each process and each of its words, and what the script says.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::need::{self, require};
use crate::support::package;

struct Case {
    root: tempfile::TempDir,
    printed: String,
}

fn run(config: &Path) -> Case {
    // Not below /tmp, which may be in memory: the script would warn of that.
    let root = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let place = root.path().to_str().unwrap();
    let uci = root.path().join("uci");
    fs::write(&uci, fs::read_to_string(config).unwrap().replace("@ROOT@", place)).unwrap();
    let output = root.path().join("output");
    let file = fs::File::create(&output).unwrap();
    let status = Command::new(need::path("busybox"))
        .arg("ash")
        .arg(package().join("tests/openwrt/stand-in.sh"))
        .arg(package().join("packaging/openwrt/files/emailrelay.init"))
        .args([&uci, root.path()])
        .stdin(Stdio::null())
        .stdout(file.try_clone().unwrap())
        .stderr(file)
        .status()
        .unwrap();
    assert!(status.success(), "{}: {status}", config.display());
    let printed = fs::read_to_string(output).unwrap().replace(place, "@ROOT@");
    Case { root, printed }
}

#[test]
fn sections_become_command_lines() {
    require!(need::program("busybox"));
    let mut cases: Vec<PathBuf> =
        fs::read_dir(package().join("tests/openwrt")).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.retain(|path| path.is_dir());
    cases.sort();
    assert!(cases.len() >= 14);
    for case in cases {
        let own = case.join("config");
        let shipped = package().join("packaging/openwrt/files/emailrelay.config");
        let printed = run(if own.exists() { &own } else { &shipped }).printed;
        let expected = fs::read_to_string(case.join("expected")).unwrap();
        assert_eq!(printed, expected, "{}", case.display());
    }
}

#[test]
fn an_account_of_the_configuration_is_for_root_only() {
    require!(need::program("busybox"));
    let case = run(&package().join("tests/openwrt/10-account-in-the-option/config"));
    let file = case.root.path().join("private/proxy.auth");
    assert_eq!(fs::read_to_string(&file).unwrap(), "client plain:b bWU= c2VjcmV0\n");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(file.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
    assert!(!case.printed.contains("c2VjcmV0"));
}

#[test]
fn directories_are_made_for_the_user_of_the_program() {
    require!(need::program("busybox"));
    let case = run(&package().join("tests/openwrt/05-everything/config"));
    for made in ["spool", "usb/spool", "usb/in"] {
        let mode = fs::metadata(case.root.path().join(made)).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o2775, "{made}");
    }
}

#[test]
fn every_option_of_the_sample_file_is_known_to_the_script() {
    let files = package().join("packaging/openwrt/files");
    let script = fs::read_to_string(files.join("emailrelay.init")).unwrap();
    let sample = fs::read_to_string(files.join("emailrelay.config")).unwrap();
    let mut seen = 0;
    for line in sample.lines() {
        let mut words = line.trim_start_matches(['#', '\t', ' ']).split_whitespace();
        if let (Some("option" | "list"), Some(name)) = (words.next(), words.next()) {
            seen += 1;
            assert!(
                script.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == name),
                "{name}"
            );
        }
    }
    assert!(seen >= 34, "{seen}");
}
