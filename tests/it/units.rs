//! The installed files as such: systemd accepts every unit, the sandboxes hold, install and uninstall mirror each other.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::support::certs::Authority;
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

/// How many units there are to be installed.
fn units_of_the_source() -> usize {
    let files = fs::read_dir(package().join("systemd")).unwrap().flatten();
    files.filter(|file| fs::read_to_string(file.path()).is_ok_and(|text| text.contains("[Unit]"))).count()
}

#[test]
fn every_unit_passes_verify_without_a_word() {
    require!(need::program("systemd-analyze"));
    let installed = Installed::new();
    let units = installed.units(&[".service", ".socket", ".path", ".timer", ".target"]);
    assert_eq!(units.len(), units_of_the_source(), "{units:?}");
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
    assert!(services.iter().any(|service| service == "emailrelay-smtp.service"), "{services:?}");
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
    for name in ["network.conf", "immediate.conf"] {
        let drop_in = fs::read_to_string(package().join("examples/systemd").join(name)).unwrap();
        let unit = fs::read_to_string(installed.unit_dir().join("emailrelay-smtp.service")).unwrap();
        // Offline analysis takes one file; in it a later assignment replaces or adds as it does in a drop-in.
        let together = installed.dir.path().join("emailrelay-smtp.service");
        fs::write(&together, format!("{unit}\n{drop_in}")).unwrap();
        let (success, said) =
            installed.analyze(&["security", "--offline=yes", "--threshold=15", together.to_str().unwrap()]);
        assert!(success, "{name}: {said}");
        assert!(said.lines().any(|line| line.contains("PrivateNetwork=") && line.contains('✗')), "{said}");
    }
}

#[test]
fn units_say_what_the_roles_rely_on() {
    let demands: [(&str, &[&str]); 10] = [
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
        (".service", &["User=emailrelay", "PartOf=emailrelay.target", "NoNewPrivileges=yes"]),
        ("notify.timer", &["OnBootSec=15min", "PartOf=emailrelay.target"]),
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
        // A role that stays; one that runs and ends is started by a timer.
        let stays = ["Type=notify", "StartLimitIntervalSec=0", "WatchdogSec="];
        if name.ends_with(".service") && !text.contains("Type=oneshot") {
            for line in stays {
                assert!(text.lines().any(|have| have.contains(line)), "{name}: {line}");
            }
        }
    }
}

#[test]
fn one_process_and_separate_roles_exclude_each_other() {
    let unit = |name: &str| fs::read_to_string(package().join("systemd").join(name)).unwrap();
    let words = |text: &str, key: &str| {
        let lines = text.lines().filter_map(|line| line.strip_prefix(key)).map(str::to_owned);
        lines.flat_map(|line| line.split(' ').map(str::to_owned).collect::<Vec<_>>()).collect::<Vec<_>>()
    };
    let single = unit("emailrelay.service");
    let (conflicts, after) = (words(&single, "Conflicts="), words(&single, "After="));
    // Messages are locked one by one, so a forwarding run may be finishing; nothing may start another.
    let finishing = "emailrelay-forward.service";
    // The tools work on the spool whoever serves.
    let tools = ["emailrelay-notify", "emailrelay-resubmit"];
    for entry in fs::read_dir(package().join("systemd")).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        let tool = tools.iter().any(|tool| name.starts_with(tool));
        let of_role = name.starts_with("emailrelay-") && !name.contains('@') && name != finishing && !tool;
        assert_eq!(of_role, conflicts.contains(&name), "{name}");
        // A port is free before it is bound.
        let holds_sockets = of_role && !name.starts_with("emailrelay-forward");
        assert!(!holds_sockets || after.contains(&name), "{name}");
    }
    assert!(words(&single, "Wants=").contains(&"emailrelay.socket".to_owned()));
    let socket = unit("emailrelay.socket");
    assert_eq!(words(&socket, "Conflicts="), ["emailrelay-submit.socket"]);
    assert!(words(&socket, "PartOf=").contains(&"emailrelay.service".to_owned()));
}

/// The drop-ins that `--check` prints: unit and text.
pub(crate) fn printed_drop_ins(said: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    let mut within = false;
    for line in said.lines() {
        match (line.strip_prefix("# /etc/systemd/system/"), line.strip_prefix("#   "), found.last_mut()) {
            (Some(path), _, _) => found.push((path.split(".d/").next().unwrap().to_owned(), String::new())),
            (None, Some(text), Some((_, drop_in))) if within => *drop_in += &format!("{text}\n"),
            _ => {}
        }
        within = line.starts_with("# /etc/") || (within && line.starts_with("#   "));
    }
    found
}

#[test]
fn what_check_prints_for_systemd_passes_verify() {
    require!(need::program("systemd-analyze"));
    let (installed, dir) = (Installed::new(), tempfile::tempdir().unwrap());
    let (authority, auth) = (Authority::new(), dir.path().join("auth"));
    fs::write(&auth, "server plain me secret\nclient plain me secret\n").unwrap();
    let file = |path: &Path| path.to_str().unwrap().to_owned();
    let conf = format!(
        "spool-dir {spool}\ninterface 127.0.0.1,::1,smtp=10.0.0.1,admin=/run/x.sock\nport 2525\nremote-clients\nserver-auth {auth}\n\
         dnsbl list.example,1,1000,192.0.2.53:53\nfilter net:192.0.2.7:700\npop\npop-auth {auth}\npop-port 1110\n\
         server-tls\nserver-tls-certificate {pem}\nadmin 10026\nforward-to smart.example:25\nforward-on-disconnect\npoll 300\n\
         client-auth {auth}\nlog-file {spool}/relay.log\n\
         in-spool-dir {spool}/in\nin-interface lo\nin-port 587\nin-filter net:far.example:1\n",
        spool = file(dir.path()),
        auth = file(&auth),
        pem = authority.self_signed("key.pem", &["relay.example"]),
    );
    fs::create_dir(dir.path().join("in")).unwrap();
    fs::write(dir.path().join("conf"), conf).unwrap();
    let mut check = Command::new(built().join("emailrelay"));
    let output = check.arg("--check").arg(dir.path().join("conf")).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let drop_ins = printed_drop_ins(&said);
    assert!(drop_ins.len() >= 10, "{said}");
    for (unit, text) in &drop_ins {
        let dir = installed.unit_dir().join(format!("{unit}.d"));
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("emailrelay.conf"), text).unwrap();
    }
    for (unit, _) in &drop_ins {
        let (success, told) = installed.analyze(&["verify", "--man=no", unit]);
        let ours: Vec<_> = told.lines().filter(|line| line.contains("emailrelay")).collect();
        assert!(success && ours.is_empty(), "{unit}: {told}");
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
    for unit in files.iter().filter(|file| file.starts_with("usr/lib/systemd/system")) {
        let text = fs::read_to_string(top.join(unit)).unwrap();
        assert!(!text.contains("/usr/local"), "{}: the paths of another prefix", unit.display());
    }
    fs::write(top.join("etc/emailrelay.conf"), "spool-dir /elsewhere\n").unwrap();
    installed.make("install");
    installed.make("uninstall");
    let kept = ["etc/emailrelay.auth", "etc/emailrelay.conf"];
    assert_eq!(files_below(top), kept.map(PathBuf::from));
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
