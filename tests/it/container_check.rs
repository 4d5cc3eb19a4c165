//! What `--check` says of systemd, done.

use crate::container::installed_container;
use crate::support::client::SmtpClient;
use crate::support::container::{Container, local};
use crate::support::hop::{Script, ScriptedHop};
use crate::support::need::{self, require};
use crate::support::pop::PopClient;
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

/// Something of every kind that is printed: a spool and a log elsewhere, files for root alone, keys of others, a network, times.
const EVERYTHING: &str = "as-server\ninterface 127.0.0.1\nport 2500\nspool-dir /srv/spool\ndelivery-dir /srv/in\n\
    log-file /var/log/relay-%d\nserver-tls\nserver-tls-certificate /etc/ssl/private/site.key,/etc/ssl/private/site.pem\n\
    server-auth /etc/relay.auth\nclient-tls\nclient-tls-certificate /etc/ssl/private/site.key,/etc/ssl/private/site.pem\n\
    pop\npop-port 1110\npop-auth /etc/relay.auth\nadmin 10026\npid-file /run/relay/pid\n\
    forward-to 127.0.0.1:2526\nforward-on-disconnect\nimmediate\npoll 30\n";

fn check_all(container: &Container) -> String {
    let said = container.run(&[
        "/usr/local/sbin/emailrelay",
        "--check",
        "--user",
        "emailrelay",
        "/etc/emailrelay.conf",
    ]);
    for kind in [
        "ListenStream=",
        "ReadWritePaths=/srv/spool",
        "ReadWritePaths=/srv/in",
        "PathExists=/srv/spool/",
        "OnUnitInactiveSec=30",
        "LogsDirectory=",
        "BindPaths=",
        "RuntimeDirectory=relay",
        "LoadCredential=etc+ssl+private+site.key:/etc/ssl/private/site.key",
        "LoadCredential=etc+ssl+private+site.pem:/etc/ssl/private/site.pem",
        "LoadCredential=etc+relay.auth:/etc/relay.auth",
        "IPAddressAllow=localhost",
        "PrivateNetwork=no",
    ] {
        assert!(said.contains(kind), "{kind}: {said}");
    }
    said
}

/// A message in, by a client that logs in over TLS, and out; a login by POP.
fn serves(container: &Container, hop: &ScriptedHop, count: usize) {
    container.run(&[
        "swaks",
        "--server",
        "127.0.0.1:2500",
        "--tls",
        "--silent",
        "2",
        "--from",
        "a@x.test",
        "--to",
        "b@y.test",
        "--auth",
        "PLAIN",
        "--auth-user",
        "me",
        "--auth-password",
        "secret",
    ]);
    hop.wait_accepted(count);
    container.in_network(|| PopClient::login(local(1110), "me", "secret").quit());
    wait_for("an empty spool", PATIENCE, || {
        container.sh("ls /srv/spool").lines().all(|name| !name.contains("envelope")).then_some(())
    });
    let failed = container.systemctl(&["list-units", "--failed", "--plain", "--no-legend", "emailrelay*"]);
    assert_eq!(failed, "");
}

#[test]
fn every_kind_of_printed_line_does_what_it_is_for() {
    require!(Rootfs::missing(), need::program("swaks"), need::program("openssl"));
    let container = installed_container();
    container.write("/etc/emailrelay.conf", EVERYTHING);
    container.sh("install -d -o emailrelay -g emailrelay -m 2770 /srv/spool /srv/in; echo server plain me secret >/etc/relay.auth
        chmod 600 /etc/relay.auth; mkdir -p /etc/ssl/private; chmod 700 /etc/ssl/private; cd /etc/ssl/private
        openssl req -x509 -newkey rsa:2048 -nodes -days 90 -subj /CN=relay.example -out site.pem -keyout site.key 2>/dev/null
        chmod 600 site.*");
    let hop = container.in_network(|| ScriptedHop::start_on(local(2526), Script::well()));
    let said = check_all(&container);
    for (unit, text) in printed_drop_ins(&said) {
        container.write(&format!("/etc/systemd/system/{unit}.d/emailrelay.conf"), &text);
    }
    container.systemctl(&["daemon-reload"]);
    let enable: Vec<&str> =
        said.lines().filter_map(|line| line.strip_prefix("#   systemctl enable --now ")).collect();
    assert_eq!(enable[1], "emailrelay.service");
    for (number, units) in enable.into_iter().enumerate() {
        let units: Vec<&str> = units.split(' ').collect();
        container.systemctl(&[&["enable", "--now"][..], &units].concat());
        serves(&container, &hop, number + 1);
        let logged = container.sh("cat /var/log/emailrelay/relay-2*");
        assert_eq!(logged.matches("message forwarded").count(), number + 1, "{logged}");
        container.systemctl(&[&["disable", "--now"][..], &units].concat());
    }
    container.power_off();
}
