//! `emailrelay.service`, all roles in one process, beside the units of the roles.

use crate::container::installed_container;
use crate::support::client::SmtpClient;
use crate::support::container::{Container, local};
use crate::support::need::require;
use crate::support::rootfs::Rootfs;
use crate::support::{PATIENCE, wait_for};

const SINGLE: &str = "emailrelay.service";
const ROLES: [&str; 4] = [
    "emailrelay-smtp.socket",
    "emailrelay-submit.socket",
    "emailrelay-admin.socket",
    "emailrelay-forward.path",
];

fn state(container: &Container, unit: &str) -> String {
    container.property(unit, "ActiveState")
}

/// Whose port 25 is: the first line of the greeting.
fn greeted(container: &Container) {
    container.in_network(|| {
        wait_for("a greeting", PATIENCE, || SmtpClient::try_connect(local(25)).ok().map(drop));
    });
}

#[test]
fn one_process_serves_submission_itself_and_the_roles_stay_away() {
    require!(Rootfs::missing());
    let container = installed_container();
    container.write("/etc/emailrelay.conf", "domain relay.example\n");
    container.systemctl(&[&["enable", "--now"][..], &ROLES].concat());
    greeted(&container);
    assert_eq!(state(&container, "emailrelay-smtp.service"), "active");

    // The port is free when the one process wants it, whoever had it.
    container.systemctl(&["start", SINGLE]);
    assert_eq!(container.starts(SINGLE), 1);
    greeted(&container);
    let submit = "printf 'Subject: x\\n\\nx\\n' | setpriv --reuid 65534 --regid 65534 --clear-groups \
        emailrelay-submit --from a@example.com b@example.com";
    container.sh(submit);
    let envelopes = container.sh("cat /var/spool/emailrelay/*.envelope");
    assert!(envelopes.contains("/uid=65534"), "{envelopes}");
    for unit in ROLES.iter().chain(&["emailrelay-smtp.service"]) {
        assert_eq!(state(&container, unit), "inactive", "{unit}");
    }
    // Nobody starts it again once it has been stopped.
    container.systemctl(&["stop", SINGLE]);
    assert_eq!(state(&container, "emailrelay.socket"), "inactive");

    // And back.
    container.systemctl(&["start", SINGLE]);
    container.systemctl(&[&["start"][..], &ROLES].concat());
    assert_eq!(state(&container, SINGLE), "inactive");
    greeted(&container);
    container.sh(submit);
    assert_eq!(state(&container, "emailrelay-smtp.service"), "active");
    container.power_off();
}
