//! What `--check` says of systemd, done.

use crate::container::installed_container;
use crate::support::client::SmtpClient;
use crate::support::container::local;
use crate::support::need::require;
use crate::support::rootfs::Rootfs;
use crate::support::{PATIENCE, wait_for};
use crate::units::printed_drop_ins;

/// As it was for one process.
const CONFIGURATION: &str = "as-server\ninterface 127.0.0.1\nport 2500\nlog\n";

#[test]
fn the_printed_drop_ins_make_the_roles_serve_where_the_configuration_says() {
    require!(Rootfs::missing());
    let container = installed_container();
    container.write("/etc/emailrelay.conf", CONFIGURATION);
    // The socket as it is installed listens elsewhere: that must not pass for what was asked for.
    container.systemctl(&["start", "emailrelay-smtp.socket"]);
    let failed = || container.journal(&["-u", "emailrelay-smtp.service", "-o", "cat"]);
    container.in_network(|| drop(std::net::TcpStream::connect(local(25)).unwrap()));
    wait_for("the refusal", PATIENCE, || failed().contains("which --interface does not name").then_some(()));
    container.systemctl(&["stop", "emailrelay-smtp.socket", "emailrelay-smtp.service"]);

    let said = container.run(&[
        "/usr/local/sbin/emailrelay",
        "--check",
        "--user",
        "emailrelay",
        "/etc/emailrelay.conf",
    ]);
    for (unit, text) in printed_drop_ins(&said) {
        container.write(&format!("/etc/systemd/system/{unit}.d/emailrelay.conf"), &text);
    }
    let enable = said.lines().find_map(|line| line.strip_prefix("#   systemctl enable --now ")).unwrap();
    container.systemctl(&["daemon-reload"]);
    container.systemctl(&[&["enable", "--now"][..], &enable.split(' ').collect::<Vec<_>>()].concat());
    container.in_network(|| {
        SmtpClient::connect(local(2500)).send("a@x.test", &["b@y.test"], b"Subject: x\r\n\r\n");
        assert!(SmtpClient::try_connect(local(25)).is_err());
    });
    assert_eq!(container.property("emailrelay-smtp.service", "ActiveState"), "active");
    assert_eq!(container.sh("ls /var/spool/emailrelay | grep -c envelope").trim(), "1");
    container.power_off();
}
