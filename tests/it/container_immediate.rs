//! `--immediate` at the service in its sandbox, which has no network of its own.

use std::fs;

use crate::support::hop::{Script, reply};
use crate::support::need::require;
use crate::support::relay::{CONFIGURATION, Relay, SMTP};
use crate::support::rootfs::Rootfs;
use crate::support::{PATIENCE, package, wait_for};

#[test]
fn the_service_sends_on_at_once_when_it_has_the_network() {
    require!(Rootfs::missing());
    let relay = Relay::enabled();
    relay.configure(&format!("{CONFIGURATION}immediate\n"));
    relay.container.systemctl(&["start", "--no-block", SMTP]);
    wait_for("the reason", PATIENCE, || {
        let status = relay.smtp("StatusText");
        let told = status.contains("--immediate needs the network")
            && status.contains("examples/systemd/immediate.conf");
        told.then_some(())
    });
    relay.container.systemctl(&["stop", SMTP]);
    relay
        .container
        .drop_in(SMTP, &fs::read_to_string(package().join("examples/systemd/immediate.conf")).unwrap());

    let mut client = relay.client();
    client.send("a@example.com", &["b@example.com"], b"Subject: first\r\n\r\n");
    // By the service itself, and with nothing left for the forwarder.
    assert_eq!((relay.hop().accepted().len(), relay.spool_files().len()), (1, 0));
    relay.hop().set(Script { rcpt: reply("550 5.1.1 no such user"), ..Script::well() });
    let refused = client.try_send("a@example.com", &["b@example.com"], b"Subject: second\r\n\r\n").unwrap();
    assert_eq!((refused.code, refused.lines[0].as_str()), (550, "5.1.1 no such user"));
    assert_eq!(relay.spool_files(), Vec::<String>::new());
    relay.wait_journal("message handed back [");
}
