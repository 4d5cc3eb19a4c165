//! Logins at the service in its sandbox, by the accounts of a file that only systemd can read.

use crate::support::need::require;
use crate::support::relay::{CONFIGURATION, Relay, SMTP};
use crate::support::rootfs::Rootfs;

#[test]
fn accounts_come_as_a_credential_and_logins_are_found_in_the_journal_by_user() {
    require!(Rootfs::missing());
    let relay = Relay::enabled();
    relay.container.write("/etc/emailrelay.auth", "server plain alice pass1\n");
    relay.container.sh("chown root:root /etc/emailrelay.auth; chmod 600 /etc/emailrelay.auth");
    relay.container.drop_in(SMTP, "[Service]\nLoadCredential=server-auth:/etc/emailrelay.auth\n");
    relay.configure(&format!("{CONFIGURATION}server-auth @cred/server-auth\nsmtp-auth-delay 0\n"));
    relay.container.systemctl(&["stop", SMTP]);

    let mut client = relay.client();
    assert_eq!(client.command("MAIL FROM:<a@example.com>").code, 530);
    // alice with pass2, then with pass1
    assert_eq!(client.command("AUTH PLAIN AGFsaWNlAHBhc3My").code, 535);
    assert_eq!(client.command("AUTH PLAIN AGFsaWNlAHBhc3Mx").code, 235);
    client.send("a@example.com", &["b@example.com"], b"Subject: x\r\n\r\n");
    relay.hop().wait_accepted(1);
    relay.wait_journal("failed authentication of remote client");
    let journal = relay.container.journal(&["-o", "cat", "EMAILRELAY_USER=alice"]);
    let refused = "failed authentication of remote client using mechanism [plain] and plaintext secret for [alice] from line 1";
    assert!(journal.contains(refused), "{journal}");
    assert!(journal.contains("message stored ["), "{journal}");
    assert!(!relay.container.journal(&[]).contains("pass1"));
}
