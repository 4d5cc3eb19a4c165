//! The installed files as such: systemd accepts every unit, the sandboxes hold, install and uninstall mirror each other.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::support::need::{self, require};
use crate::support::{built, package};

/// Everything installed below a directory of its own, where the programs that the units name do exist.
struct Installed {
    dir: TempDir,
}

impl Installed {
    fn new() -> Self {
        let this = Self { dir: tempfile::tempdir().unwrap() };
        this.make("install");
        this
    }

    fn make(&self, target: &str) {
        let top = self.dir.path().display();
        let mut make = Command::new("make");
        make.current_dir(package())
            .args(["-s", target, "DESTDIR="])
            .arg(format!("BUILT={}", built().display()));
        make.arg(format!("PREFIX={top}/usr")).arg(format!("SYSCONFDIR={top}/etc"));
        let output = make.stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "make {target}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn unit_dir(&self) -> PathBuf {
        self.dir.path().join("usr/lib/systemd/system")
    }

    /// The installed units of a kind, templates as an instance.
    fn units(&self, suffixes: &[&str]) -> Vec<String> {
        let entries = fs::read_dir(self.unit_dir()).unwrap().flatten();
        let names = entries.map(|entry| entry.file_name().into_string().unwrap());
        let mut units: Vec<String> = names
            .filter(|name| suffixes.iter().any(|suffix| name.ends_with(suffix)))
            .map(|name| name.replace("@.", "@in."))
            .collect();
        units.sort();
        units
    }

    fn analyze(&self, arguments: &[&str]) -> (bool, String) {
        let mut analyze = Command::new("systemd-analyze");
        // The trailing colon keeps the units of the machine in the search path.
        analyze.args(arguments).env("SYSTEMD_UNIT_PATH", format!("{}:", self.unit_dir().display()));
        let output = analyze.env("SYSTEMD_COLORS", "0").stdin(Stdio::null()).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    }
}

#[test]
fn every_unit_passes_verify_without_a_word() {
    require!(need::program("systemd-analyze"));
    let installed = Installed::new();
    let units = installed.units(&[".service", ".socket", ".path", ".timer", ".target"]);
    assert_eq!(units.len(), 28, "{units:?}");
    for unit in units {
        let (success, said) = installed.analyze(&["verify", "--man=no", &unit]);
        // The machine's own units are looked at as well; what is said of them is not ours.
        let ours: Vec<_> = said.lines().filter(|line| line.contains("emailrelay")).collect();
        assert!(success && ours.is_empty(), "{unit}: {said}");
    }
}

#[test]
fn every_service_is_exposed_at_most_1_5() {
    require!(need::program("systemd-analyze"));
    let installed = Installed::new();
    let services = installed.units(&[".service"]);
    assert_eq!(services.len(), 9, "{services:?}");
    for service in services {
        let file = installed.unit_dir().join(service.replace("@in.", "@."));
        let as_instance = installed.dir.path().join(&service);
        fs::copy(file, &as_instance).unwrap();
        let (success, said) = installed.analyze(&[
            "security",
            "--offline=yes",
            "--threshold=15",
            as_instance.to_str().unwrap(),
        ]);
        let overall = said.lines().find(|line| line.contains("Overall exposure")).unwrap_or(&said);
        eprintln!("{overall}");
        assert!(success, "{service}: {said}");
    }
}

#[test]
fn the_smtp_service_with_network_is_exposed_at_most_1_5() {
    require!(need::program("systemd-analyze"));
    let installed = Installed::new();
    let drop_in = fs::read_to_string(package().join("examples/systemd/network.conf")).unwrap();
    let unit = fs::read_to_string(installed.unit_dir().join("emailrelay-smtp.service")).unwrap();
    // Offline analysis takes one file; in it a later assignment replaces or adds as it does in a drop-in.
    let together = installed.dir.path().join("emailrelay-smtp.service");
    fs::write(&together, format!("{unit}\n{drop_in}")).unwrap();
    let (success, said) =
        installed.analyze(&["security", "--offline=yes", "--threshold=15", together.to_str().unwrap()]);
    assert!(success, "{said}");
    assert!(said.lines().any(|line| line.contains("PrivateNetwork=") && line.contains('✗')), "{said}");
}

#[test]
fn units_say_what_the_roles_rely_on() {
    let demands: [(&str, &[&str]); 9] = [
        (
            ".socket",
            &[
                "Accept=no",
                "Backlog=4096",
                "TriggerLimitIntervalSec=0",
                "FileDescriptorName=",
                "PartOf=emailrelay.target",
            ],
        ),
        ("admin.socket", &["FileDescriptorName=admin", "ListenStream=/run/emailrelay", "SocketMode=0666"]),
        ("smtp.socket", &["FileDescriptorName=smtp", "ListenStream=25"]),
        (
            "submit.socket",
            &["FileDescriptorName=submit", "ListenStream=/run/emailrelay/submit", "SocketMode=0666"],
        ),
        ("submission.socket", &["FileDescriptorName=submission", "ListenStream=587"]),
        ("smtps.socket", &["FileDescriptorName=smtps", "ListenStream=465"]),
        (
            ".service",
            &[
                "Type=notify",
                "StartLimitIntervalSec=0",
                "WatchdogSec=",
                "User=emailrelay",
                "PartOf=emailrelay.target",
            ],
        ),
        ("forward.service", &["SuccessExitStatus=75", "--linger 30"]),
        (
            ".path",
            &["PathExists=/var/spool/emailrelay", "TriggerLimitIntervalSec=0", "PartOf=emailrelay.target"],
        ),
    ];
    for entry in fs::read_dir(package().join("systemd")).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap().replace("@.", ".");
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        for (suffix, lines) in &demands {
            for line in lines.iter().filter(|_| name.ends_with(suffix)) {
                assert!(text.lines().any(|have| have.contains(line)), "{name}: {line}");
            }
        }
    }
}

#[test]
fn uninstall_leaves_the_configuration_and_nothing_else() {
    let installed = Installed::new();
    let top = installed.dir.path();
    let files = files_below(top);
    for file in
        ["usr/sbin/emailrelay-smtp", "usr/bin/emailrelay-submit", "usr/lib/sysusers.d/emailrelay.conf"]
    {
        assert!(files.contains(&PathBuf::from(file)), "{file}: {files:?}");
    }
    assert!(
        !files
            .iter()
            .any(|file| fs::read(top.join(file)).unwrap().windows(9).any(|text| text == b"@SBINDIR@"))
    );
    fs::write(top.join("etc/emailrelay.conf"), "spool-dir /elsewhere\n").unwrap();
    installed.make("install");
    installed.make("uninstall");
    assert_eq!(files_below(top), [PathBuf::from("etc/emailrelay.conf")]);
    assert_eq!(fs::read_to_string(top.join("etc/emailrelay.conf")).unwrap(), "spool-dir /elsewhere\n");
    assert!(!top.join("usr/share/doc/emailrelay").exists());
}

fn files_below(top: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut dirs = vec![top.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap().flatten() {
            match entry.file_type().unwrap().is_dir() {
                true => dirs.push(entry.path()),
                false => files.push(entry.path().strip_prefix(top).unwrap().to_owned()),
            }
        }
    }
    files.sort();
    files
}
