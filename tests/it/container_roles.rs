//! What the services owe to systemd and to whoever runs them, in their sandboxes.

use std::net::TcpStream;

use crate::support::client::SmtpClient;
use crate::support::container::local;
use crate::support::need::{self, require};
use crate::support::relay::{CONFIGURATION, FORWARD, Relay, SMTP};
use crate::support::rootfs::Rootfs;
use crate::support::{PATIENCE, wait_for};

#[test]
fn reload_takes_a_changed_option_and_drops_nobody() {
    require!(Rootfs::missing());
    let relay = Relay::enabled();
    let mut old = relay.client();
    relay.wait_smtp("active");
    let pid = relay.smtp("MainPID");

    relay.configure(&format!("{CONFIGURATION}size 1000\n"));
    relay.container.systemctl(&["reload", SMTP]);
    relay.wait_journal("configuration reloaded");
    let large = vec![b'x'; 60].into_iter().chain(*b"\r\n").collect::<Vec<u8>>().repeat(30);
    let refused = relay.client().try_send("a@example.com", &["b@example.com"], &large).unwrap();
    assert_eq!(refused.code, 552, "{refused:?}");
    old.send("a@example.com", &["b@example.com"], &large);

    // A mistake changes nothing, and is told.
    relay.configure("sise 1\n");
    relay.container.sh(&format!("kill -HUP {pid}"));
    relay.wait_journal("reload failed: invalid option: \"--sise\"");
    relay.client().send("a@example.com", &["b@example.com"], b"Subject: small\r\n\r\n");
    assert_eq!(old.command("NOOP").code, 250);
    assert_eq!((relay.smtp("ActiveState").as_str(), relay.smtp("MainPID")), ("active", pid));
    relay.configure(CONFIGURATION);
    relay.hop().wait_accepted(2);
}

#[test]
fn status_counts_and_the_watchdog_is_fed() {
    require!(Rootfs::missing());
    let relay = Relay::enabled();
    relay.container.drop_in(SMTP, "[Service]\nWatchdogSec=2\n");
    let mut client = relay.client();
    client.send("a@example.com", &["b@example.com"], b"Subject: one\r\n\r\n");
    let status = |text: &str| {
        wait_for(text, PATIENCE, || relay.smtp("StatusText").contains(text).then_some(()));
    };
    status("1 connections, 1 messages stored");
    drop(client);
    status("0 connections, 1 messages stored from 1 sessions");

    let mut fed = relay.smtp("WatchdogTimestampMonotonic");
    for _ in 0..5 {
        fed = wait_for("sign of life", PATIENCE, || {
            Some(relay.smtp("WatchdogTimestampMonotonic")).filter(|now| *now != fed)
        });
    }
    assert_eq!((relay.smtp("NRestarts").as_str(), relay.container.starts(SMTP)), ("0", 1));

    // One that hangs is replaced.
    let hung = relay.smtp("MainPID");
    relay.container.sh(&format!("kill -STOP {hung}"));
    wait_for("another process", PATIENCE, || (relay.smtp("NRestarts") == "1").then_some(()));
    relay.client().send("a@example.com", &["b@example.com"], b"Subject: two\r\n\r\n");
    assert_ne!(relay.smtp("MainPID"), hung);
    relay.hop().wait_accepted(2);
}

#[test]
fn stop_lets_a_message_in_hand_finish() {
    require!(Rootfs::missing());
    let relay = Relay::enabled();
    let (mut idle, mut sending) = (relay.client(), relay.client());
    for command in ["MAIL FROM:<a@example.com>", "RCPT TO:<b@example.com>", "DATA"] {
        assert!(sending.command(command).code < 400);
    }
    sending.write(b"Subject: slow\r\n\r\nfirst half\r\n").unwrap();
    relay.container.systemctl(&["stop", "--no-block", SMTP]);
    let told = idle.reply().unwrap();
    assert_eq!((told.code, &told.lines[0][..5]), (421, "4.3.2"), "{told:?}");
    assert_eq!(relay.smtp("ActiveState"), "deactivating");
    sending.write(b"second half\r\n.\r\n").unwrap();
    assert_eq!(sending.reply().unwrap().code, 250);
    relay.wait_smtp("inactive");
    assert_eq!(relay.smtp("Result"), "success");
    assert!(relay.hop().wait_accepted(1)[0].content.ends_with(b"second half\r\n"));
    // The port is systemd's: the next client starts a new process.
    assert_eq!(relay.client().command("NOOP").code, 250);
}

