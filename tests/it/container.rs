//! The installed files under a real systemd.

use std::io::{ErrorKind, Read as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::container::{Container, local};
use crate::support::hop::{Script, ScriptedHop};
use crate::support::need::{self, require};
use crate::support::rootfs::Rootfs;
use crate::support::{PATIENCE, built, package, wait_for};

/// `make install` of the programs of this test run below a directory, with the default PREFIX.
pub(crate) fn install(root: &Path) {
    make(root, "install");
}

/// A booted container with our files in it and the identity and directories made, nothing enabled.
pub(crate) fn installed_container() -> Container {
    let rootfs = Rootfs::mount();
    install(rootfs.path());
    let container = rootfs.boot();
    container.run(&["systemd-sysusers"]);
    container.run(&["systemd-tmpfiles", "--create"]);
    container
}

/// Runs a target of the Makefile that takes DESTDIR.
pub(crate) fn make(root: &Path, target: &str) {
    let mut make = Command::new("make");
    make.current_dir(package()).args(["-s", target]);
    make.arg(format!("DESTDIR={}", root.display())).arg(format!("BUILT={}", built().display()));
    let output = make.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "make {target}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn boots_with_our_identity_spool_and_units() {
    require!(Rootfs::missing());
    let container = installed_container();
    assert!(
        container
            .run(&["getent", "passwd", "emailrelay"])
            .ends_with(":/var/spool/emailrelay:/usr/sbin/nologin")
    );
    container.run(&["getent", "group", "emailrelay"]);
    assert_eq!(
        container.run(&["stat", "-c", "%a %U %G", "/var/spool/emailrelay"]),
        "2770 emailrelay emailrelay"
    );
    assert_eq!(
        container.run(&["stat", "-c", "%a %U %G", "/usr/local/bin/emailrelay-submit"]),
        "755 root root"
    );
    assert_eq!(container.processes("emailrelay"), [""; 0]);
    assert_eq!(container.systemctl(&["--failed", "--plain", "--no-legend"]), "");

    if package().join("systemd/emailrelay.catalog").exists() {
        container.run(&["journalctl", "--update-catalog"]);
        let known = container.run(&["journalctl", "--list-catalog"]);
        assert!(known.lines().any(|line| line.contains("E-MailRelay:")), "no entry of ours: {known}");
    }

    container.systemctl(&["preset-all"]);
    let enabled = |unit| container.try_run(&["systemctl", "is-enabled", unit]).stdout.trim().to_owned();
    for unit in ["emailrelay-smtp.socket", "emailrelay-forward.path", "emailrelay-forward.timer"] {
        assert_eq!(enabled(unit), "enabled", "{unit}");
    }
    for unit in ["emailrelay-submission.socket", "emailrelay-smtps.socket", "emailrelay.target"] {
        assert_eq!(enabled(unit), "disabled", "{unit}");
    }
    container.power_off();
}

#[test]
fn scripted_hop_serves_in_the_containers_network() {
    require!(Rootfs::missing(), need::program("swaks"));
    let container = Rootfs::mount().boot();
    let hop = container.in_network(|| ScriptedHop::start_on(local(2526), Script::well()));
    container.run(&[
        "swaks",
        "--server",
        "127.0.0.1:2526",
        "--from",
        "a@example.com",
        "--to",
        "b@example.com",
    ]);
    assert_eq!(hop.wait_accepted(1)[0].mail, "<a@example.com>");
    let outside = TcpStream::connect(local(2526)).map(drop).map_err(|error| error.kind());
    assert_eq!(outside, Err(ErrorKind::ConnectionRefused), "the port is the container's alone");
}

/// A forwarder and a server of three lines that only count, to see what the units alone do.
fn stand_in(container: &Container, program: &str, script: &str) {
    let file = format!("/usr/local/sbin/{program}");
    container.write(&format!("{file}.new"), &format!("#!/bin/sh\n{script}\n"));
    // In one step, since the old one may be running.
    container.sh(&format!("chmod 755 {file}.new; mv {file}.new {file}"));
    container.drop_in(&format!("{program}.service"), "[Service]\nType=exec\n");
}

const RUN: &str = "cd /var/spool/emailrelay; echo run >>runs";

fn runs(container: &Container) -> usize {
    let runs = std::fs::read_to_string(container.path("/var/spool/emailrelay/runs"));
    runs.unwrap_or_default().lines().count()
}

fn request(container: &Container) {
    container.sh("touch /var/spool/emailrelay/forward.request");
}

#[test]
fn forwarding_units_wake_retry_and_never_give_up() {
    require!(Rootfs::missing());
    let container = installed_container();
    stand_in(&container, "emailrelay-forward", &format!("{RUN}; rm -f forward.request; exit 75"));
    container.systemctl(&["enable", "--now", "emailrelay-forward.path"]);
    let state = |unit| container.property(unit, "ActiveState");

    // A request is a run; many in a row never end it.
    for count in 1..=20 {
        request(&container);
        wait_for("a run", PATIENCE, || (runs(&container) >= count).then_some(()));
        wait_for("its end", PATIENCE, || (state("emailrelay-forward.service") == "inactive").then_some(()));
    }
    assert_eq!((runs(&container), state("emailrelay-forward.path").as_str()), (20, "active"));
    assert_eq!(container.property("emailrelay-forward.service", "Result"), "success", "75 is a success");

    // One that cannot do its work, and so leaves the request, is tried again, but not at once.
    stand_in(&container, "emailrelay-forward", &format!("{RUN}; exit 1"));
    request(&container);
    wait_for("the next try", PATIENCE, || (runs(&container) >= 22).then_some(()));
    let starts = container.starts("emailrelay-forward.service");
    assert!((22..=23).contains(&starts), "{starts}");
    stand_in(&container, "emailrelay-forward", &format!("{RUN}; rm -f forward.request; exit 0"));
    wait_for("a good run", PATIENCE, || (state("emailrelay-forward.service") == "inactive").then_some(()));
    assert_eq!(state("emailrelay-forward.path"), "active");

    // The sandbox lets a role work on what a user's emailrelay-submit has left, and write nowhere else.
    let foreign = "mv foreign taken; cat taken >>runs; rm taken; if touch /var/tmp/../x /etc/x; then echo leak >>runs; fi";
    stand_in(&container, "emailrelay-forward", &format!("{RUN}; {foreign}; rm -f forward.request; exit 0"));
    let spool = "/var/spool/emailrelay";
    container.sh(&format!(
        "cd {spool}; echo foreign >foreign; chown nobody:emailrelay foreign; chmod 660 foreign"
    ));
    let before = runs(&container);
    request(&container);
    wait_for("its message", PATIENCE, || (runs(&container) == before + 2).then_some(()));
    wait_for("its end", PATIENCE, || (state("emailrelay-forward.service") == "inactive").then_some(()));
    assert_eq!((runs(&container), container.sh(&format!("ls {spool}"))), (before + 2, "runs".to_owned()));

    // The timer starts a run again and again, after each one that ended with messages waiting.
    stand_in(&container, "emailrelay-forward", &format!("{RUN}; exit 75"));
    container.drop_in(
        "emailrelay-forward.timer",
        "[Timer]\nOnUnitInactiveSec=\nOnUnitInactiveSec=1\nAccuracySec=100ms\n",
    );
    let before = runs(&container);
    container.systemctl(&["enable", "--now", "emailrelay-forward.timer"]);
    wait_for("runs by the timer", PATIENCE, || (runs(&container) >= before + 4).then_some(()));
}

#[test]
fn port_stays_open_while_its_service_cannot_start() {
    require!(Rootfs::missing());
    let container = installed_container();
    stand_in(&container, "emailrelay-smtp", &format!("{RUN}; exit 1"));
    container.systemctl(&["enable", "--now", "emailrelay-smtp.socket"]);
    let client = container.in_network(|| TcpStream::connect(local(25)).unwrap());
    wait_for("several tries", PATIENCE, || (runs(&container) >= 4).then_some(()));
    assert_eq!(container.property("emailrelay-smtp.socket", "ActiveState"), "active");

    // The client that waited is served as soon as the service works: the first inherited descriptor is the port.
    let serve = "import os,socket\ns=socket.socket(fileno=3)\nc,_=s.accept()\n\
                 c.sendall(b'220 '+os.environ['LISTEN_FDNAMES'].encode())\nc.close()";
    container.write("/usr/local/share/serve.py", serve);
    stand_in(&container, "emailrelay-smtp", "exec /usr/bin/python3 /usr/local/share/serve.py");
    let mut greeting = String::new();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    (&client).read_to_string(&mut greeting).unwrap();
    assert_eq!(greeting, "220 smtp");
}

#[test]
fn instances_have_their_own_spool_and_port() {
    require!(Rootfs::missing());
    let container = installed_container();
    stand_in(
        &container,
        "emailrelay-smtp",
        "cd /var/spool/emailrelay-in; echo \"$*\" >>runs; exec sleep 1000",
    );
    container.drop_in("emailrelay-smtp@in.service", "[Service]\nType=exec\n");
    container.drop_in("emailrelay-smtp@in.socket", "[Socket]\nListenStream=\nListenStream=127.0.0.1:2600\n");
    container.systemctl(&["enable", "--now", "emailrelay-smtp@in.socket", "emailrelay-forward@in.path"]);
    let _client = container.in_network(|| TcpStream::connect(local(2600)).unwrap());
    let runs = container.path("/var/spool/emailrelay-in/runs");
    let arguments = wait_for("the instance", PATIENCE, || {
        std::fs::read_to_string(&runs).ok().filter(|text| !text.is_empty())
    });
    assert_eq!(arguments.trim(), "--instance in --idle-exit 300 /etc/emailrelay.conf");
    assert_eq!(
        container.run(&["stat", "-c", "%a %U %G", "/var/spool/emailrelay-in"]),
        "2770 emailrelay emailrelay"
    );

    // One stop for everything that belongs to the relay.
    container.systemctl(&["start", "emailrelay.target"]);
    assert_eq!(container.property("emailrelay-forward.timer", "ActiveState"), "active");
    container.systemctl(&["stop", "emailrelay.target"]);
    for unit in [
        "emailrelay-smtp@in.service",
        "emailrelay-smtp@in.socket",
        "emailrelay-forward@in.path",
        "emailrelay-smtp.socket",
    ] {
        // systemctl waits for the target alone.
        wait_for(unit, PATIENCE, || (container.property(unit, "ActiveState") == "inactive").then_some(()));
    }
}
