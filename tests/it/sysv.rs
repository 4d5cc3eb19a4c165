//! The script for SysV init, under the shells of Debian and of busybox, and the sample of accounts.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use crate::container::installed_container;
use crate::support::client::SmtpClient;
use crate::support::container::local;
use crate::support::need::{self, require};
use crate::support::rootfs::Rootfs;
use crate::support::{PATIENCE, package, wait_for};

const SCRIPT: &str = "/usr/local/lib/emailrelay/init/emailrelay";

#[test]
fn the_script_starts_reloads_tells_and_stops() {
    require!(Rootfs::missing(), need::program("busybox"), need::program("dash"));
    let container = installed_container();
    container.write(
        "/etc/emailrelay.conf",
        "spool-dir /var/spool/emailrelay\nport 2500\nin-spool-dir /srv/in\nin-port 2501\n",
    );
    for shell in [&["dash"][..], &["busybox", "sh"]] {
        let told = |command: &str| {
            let said = container.try_run(&[shell, &[SCRIPT, command]].concat());
            eprintln!("{shell:?} {command}: {said:?}");
            (said.code, said.stdout + &said.stderr)
        };
        let script = |command: &str| told(command).0;
        let pid = || container.sh("cat /run/emailrelay/emailrelay.pid");
        assert_eq!(script("setup"), 0);
        assert_eq!(container.run(&["stat", "-c", "%a %U %G", "/srv/in"]), "2770 emailrelay emailrelay");
        assert_eq!(told("status"), (3, "emailrelay is not running\n".to_owned()));
        assert_eq!(script("reload"), 7);
        assert_eq!(script("try-restart"), 0);
        assert_eq!(script("status"), 3);
        assert_eq!(script("start"), 0);
        let first = pid();
        assert_eq!(told("status"), (0, "emailrelay is running\n".to_owned()));
        assert_eq!(script("start"), 0);
        assert_eq!(pid(), first, "a second start is none");

        // What is in the file now holds for whoever comes next, in the same process.
        container.sh("echo 'domain reloaded.example' >>/etc/emailrelay.conf");
        assert_eq!(script("reload"), 0);
        wait_for("the new domain", PATIENCE, || {
            let client = container.in_network(|| SmtpClient::connect(local(2500)));
            client.greeting.lines[0].contains("reloaded.example").then_some(())
        });
        assert_eq!(pid(), first);
        for command in ["restart", "force-reload", "try-restart"] {
            let before = pid();
            assert_eq!(script(command), 0, "{command}");
            assert_ne!(pid(), before, "{command}");
        }
        assert_eq!(script("stop"), 0);
        assert_eq!(script("status"), 3);
        assert_eq!(container.processes("emailrelay"), [""; 0]);
        // A number that has become somebody else's.
        container.sh("mkdir -p /run/emailrelay; echo 1 >/run/emailrelay/emailrelay.pid");
        assert_eq!((script("status"), script("stop")), (3, 0));
        container.write("/etc/default/emailrelay", "EMAILRELAY_ENABLED=0\n");
        let (code, said) = told("start");
        assert!(code == 0 && said.contains("warning: not started"), "{said}");
        assert_eq!((script("status"), script("nonsense")), (3, 2));
        container.sh(
            "rm -rf /etc/default/emailrelay /run/emailrelay /srv/in; sed -i /domain/d /etc/emailrelay.conf",
        );
    }
}

/// With the number signs taken away, all of them work.
#[test]
fn examples_of_the_sample_of_accounts_are_good() {
    let sample = fs::read_to_string(package().join("packaging/emailrelay.auth")).unwrap();
    let examples = |side: &str| {
        let lines = sample.lines().filter_map(|line| line.strip_prefix('#'));
        lines.filter(|line| line.starts_with(side)).map(|line| format!("{line}\n")).collect::<String>()
    };
    assert!(sample.lines().all(|line| line.is_empty() || line.starts_with('#')));
    let dir = tempfile::tempdir().unwrap();
    let spool = dir.path().join("spool");
    fs::create_dir(&spool).unwrap();
    for text in [sample.clone(), examples("server ") + &examples("client ")] {
        let auth = dir.path().join("auth");
        fs::write(&auth, text).unwrap();
        fs::set_permissions(&auth, fs::Permissions::from_mode(0o600)).unwrap();
        let mut check = Command::new(crate::support::built().join("emailrelay"));
        check
            .args(["--check", "--as-server", "--user", "root", "--forward-to", "127.0.0.1:25", "--spool-dir"])
            .arg(&spool);
        let output = check.arg("--server-auth").arg(&auth).arg("--client-auth").arg(&auth).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !stderr.contains("auth"), "{stderr}");
    }
    // The password that is told.
    for line in examples("server ").lines().filter(|line| !line.starts_with("server none")) {
        let mut check = Command::new(crate::support::built().join("emailrelay-passwd"));
        let status = check.args(["--password", "secret", "--check", line]).status().unwrap();
        assert!(status.success(), "{line}");
    }
}