#[test]
fn sandbox_has_all_that_the_roles_need() {
    require!(Rootfs::missing(), need::file(TOKYO));
    let relay = Relay::enabled();
    relay.container.sh(&format!("ln -sf {TOKYO} /etc/localtime; hostname relay.example.net"));
    let mut client = relay.client();
    assert!(client.greeting.lines[0].starts_with("relay.example.net "), "{:?}", client.greeting);
    assert_eq!(relay.smtp("PrivateNetwork"), "yes");
    client.send("a@example.com", &["b@example.com"], b"Subject: far\r\n\r\n");
    let delivery = relay.hop().wait_accepted(1).remove(0);
    let content = String::from_utf8_lossy(&delivery.content).into_owned();
    assert!(content.contains(" +0900\r\n") && content.contains("by relay.example.net "), "{content}");
    relay.hop().wait_command("EHLO relay.example.net");
    // Structured entries, not the text of stderr.
    relay.wait_journal("message forwarded");
    for unit in [SMTP, FORWARD] {
        let root = relay.container.journal(&[&format!("_SYSTEMD_UNIT={unit}"), "_UID=0"]);
        assert_eq!(root, "", "{unit} has run as root");
        let ours = relay.container.journal(&["-o", "json", &format!("_SYSTEMD_UNIT={unit}")]);
        assert!(
            ours.contains("\"_TRANSPORT\":\"journal\"") && !ours.contains("\"_TRANSPORT\":\"stdout\""),
            "{ours}"
        );
        assert!(ours.contains("\"SYSLOG_FACILITY\":\"2\""), "{ours}");
    }
}

const TOKYO: &str = "/usr/share/zoneinfo/Asia/Tokyo";

#[test]
fn credentials_are_files_of_option_values() {
    require!(Rootfs::missing());
    let relay = Relay::enabled();
    relay.container.write("/etc/secret.conf", "domain secret.example.net\n");
    relay.container.sh("chmod 600 /etc/secret.conf");
    relay.container.drop_in(
        SMTP,
        "[Service]\nLoadCredential=relay:/etc/secret.conf\nExecStart=\n\
         ExecStart=/usr/local/sbin/emailrelay-smtp @cred/relay\n",
    );
    let client = relay.client();
    assert!(client.greeting.lines[0].starts_with("secret.example.net "), "{:?}", client.greeting);
}

#[test]
fn instance_relays_from_its_own_port_and_spool() {
    require!(Rootfs::missing());
    let relay = Relay::enabled_with(
        "in-spool-dir /var/spool/emailrelay-in\nin-forward-to 127.0.0.1:2526\nin-domain in.example.net\n",
    );
    relay
        .container
        .drop_in("emailrelay-smtp@in.socket", "[Socket]\nListenStream=\nListenStream=127.0.0.1:2600\n");
    relay.container.systemctl(&[
        "enable",
        "--now",
        "emailrelay-smtp@in.socket",
        "emailrelay-forward@in.path",
    ]);
    let mut client = relay.container.in_network(|| SmtpClient::connect(local(2600)));
    assert!(client.greeting.lines[0].starts_with("in.example.net "), "{:?}", client.greeting);
    client.send("a@example.com", &["b@example.com"], b"Subject: in\r\n\r\n");
    relay.hop().wait_accepted(1);
    relay.wait_journal("message forwarded");
    let lines = relay.container.journal(&["EMAILRELAY_INSTANCE=in", "-o", "cat"]);
    assert!(lines.contains("message stored") && lines.contains("message forwarded"), "{lines}");
    let state = |unit| relay.container.property(unit, "ActiveState");
    assert_eq!((state("emailrelay-smtp@in.service"), state(SMTP)), ("active".into(), "inactive".into()));
}

