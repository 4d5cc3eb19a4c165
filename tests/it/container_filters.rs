//! Filters and verifiers in the sandboxes of the real units: what they may do, what the drop-ins in `examples/systemd` allow, and
//! what an administrator reads who has forgotten one.

use std::fs;

use crate::container::installed_container;
use crate::support::client::SmtpClient;
use crate::support::container::{Container, local};
use crate::support::need::{self, require};
use crate::support::relay::{CONFIGURATION, FORWARD, Relay, SMTP};
use crate::support::rootfs::Rootfs;
use crate::support::{PATIENCE, package, wait_for};

const FILTER: &str = "/usr/local/lib/emailrelay/probe";

/// Writes into the header what it can do: a word for each thing that worked.
const PROBE: &str = r#"#!/bin/bash
can=
try() { name=$1; shift; "$@" >/dev/null 2>&1 && can="$can $name"; }
write() { : >"$1" && rm "$1"; }
try spool write "$(dirname "$1")/probe.$$"
try tmp write /tmp/probe.$$
try state write /var/lib/my-filter/probe.$$
try etc write /etc/probe.$$
try usr write /usr/local/probe.$$
try home ls /home/somebody/mail
try root ls /root
try tcp bash -c 'exec 3<>/dev/tcp/127.0.0.1/2526'
try udp bash -c 'echo >/dev/udp/127.0.0.1/53'
try suid su nobody -s /bin/true
try others test -e /proc/1/status
try clock date -s 12:00
try mount mount -t tmpfs none /mnt
new="$1.tmp"
{ printf 'X-%s-Can:%s\r\nX-User: %s\r\n' "$POSITION" "$can" "$(id -un)" && cat "$1"; } >"$new" && chmod 660 "$new" && mv "$new" "$1"
"#;

fn install(container: &Container, name: &str, text: &str) {
    container.write(name, text);
    container.sh(&format!("chmod 755 {name}"));
}

/// A relay with the probe at both positions, and things that it must not reach.
fn probed() -> Relay {
    let server = PROBE.replace("$POSITION", "Server");
    let client = PROBE.replace("$POSITION", "Client");
    let relay = Relay::enabled_with(&format!(
        "{CONFIGURATION}filter {FILTER}-server\nclient-filter {FILTER}-client\n"
    ));
    install(&relay.container, &format!("{FILTER}-server"), &server);
    install(&relay.container, &format!("{FILTER}-client"), &client);
    relay.container.sh("mkdir -p /home/somebody/mail /var/lib/my-filter; chmod 755 /home/somebody; chmod 777 /var/lib/my-filter");
    relay
}

/// Sends a message and reads what the filters have written into it.
fn reported(relay: &Relay, count: usize) -> [String; 2] {
    relay.client().send("a@example.com", &["b@example.com"], b"Subject: x\r\n\r\n");
    let content = relay.hop().wait_accepted(count).pop().unwrap().content;
    let text = String::from_utf8(content).unwrap();
    assert_eq!(text.matches("X-User: emailrelay\r\n").count(), 2, "{text}");
    ["X-Server-Can:", "X-Client-Can:"].map(|field| {
        let line = text.lines().find_map(|line| line.strip_prefix(field));
        line.unwrap_or_else(|| panic!("{field} {text}")).trim().to_owned()
    })
}

#[test]
fn filters_may_do_what_the_documentation_says() {
    require!(Rootfs::missing());
    let relay = probed();
    // The forwarder has the network for its next hop.
    assert_eq!(reported(&relay, 1), ["spool tmp", "spool tmp tcp udp"]);
    // What one writes in /tmp is its service's alone.
    assert_eq!(relay.container.sh("ls /tmp | grep probe || true"), "");

    // As examples/systemd/filters.conf tells administrators to.
    let example = fs::read_to_string(package().join("examples/systemd/filters.conf")).unwrap();
    let text =
        example.replace("#ReadWritePaths=", "ReadWritePaths=").replace("#ProtectHome=", "ProtectHome=");
    assert_ne!(text, example);
    for unit in [SMTP, FORWARD] {
        relay.container.drop_in(unit, &text);
    }
    relay.container.systemctl(&["stop", SMTP, FORWARD]);
    let [server, client] = reported(&relay, 2);
    assert_eq!((server.as_str(), client.as_str()), ("spool tmp state home", "spool tmp state home tcp udp"));
    relay.wait_empty_spool();
}

