//! The POP service as an administrator has it, under a real systemd, in its sandbox.

use std::thread;

use crate::container::installed_container;
use crate::support::container::{Container, local};
use crate::support::need::require;
use crate::support::pop::PopClient;
use crate::support::rootfs::Rootfs;
use crate::support::{PATIENCE, wait_for};

const POP: &str = "emailrelay-pop.service";

/// The POP service enabled, with an account that is a credential.
fn enabled(configuration: &str) -> Container {
    let container = installed_container();
    container.run(&["journalctl", "--update-catalog"]);
    container.write("/etc/emailrelay-pop.auth", "server plain alice secret1\n");
    container.sh("chmod 600 /etc/emailrelay-pop.auth");
    container.write("/etc/emailrelay.conf", &format!("pop-auth @cred/pop-auth\n{configuration}"));
    container.drop_in(POP, "[Service]\nLoadCredential=pop-auth:/etc/emailrelay-pop.auth\n");
    container.systemctl(&["enable", "--now", "emailrelay-pop.socket"]);
    container
}

fn put(container: &Container, name: &str, content: &str) {
    let spool = "/var/spool/emailrelay";
    container.write(&format!("{spool}/{name}.content"), content);
    container.write(&format!("{spool}/{name}.envelope"), "");
    let files = format!("{spool}/{name}.content {spool}/{name}.envelope");
    container.sh(&format!("chown emailrelay:emailrelay {files}; chmod 660 {files}"));
}

fn login(container: &Container) -> PopClient {
    container.in_network(|| PopClient::login(local(110), "alice", "secret1"))
}

#[test]
fn pop_is_started_by_its_socket_and_has_all_it_needs() {
    require!(Rootfs::missing());
    let container = enabled("pop-by-name\n");
    let mut client = login(&container);
    assert_eq!(client.command("STAT"), "+OK 0 0");
    client.quit();
    // The mailbox belongs to the group, whose other members deliver into it.
    let made = container.run(&["stat", "-c", "%a %U %G", "/var/spool/emailrelay/alice"]);
    assert_eq!(made, "2770 emailrelay emailrelay");
    put(&container, "alice/m", "Subject: m\r\n\r\n");
    let mut client = login(&container);
    assert_eq!(client.retrieve(1), b"Subject: m\r\n\r\n");
    assert_eq!(client.command("DELE 1"), "+OK");
    client.quit();
    assert_eq!(container.sh("ls /var/spool/emailrelay/alice"), "");
    let mut stranger = container.in_network(|| PopClient::connect(local(110)));
    stranger.command("USER alice");
    assert_eq!(stranger.command("PASS guess"), "-ERR [AUTH] authentication failed");
    wait_for("journal", PATIENCE, || {
        let failed = container.journal(&["EMAILRELAY_PEER=127.0.0.1", "-o", "cat", "-p", "warning"]);
        failed.contains("failed authentication of remote client using mechanism [plain]").then_some(())
    });
    let all = container.journal(&[]);
    assert!(all.contains("pop authentication of alice connected from 127.0.0.1:"), "{all}");
    assert!(!all.contains("guess") && !all.contains("secret1"), "{all}");
    assert_eq!(container.property(POP, "PrivateNetwork"), "yes");
    let root = container.journal(&[&format!("_SYSTEMD_UNIT={POP}"), "_UID=0"]);
    assert_eq!(root, "", "{POP} has run as root");
}

/// Clients come and go while the service is restarted: nobody is refused, and what was not deleted by QUIT is there.
#[test]
fn a_restart_under_load_refuses_nobody_and_loses_nothing() {
    require!(Rootfs::missing());
    let container = enabled("");
    (0..20).for_each(|n| put(&container, &format!("m{n:02}"), &format!("Subject: {n}\r\n\r\n")));
    login(&container).quit();
    thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|_| {
                let container = &container;
                scope.spawn(move || {
                    container.in_network(|| {
                        for _ in 0..50 {
                            // Always greeted; a stop in the middle is said, not suffered.
                            let mut client = PopClient::connect(local(110));
                            for line in ["USER alice", "PASS secret1", "DELE 1", "NOOP"] {
                                match client.try_command(line) {
                                    Ok(reply) if reply.starts_with("+OK") => {}
                                    Ok(reply) => {
                                        assert_eq!(reply, "-ERR [SYS/TEMP] server is shutting down");
                                        break;
                                    }
                                    Err(_) => break,
                                }
                            }
                        }
                    });
                })
            })
            .collect();
        for _ in 0..3 {
            container.systemctl(&["restart", POP]);
        }
        clients.into_iter().for_each(|client| client.join().unwrap());
    });
    let mut client = login(&container);
    assert!(client.command("STAT").starts_with("+OK 20 "));
    let status = container.property(POP, "StatusText");
    assert!(status.contains("pop connections"), "{status}");
    // A reload reads accounts and options again, and drops nobody.
    container.write("/etc/emailrelay.conf", "pop-auth @cred/pop-auth\npop-no-delete\n");
    container.systemctl(&["reload", POP]);
    wait_for("reload", PATIENCE, || {
        container.journal(&["-o", "cat"]).contains("configuration reloaded").then_some(())
    });
    assert_eq!(client.command("NOOP"), "+OK");
    let mut other = login(&container);
    assert_eq!(other.command("DELE 1"), "+OK");
    other.quit();
    assert!(client.command("STAT").starts_with("+OK 20 "));
}
