//! The Debian package under a real systemd: from installation to purge.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::container_takeover::install_the_old_package;
use crate::handover::locked_down;
use crate::support::container::{Container, local};
use crate::support::load::Load;
use crate::support::need::{self, require};
use crate::support::relay::{CONFIGURATION, Relay, SMTP, UNITS};
use crate::support::rootfs::Rootfs;
use crate::support::{PATIENCE, built, package, wait_for};

/// Makes packages of the programs of this test run, in the root directory of the container to be; the name of the relay's there.
pub(crate) fn build(rootfs: &Rootfs, version: &str) -> String {
    let package = build_in(&rootfs.path().join("root"), &built(), version);
    Path::new("/root").join(package).display().to_string()
}

/// Makes packages of built programs; the name of the relay's.
pub(crate) fn build_in(into: &Path, built: &Path, version: &str) -> String {
    let mut build = Command::new(package().join("packaging/debian/build"));
    // Compressing the programs of a test run proves nothing; stripping makes them small enough to be copied about.
    build.arg(into).env("BUILT", built).env("VERSION", version).env("COMPRESSION", "none");
    let output = build.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let architecture = Command::new("dpkg").arg("--print-architecture").output().unwrap().stdout;
    let name = format!("emailrelay_{version}_{}.deb", String::from_utf8_lossy(&architecture).trim());
    assert!(into.join(&name).exists());
    name
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
    what_2_6_had_is_there(&relay.container);

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

    removal_keeps_mail_and_configuration(relay, &second);
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

fn what_2_6_had_is_there(container: &Container) {
    let sample = container.run(&["stat", "-c", "%a %U %G", "/etc/emailrelay.auth"]);
    assert_eq!(sample, "640 root emailrelay");
    container.sh("test -x /usr/lib/emailrelay/init/emailrelay");
    let php = "/usr/lib/emailrelay/examples/emailrelay-sendmail.pl -t";
    container.sh(&format!("printf 'To: x@example.com\n\n' | {php}; rm /var/spool/emailrelay/emailrelay.*"));
}

/// The second package, which makes the relay the machine's `sendmail`, for services without any rights.
#[test]
fn package_is_the_sendmail_of_locked_down_services() {
    require!(Rootfs::missing(), need::program("dpkg-shlibdeps"), need::program("make"));
    let rootfs = Rootfs::mount();
    let package = build(&rootfs, "3.0.0-1");
    let mut relay = Relay { container: rootfs.boot(), hop: None };
    let container = &relay.container;
    // The relay alone takes nothing from the mail server that is there.
    let before = container.sh("readlink -f /usr/sbin/sendmail || true");
    container.run(&["dpkg", "-i", &package]);
    assert_eq!(container.sh("readlink -f /usr/sbin/sendmail || true"), before);
    // Whatever this machine has for it goes, as apt does it.
    container.sh(
        "dpkg-query -W -f '${db:Status-Status} ${Package} ${Provides}\\n' | sed -n 's/^installed \\([^ ]*\\) .*mail-transport-agent.*/\\1/p' |
         xargs -r dpkg -r --force-depends
         dpkg -i /root/emailrelay-mta_3.0.0-1_all.deb",
    );
    for name in ["/usr/sbin/sendmail", "/usr/lib/sendmail", "/usr/bin/mailq", "/usr/bin/newaliases"] {
        assert_eq!(container.run(&["readlink", "-f", name]), "/usr/bin/emailrelay-submit", "{name}");
    }
    relay.configure(CONFIGURATION);
    relay.hop_up();
    let message =
        "printf 'Subject: locked\nTo: b@example.com\n\nx\n' | /usr/sbin/sendmail -t -f app@example.com";
    assert_eq!(locked_down(&relay.container, message), 0);
    let delivery = relay.hop().wait_accepted(1).remove(0);
    assert!(delivery.mail.starts_with("<app@example.com>"), "{delivery:?}");
    relay.wait_empty_spool();
    relay.container.run(&["dpkg", "-r", "emailrelay-mta", "emailrelay"]);
}

fn removal_keeps_mail_and_configuration(mut relay: Relay, again: &str) {
    relay.hop = None;
    relay.swaks();
    // As the administrator wants it from now on.
    relay.container.systemctl(&["disable", "--now", "emailrelay-admin.socket"]);
    // A socket cannot be added to a service that runs.
    relay.container.systemctl(&["stop", SMTP]);
    relay.container.systemctl(&["enable", "--now", "emailrelay-submission.socket"]);
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

    installed_again(&mut relay, again);
    relay.hop = None;
    relay.swaks();
    let said = relay.container.try_run(&["dpkg", "-P", "emailrelay"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.stderr.contains("is not empty and stays"), "{said:?}");
    assert!(!relay.container.path("/etc/emailrelay.conf").exists());
    assert_eq!(waiting(&relay), 1);
    assert_eq!(relay.container.systemctl(&["--failed", "--plain", "--no-legend"]), "");
    assert_eq!(relay.container.sh("ls /etc/systemd/system/*/emailrelay* 2>/dev/null || true"), "");
}

/// What was enabled before the removal is enabled and serves; what was not is not.
fn installed_again(relay: &mut Relay, package: &str) {
    relay.hop_up();
    relay.container.run(&["dpkg", "-i", package]);
    for unit in UNITS.into_iter().chain(["emailrelay-submission.socket"]) {
        assert_eq!(state(&relay.container, "is-enabled", unit), "enabled", "{unit}");
        assert_eq!(state(&relay.container, "is-active", unit), "active", "{unit}");
    }
    assert_eq!(state(&relay.container, "is-enabled", "emailrelay-admin.socket"), "disabled");
    // What waited all the time, and a new one.
    relay.swaks();
    relay.hop().wait_accepted(2);
    relay.wait_empty_spool();
}

/// As an administrator had it: another port, accounts for who submits, a poll period.
const OLD_CONFIGURATION: &str = "# our relay\nport 2525\nremote-clients\nforward-to 127.0.0.1:2526\npoll 1\nlog\nverbose\n\
    server-auth /etc/emailrelay.auth\nspool-dir /var/spool/emailrelay\n";

/// Two messages of 2.6: one that waits, one that has failed; with the owners that 2.6 gave them.
fn old_mail(container: &Container) {
    for (id, ending, rest) in [
        ("emailrelay.900.1700000000.1", "", ""),
        (
            "emailrelay.900.1700000000.2",
            ".bad",
            "X-MailRelay-Reason: mailbox unavailable\r\nX-MailRelay-ReasonCode: 550\r\n",
        ),
    ] {
        let envelope = format!(
            "X-MailRelay-Format: #2821.8\r\nX-MailRelay-Content: 8bit\r\nX-MailRelay-From: old@example.com\r\n\
             X-MailRelay-ToCount: 1\r\nX-MailRelay-To-Remote: new@example.com\r\nX-MailRelay-Authentication: \r\n\
             X-MailRelay-Client: 127.0.0.1\r\nX-MailRelay-ClientCertificate: \r\nX-MailRelay-MailFromAuthIn: \r\n\
             X-MailRelay-MailFromAuthOut: \r\nX-MailRelay-ForwardTo: \r\nX-MailRelay-ForwardToAddress: \r\n\
             X-MailRelay-ClientAccountSelector: \r\nX-MailRelay-Utf8MailboxNames: 0\r\nX-MailRelay-End: 1\r\n{rest}"
        );
        container.write(&format!("/var/spool/emailrelay/{id}.envelope{ending}"), &envelope);
        container.write(&format!("/var/spool/emailrelay/{id}.content"), "Subject: old\r\n\r\nfrom 2.6\r\n");
    }
    container.sh("cd /var/spool/emailrelay; chown root:daemon *; chmod 660 *");
}

#[test]
fn package_takes_over_a_set_up_of_2_6() {
    require!(
        Rootfs::missing(),
        need::program("swaks"),
        need::program("dpkg-shlibdeps"),
        need::program("make")
    );
    let rootfs = Rootfs::mount();
    let new = build(&rootfs, "3.0.0-1");
    let mut relay = Relay { container: rootfs.boot(), hop: None };
    install_the_old_package(&relay.container);
    relay.configure(OLD_CONFIGURATION);
    relay.container.write("/etc/emailrelay.auth", "server plain submitter s3cret\n");
    old_mail(&relay.container);
    relay.hop_up();

    let said = relay.container.try_run(&["dpkg", "-i", &new]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.stderr.contains("the group emailrelay may read /etc/emailrelay.auth now"), "{said:?}");
    let container = &relay.container;
    assert_eq!(state(container, "is-enabled", "emailrelay.service"), "enabled");
    assert_eq!(state(container, "is-active", "emailrelay.service"), "active");
    assert_ne!(state(container, "is-enabled", "emailrelay-smtp.socket"), "enabled", "two servers");
    assert_eq!(std::fs::read_to_string(container.path("/etc/emailrelay.conf")).unwrap(), OLD_CONFIGURATION);
    let pid = container.property("emailrelay.service", "MainPID");
    assert_eq!(container.run(&["stat", "-c", "%U", &format!("/proc/{pid}")]), "emailrelay");

    let old = relay.hop().wait_accepted(1).remove(0);
    assert!(old.mail.starts_with("<old@example.com>") && old.content.ends_with(b"from 2.6\r\n"), "{old:?}");
    relay.container.run(&[
        "swaks",
        "--server",
        "127.0.0.1:2525",
        "--silent",
        "2",
        "--from",
        "a@example.com",
        "--to",
        "b@example.com",
        "--auth",
        "PLAIN",
        "--auth-user",
        "submitter",
        "--auth-password",
        "s3cret",
    ]);
    relay.hop().wait_accepted(2);
    // What had failed is kept as it was; the rest goes when the next hop has it.
    let kept = ["emailrelay.900.1700000000.2.content", "emailrelay.900.1700000000.2.envelope.bad"];
    wait_for("only what had failed", PATIENCE, || (relay.spool_files() == kept).then_some(()));
}