/// The state of a machine that only receives mail, or on which the installed example was not edited.
#[test]
fn forwarder_without_next_hop_is_no_failure_and_does_not_spin() {
    require!(Rootfs::missing());
    let relay = Relay::enabled_with("# forward-to is missing\n");
    relay.container.drop_in(
        FORWARD,
        "[Service]\nExecStart=\nExecStart=/usr/local/sbin/emailrelay-forward /etc/emailrelay.conf\n",
    );
    let said = || relay.container.journal(&["-u", FORWARD, "-o", "cat"]).matches(NO_NEXT_HOP).count();
    let mut client = relay.client();
    client.send("a@example.com", &["b@example.com"], b"Subject: waits\r\n\r\n");
    wait_for("the remark", PATIENCE, || (said() == 1).then_some(()));
    let status = relay.container.property(FORWARD, "StatusText");
    assert!(status.contains(NO_NEXT_HOP), "{status}");
    assert_eq!(relay.container.property(FORWARD, "ActiveState"), "active");
    // However many there are, nobody is started for them as long as this one stays.
    for _ in 0..20 {
        client.send("a@example.com", &["b@example.com"], b"Subject: waits too\r\n\r\n");
    }
    assert_eq!(relay.container.starts(FORWARD), 1);
    wait_for("the end", PATIENCE, || {
        (relay.container.property(FORWARD, "ActiveState") == "inactive").then_some(())
    });
    assert_eq!(relay.container.property(FORWARD, "Result"), "success");
    assert_eq!((relay.container.property(FORWARD, "NRestarts").as_str(), said()), ("0", 1));
    assert_eq!(relay.container.property("emailrelay-forward.path", "ActiveState"), "active");

    relay.configure(CONFIGURATION);
    client.send("a@example.com", &["b@example.com"], b"Subject: last\r\n\r\n");
    relay.hop().wait_accepted(22);
    relay.wait_empty_spool();
}

const NO_NEXT_HOP: &str = "no next hop (--forward-to): messages stay in the spool";

/// A mistake stays in sight until somebody corrects it.
#[test]
fn forwarder_with_a_wrong_option_is_a_failed_unit_until_it_is_corrected() {
    require!(Rootfs::missing());
    let relay = Relay::enabled_with(&format!("{CONFIGURATION}forward-connections soon\n"));
    let state = || relay.container.property(FORWARD, "ActiveState");
    let spool = "/var/spool/emailrelay/forward.request";
    relay.container.sh(&format!("touch {spool}"));
    wait_for("the failure", PATIENCE, || (state() == "failed").then_some(()));
    assert_eq!(relay.container.property(FORWARD, "ExecMainStatus"), "78");
    let wrong = relay.container.property(FORWARD, "StatusText");
    assert!(wrong.contains("invalid value for --forward-connections"), "{wrong}");
    assert!(!relay.container.path(spool).exists());
    assert_eq!(
        (relay.container.starts(FORWARD), relay.container.property(FORWARD, "NRestarts")),
        (0, "0".into())
    );
    assert_eq!(relay.container.property("emailrelay-forward.path", "ActiveState"), "active");

    relay.configure(CONFIGURATION);
    relay.container.sh(&format!("touch {spool}"));
    wait_for("a start", PATIENCE, || (relay.container.starts(FORWARD) >= 1).then_some(()));
}

#[test]
fn root_and_the_group_submit_and_nobody_else() {
    require!(Rootfs::missing());
    let relay = Relay::enabled();
    relay.container.sh("useradd --no-create-home --groups emailrelay friend");
    let submit = |user: &[&str]| {
        let command = "echo 'Subject: local\n' | emailrelay-submit --from a@example.com b@example.com";
        relay.container.try_run(&[user, &["sh", "-c", command]].concat())
    };
    let member = ["setpriv", "--reuid=friend", "--regid=nogroup", "--init-groups"];
    for (count, user) in [(1, &[][..]), (2, &member[..])] {
        let said = submit(user);
        assert_eq!(said.code, 0, "{said:?}");
        relay.hop().wait_accepted(count);
    }
    let stranger = submit(&["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]);
    assert_ne!(stranger.code, 0, "{stranger:?}");
    assert!(stranger.stderr.contains("/var/spool/emailrelay"), "{stranger:?}");
    relay.wait_empty_spool();
}

/// The sandbox has no network to listen in; whoever forgets that is told what to do.
#[test]
fn service_that_cannot_listen_names_its_socket() {
    require!(Rootfs::missing());
    let relay = Relay::enabled();
    let wait_status = |texts: [&str; 2]| {
        wait_for(texts[0], PATIENCE, || {
            let status = relay.smtp("StatusText");
            texts.iter().all(|text| status.contains(text)).then_some(())
        });
    };
    relay.container.systemctl(&["stop", "emailrelay-smtp.socket"]);
    relay.container.systemctl(&["start", "--no-block", SMTP]);
    wait_status(["socket bind error: *: ", "start emailrelay-smtp.socket"]);
    relay.container.systemctl(&["stop", SMTP]);

    relay.configure("interface 127.0.0.1\n");
    relay.container.systemctl(&["start", "emailrelay-smtp.socket"]);
    let _client = relay.container.in_network(|| TcpStream::connect(local(25)).unwrap());
    wait_status(["which --interface does not name", "give emailrelay-smtp.socket its addresses"]);
}