/// The journal tells what each filter did, under the name that the documentation tells people to look for.
#[test]
fn the_journal_has_a_verdict_for_each_filter() {
    require!(Rootfs::missing());
    let relay = Relay::enabled_with(&format!("{CONFIGURATION}filter {FILTER}\nverbose\n"));
    install(&relay.container, FILTER, "#!/bin/sh\necho '<<554 5.7.1 no>>'; echo '<<by rule 7>>'; exit 3\n");
    let refused = relay.client().try_send("a@example.com", &["b@example.com"], b"x\r\n").unwrap();
    assert_eq!((refused.code, refused.lines.join("")), (554, "5.7.1 no".to_owned()));
    let fields = "--output-fields=MESSAGE,EMAILRELAY_RESULT,EMAILRELAY_EXIT,EMAILRELAY_MS,EMAILRELAY_MSGID";
    let entries = wait_for("the verdict", PATIENCE, || {
        let found = relay.container.journal(&["EMAILRELAY_FILTER=probe", "-o", "json", fields]);
        found.contains("\"EMAILRELAY_RESULT\":\"fail\"").then_some(found)
    });
    assert!(
        entries.contains("\"EMAILRELAY_EXIT\":\"3\"") && entries.contains("\"EMAILRELAY_MS\":\""),
        "{entries}"
    );
    assert!(
        entries.contains("reason=[by rule 7]") && entries.contains("\"EMAILRELAY_MSGID\":\"emailrelay."),
        "{entries}"
    );
}

#[test]
fn network_filters_and_verifiers_need_the_drop_in_and_say_so() {
    require!(Rootfs::missing(), need::program("socat"));
    let container = installed_container();
    container.run(&["journalctl", "--update-catalog"]);
    let serve = |address: &str, answer: &str| {
        let script = format!("SYSTEM:while read -r x; do echo {answer}; done");
        container.run(&["systemd-run", "--quiet", "socat", address, &script]);
    };
    serve("TCP-LISTEN:2530,bind=127.0.0.1,fork,reuseaddr", "550 by the server");
    serve("UNIX-LISTEN:/run/filter.s,fork,mode=0666", "551 by unix");
    let status = || container.property(SMTP, "StatusText");
    let configure = |text: &str| {
        container.write("/etc/emailrelay.conf", text);
        // Nobody is to meet the old one any more; the new one may fail to start.
        container.systemctl(&["stop", SMTP]);
        container.systemctl(&["start", "--no-block", SMTP]);
    };
    container.systemctl(&["enable", "--now", "emailrelay-smtp.socket"]);
    for (option, what) in [
        ("filter net:127.0.0.1:2530", "the filter at 127.0.0.1:2530"),
        ("address-verifier net:127.0.0.1:2530", "the address verifier at 127.0.0.1:2530"),
    ] {
        configure(&format!("{option}\n"));
        let told = wait_for(what, PATIENCE, || {
            let text = status();
            text.contains(&format!("{what} needs the network, which the service is shut off from"))
                .then_some(text)
        });
        assert!(told.contains("examples/systemd/network.conf (see docs/filters.md)"), "{told}");
    }
    // A unix socket is no network.
    configure("filter net:/run/filter.s\n");
    let send = || {
        let mut client = container.in_network(|| SmtpClient::connect(local(25)));
        let reply = client.try_send("a@example.com", &["b@example.com"], b"x\r\n").unwrap();
        format!("{} {}", reply.code, reply.lines.join(""))
    };
    assert_eq!(send(), "551 by unix");
    // With the drop-in as it is.
    let drop_in = fs::read_to_string(package().join("examples/systemd/network.conf")).unwrap();
    container.drop_in(SMTP, &drop_in);
    configure("filter net:127.0.0.1:2530\n");
    assert_eq!(send(), "550 by the server");
}

#[test]
fn a_verifier_runs_in_the_sandbox_of_the_server() {
    require!(Rootfs::missing());
    let relay = Relay::enabled_with(&format!(
        "{CONFIGURATION}address-verifier /usr/local/lib/emailrelay/verifier.sh\n"
    ));
    let example = fs::read_to_string(package().join("examples/verifier.sh")).unwrap();
    install(&relay.container, "/usr/local/lib/emailrelay/verifier.sh", &example);
    let rcpt = |address: &str| {
        let mut client = relay.client();
        client.command("MAIL FROM:<a@example.com>");
        client.command(&format!("RCPT TO:<{address}>")).code
    };
    assert_eq!(rcpt("sales@example.com"), 450, "its list is not there yet");
    relay.container.write("/etc/emailrelay/recipients", "sales@example.com\n");
    assert_eq!((rcpt("sales@example.com"), rcpt("eve@example.com")), (250, 550));
}
