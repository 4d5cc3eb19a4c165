//! TLS at the service in its sandbox, with a key that only systemd can read.

use crate::support::certs::Authority;
use crate::support::container::Container;
use crate::support::need::{self, require};
use crate::support::relay::{CONFIGURATION, Relay, SMTP};
use crate::support::rootfs::Rootfs;

const KEY: &str = "/etc/emailrelay.pem";

/// Puts a new key with its certificate where root alone can read it.
fn renew(container: &Container, authority: &Authority) {
    let pem = authority.issue("server.pem", &["localhost"]);
    container.write(KEY, &std::fs::read_to_string(pem).unwrap());
    container.sh(&format!("chown root:root {KEY}; chmod 600 {KEY}"));
}

/// One message by swaks from inside, over a connection whose certificate is checked.
fn send(container: &Container, server: &str, how: &str) {
    let envelope = ["--from", "a@example.com", "--to", "b@example.com", "--silent", "2"];
    let checked = ["--tls-verify", "--tls-ca-path", "/etc/ca.pem"];
    container.run(&[&["swaks", "--server", server, how][..], &checked, &envelope].concat());
}

/// The certificate that port 465 shows.
fn shown(container: &Container) -> String {
    let client = "openssl s_client -connect localhost:465 -CAfile /etc/ca.pem -verify_return_error </dev/null 2>/dev/null";
    container.sh(&format!("{client} | openssl x509 -noout -fingerprint -sha256"))
}

#[test]
fn port_465_and_starttls_serve_with_a_key_that_the_service_cannot_read() {
    require!(Rootfs::missing(), need::program("swaks"), need::program("openssl"));
    let authority = Authority::new();
    let relay = Relay::enabled_with(&format!(
        "{CONFIGURATION}server-tls\nserver-tls-required\nserver-tls-certificate @cred/tls\n"
    ));
    let container = &relay.container;
    container.write("/etc/ca.pem", &std::fs::read_to_string(authority.file()).unwrap());
    renew(container, &authority);
    container.drop_in(SMTP, &format!("[Service]\nLoadCredential=tls:{KEY}\n"));
    container.systemctl(&["enable", "--now", "emailrelay-smtps.socket"]);

    // The first client of either port starts the service.
    send(container, "localhost:465", "--tls-on-connect");
    relay.wait_smtp("active");
    send(container, "localhost:25", "--tls");
    assert_eq!(container.starts(SMTP), 1);
    let delivered = relay.hop().wait_accepted(2);
    for message in &delivered {
        let content = String::from_utf8_lossy(&message.content).into_owned();
        assert!(content.contains(" with ESMTPS tls TLS_AES_256_GCM_SHA384 ; "), "{content}");
    }
    assert_eq!(relay.client().command("MAIL FROM:<a@b>").lines, ["encryption required: use starttls"]);
    // Neither the file nor the network is within its reach.
    let pid = relay.smtp("MainPID");
    assert_eq!(container.try_run(&["runuser", "-u", "emailrelay", "--", "cat", KEY]).code, 1);
    assert_eq!(relay.smtp("PrivateNetwork"), "yes");

    // A renewed certificate comes with a restart, which refuses nobody.
    let before = shown(container);
    let mut waiting = relay.client();
    renew(container, &authority);
    container.systemctl(&["restart", SMTP]);
    assert_eq!(waiting.reply().unwrap().lines, ["4.3.2 service shutting down"]);
    assert_ne!(shown(container), before);
    send(container, "localhost:465", "--tls-on-connect");
    relay.hop().wait_accepted(3);
    assert_ne!(relay.smtp("MainPID"), pid);
    assert!(!container.journal(&[]).contains("panicked"));
}
