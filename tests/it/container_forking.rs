//! A unit as people wrote it for 2.6, and syslog as 2.6 wrote to it.

use crate::container::installed_container;
use crate::support::client::SmtpClient;
use crate::support::container::local;
use crate::support::need::require;
use crate::support::rootfs::Rootfs;
use crate::support::{PATIENCE, wait_for};

/// Where standard error is the journal, the same lines go there by its own protocol and not to syslog as well.
const UNIT: &str = "[Service]\nType=forking\nPIDFile=/run/old.pid\nStandardError=null\n\
    ExecStart=/usr/local/sbin/emailrelay --as-server --syslog=local3 --verbose --log-address --pid-file /run/old.pid \
    --user emailrelay --interface 127.0.0.1 --port 2500\n";

#[test]
fn a_forking_unit_works_unchanged_and_syslog_has_every_line() {
    require!(Rootfs::missing());
    let container = installed_container();
    container.write("/etc/systemd/system/old.service", UNIT);
    container.systemctl(&["daemon-reload"]);
    container.systemctl(&["start", "old.service"]);
    assert_eq!(container.property("old.service", "ActiveState"), "active");
    assert_eq!(container.sh("cat /run/old.pid").trim(), container.property("old.service", "MainPID"));
    container.in_network(|| {
        SmtpClient::connect(local(2500)).send("", &["b@example.net"], b"Subject: x\r\n\r\n");
    });
    // local3 is 19; warnings are 4 and all else is 6. The text is the whole line, as log watchers know it.
    let logged = |priority: &str, line: &str| {
        wait_for(line, PATIENCE, || {
            let filter = ["_TRANSPORT=syslog", "SYSLOG_FACILITY=19", "SYSLOG_IDENTIFIER=emailrelay"];
            let text =
                container.journal(&[&filter[..], &["-o", "cat", &format!("PRIORITY={priority}")]].concat());
            text.lines().any(|have| have.starts_with(line)).then_some(())
        });
    };
    logged("6", "emailrelay: info: smtp server on 127.0.0.1:2500");
    logged("6", "emailrelay: info: 127.0.0.1; rx<<: \"MAIL FROM:<>\"");
    logged("4", "emailrelay: warning: 127.0.0.1; empty MAIL-FROM return path");
    container.systemctl(&["stop", "old.service"]);
    assert_eq!(container.property("old.service", "Result"), "success");
    logged("6", "emailrelay: info: shutdown complete");
    container.power_off();
}
