//! Administration as installed: a socket of the service manager, a sandbox, and users known by the kernel.

use crate::support::need::{self, require};
use crate::support::relay::{CONFIGURATION, Relay};
use crate::support::rootfs::Rootfs;
use crate::support::{PATIENCE, wait_for};

const SOCKET: &str = "emailrelay-admin.socket";
const SERVICE: &str = "emailrelay-admin.service";

/// What the administration says to these lines, as this user.
fn ask(relay: &Relay, user: &[&str], lines: &str) -> String {
    let script = format!("printf '{lines}' | socat -t 30 - UNIX-CONNECT:/run/emailrelay/admin.sock");
    relay.container.try_run(&[user, &["sh", "-c", &script]].concat()).stdout
}

fn administered() -> Relay {
    let relay = Relay::enabled_with(CONFIGURATION);
    relay.container.systemctl(&["enable", "--now", SOCKET]);
    relay
}

#[test]
fn the_service_knows_who_asks_and_moves_mail_without_a_network() {
    require!(Rootfs::missing(), need::program("socat"), need::program("setpriv"));
    let relay = administered();
    assert_eq!(relay.container.property(SERVICE, "ActiveState"), "inactive");
    relay.container.systemctl(&["stop", "emailrelay-forward.path", "emailrelay-forward.timer"]);
    relay.swaks();

    // Root may do everything; flush says what its sandbox lacks.
    let said = ask(&relay, &[], "help\\nlist\\nflush\\nquit\\n");
    assert!(said.starts_with("commands: dnsbl, failures, flush, forward,"), "{said}");
    assert_eq!(relay.container.property(SERVICE, "ActiveState"), "active");
    assert_eq!(relay.container.property(SERVICE, "PrivateNetwork"), "yes");
    let id = said.lines().find_map(|line| Some(&line[line.find("emailrelay.")?..])).unwrap().to_owned();
    let held = ask(&relay, &[], &format!("hold {id}\\nexplain {id}\\nrelease {id}\\n"));
    assert!(held.contains("Waits: until an administrator releases it"), "{held}");
    let waits = relay.container.sh(
        "(echo flush; sleep 5) | socat - UNIX-CONNECT:/run/emailrelay/admin.sock | grep -m1 --line-buffered drop-in",
    );
    assert!(waits.contains("error: flush has no network here: use forward"), "{waits}");

    // A member of the group sees to it that mail moves, and no more.
    relay.container.sh("useradd --no-create-home --groups emailrelay friend");
    let member = ["setpriv", "--reuid=friend", "--regid=nogroup", "--init-groups"];
    let said = ask(&relay, &member, "forward\\nsmtp disable\\n");
    assert_eq!(said, "OK\nE-MailRelay> error: permission denied\nE-MailRelay> ");
    relay.wait_journal("admin: forward by uid=");
    relay.container.systemctl(&["start", "emailrelay-forward.path"]);
    relay.hop().wait_accepted(1);

    // Everybody else is sent away, and that is logged.
    let stranger = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"];
    assert_eq!(ask(&relay, &stranger, "list\\n"), "error: permission denied\n");
    relay.wait_journal("admin connection refused: uid=65534");
    let root = relay.container.journal(&[&format!("_SYSTEMD_UNIT={SERVICE}"), "_UID=0"]);
    assert_eq!(root, "", "{SERVICE} has run as root");
}

/// A message comes in by one service and goes out by another; a third one tells.
#[test]
fn events_of_other_services_are_told_and_smtp_is_switched() {
    require!(Rootfs::missing(), need::program("socat"));
    let relay = administered();
    let listen = "(echo notify all; echo pid; sleep 60) | socat - UNIX-CONNECT:/run/emailrelay/admin.sock >/tmp/events";
    relay.container.run(&["systemd-run", "-q", "sh", "-c", listen]);
    let events = || std::fs::read_to_string(relay.container.path("/tmp/events")).unwrap_or_default();
    wait_for("subscription", PATIENCE, || events().contains("E-MailRelay> ").then_some(()));
    relay.swaks();
    relay.hop().wait_accepted(1);
    wait_for("events", PATIENCE, || events().contains("store: deleted: ").then_some(()));
    let told = events();
    let places =
        ["store: new: ", "store: ready: ", "client: sending: ", "client: sent: "].map(|word| told.find(word));
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{told}");

    assert_eq!(ask(&relay, &[], "smtp disable\\n"), "OK\nE-MailRelay> ");
    let refused = relay.container.try_run(&["swaks", "--server", "127.0.0.1:25", "--to", "b@example.com"]);
    assert!(refused.stdout.contains("421 "), "{refused:?}");
    assert_eq!(ask(&relay, &[], "smtp enable\\n"), "OK\nE-MailRelay> ");
    relay.swaks();
    relay.hop().wait_accepted(2);

    // READY, reload, status, stop.
    relay.container.systemctl(&["reload", SERVICE]);
    relay.wait_journal("configuration reloaded");
    let status = || relay.container.property(SERVICE, "StatusText");
    wait_for("status", PATIENCE, || status().contains("1 administrators").then_some(()));
    relay.container.systemctl(&["stop", SERVICE]);
    assert_eq!(relay.container.property(SERVICE, "Result"), "success");
    assert!(ask(&relay, &[], "pid\\n").ends_with("E-MailRelay> "));
}

#[test]
fn a_drop_in_gives_flush_its_network() {
    require!(Rootfs::missing(), need::program("socat"));
    let relay = administered();
    relay.container.systemctl(&["stop", "emailrelay-forward.path", "emailrelay-forward.timer"]);
    relay.container.drop_in(
        SERVICE,
        "[Service]\nPrivateNetwork=no\nIPAddressDeny=\nRestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX\n",
    );
    relay.swaks();
    let said = relay.container.sh(
        "(echo flush verbose; sleep 5) | socat - UNIX-CONNECT:/run/emailrelay/admin.sock | grep -m1 --line-buffered sent",
    );
    assert_eq!(said, "sent 1 failed 0 left 0");
    relay.hop().wait_accepted(1);
    // The request of the SMTP service is left to the forwarder.
    wait_for("the request alone", PATIENCE, || (relay.spool_files() == ["forward.request"]).then_some(()));
}
