//! The Debian package over one of E-MailRelay 2.6, with configurations as administrators had them: mail flows, and nobody
//! loses what was theirs.

use crate::container_package::build;
use crate::support::client::SmtpClient;
use crate::support::container::{Container, local};
use crate::support::hop::{Script, ScriptedHop};
use crate::support::need::{self, require};
use crate::support::rootfs::Rootfs;
use crate::support::{PATIENCE, wait_for};

/// One set-up of 2.6, and what is to be seen once it has been taken over.
struct Case {
    name: &'static str,
    configuration: &'static str,
    /// Made before, beside the configuration.
    made: &'static str,
    /// A script that must succeed afterwards.
    after: &'static str,
}

/// What every configuration has.
const COMMON: &str = "port 2525\nforward-to 127.0.0.1:2526\nforward-on-disconnect\nlog\n";

const CASES: [Case; 6] = [
    Case {
        name: "accounts with the equals sign, in quotes, with the prefix of an instance",
        configuration: "spool-dir /var/spool/emailrelay\nserver-auth=/etc/emailrelay.auth\n\
            in-spool-dir \"/var/spool/emailrelay-in\"\nin-port 2600\nin-server-auth \"/etc/mail accounts\"\n",
        made: "mkdir -m 2775 /var/spool/emailrelay-in; chgrp daemon /var/spool/emailrelay-in
            echo 'server none 127.0.0.1 here' >'/etc/mail accounts'; chmod 600 '/etc/mail accounts'",
        after: "test \"$(stat -c %a:%U:%G /etc/emailrelay.auth)\" = 640:root:emailrelay
            ! grep LoadCredential /etc/systemd/system/emailrelay.service.d/takeover.conf
            swaks --server 127.0.0.1:2600 --silent 2 --from a@x.test --to b@y.test
            ls /var/spool/emailrelay-in/*.envelope",
    },
    Case {
        name: "a key that others need, below a directory that only they may pass",
        configuration: "server-tls\nserver-tls-certificate /etc/ssl/private/site.key,/etc/ssl/site.pem\nserver-tls-required\n",
        made: "getent group ssl-cert || groupadd -r ssl-cert; useradd -r -G ssl-cert keyholder
            openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=relay.example -out /etc/ssl/site.pem \
                -keyout /etc/ssl/private/site.key 2>/dev/null
            chown root:ssl-cert /etc/ssl/private /etc/ssl/private/site.key
            chmod 710 /etc/ssl/private; chmod 640 /etc/ssl/private/site.key",
        after: "test \"$(stat -c %a:%U:%G /etc/ssl/private/site.key)\" = 640:root:ssl-cert
            test \"$(stat -c %a:%U:%G /etc/ssl/private)\" = 710:root:ssl-cert
            runuser -u keyholder -- test -r /etc/ssl/private/site.key
            openssl s_client -connect 127.0.0.1:2525 -starttls smtp </dev/null 2>&1 | grep 'subject=CN = relay.example'",
    },
    Case {
        name: "a log file where the sample has it",
        configuration: "log-file /var/log/emailrelay-%d\nverbose\n",
        made: "",
        after: "grep -q 'smtp server on' /var/log/emailrelay/emailrelay-2*
            test \"$(stat -c %a:%U:%G /var/log)\" = \"$(cat /root/log.rights)\"",
    },
    Case {
        name: "a pid file where the sample has it",
        configuration: "pid-file /run/emailrelay/emailrelay.pid\n",
        made: "",
        after: "kill -0 $(cat /run/emailrelay/emailrelay.pid); test -S /run/emailrelay/submit",
    },
    Case {
        name: "a pid file where only root may write",
        configuration: "pid-file /var/run/emailrelay.pid\n",
        made: "",
        after: "journalctl -b -u emailrelay.service | grep 'invalid pid file: cannot create file'",
    },
    Case {
        name: "a configuration that only root may read, and a spool elsewhere with what 2.6 left in it",
        configuration: "spool-dir /srv/spool\nuser mail\n",
        made: "mkdir -p -m 2775 /srv/spool; chgrp mail /srv/spool; chmod 2775 /srv/spool
            touch /srv/spool/README; chmod 600 /etc/emailrelay.conf",
        after: "test \"$(stat -c %a:%U:%G /etc/emailrelay.conf)\" = 640:root:emailrelay
            test \"$(stat -c %U /srv/spool/README)\" = root",
    },
];

/// The package of E-MailRelay 2.6: its files, owners and unit, with a program that only stays.
pub(crate) fn install_the_old_package(container: &Container) {
    let top = "/root/old";
    let file = |path: &str, text: &str| container.write(&format!("{top}/{path}"), text);
    file(
        "DEBIAN/control",
        "Package: emailrelay\nVersion: 2.6-1\nArchitecture: all\nMaintainer: nobody <nobody@example.com>\nDescription: old\n",
    );
    file("DEBIAN/conffiles", "/etc/emailrelay.conf\n/etc/emailrelay.auth\n");
    file("etc/emailrelay.conf", "#spool-dir /var/spool/emailrelay\n");
    file("etc/emailrelay.auth", "# accounts\n");
    file("usr/sbin/emailrelay", "#!/bin/sh\nsleep 100000 &\necho $! >/run/emailrelay.pid\n");
    file("lib/systemd/system/emailrelay.service", OLD_UNIT);
    container.sh(&format!(
        "cd {top}; chmod 755 DEBIAN usr/sbin/emailrelay; mkdir -p var/spool/emailrelay
         dpkg-deb -b . /root/old.deb; dpkg -i /root/old.deb
         chgrp daemon /var/spool/emailrelay; chmod 2775 /var/spool/emailrelay; chmod 600 /etc/emailrelay.auth
         systemctl daemon-reload; systemctl enable --now emailrelay.service"
    ));
}

const OLD_UNIT: &str = "[Service]\nType=forking\nPIDFile=/run/emailrelay.pid\nExecStart=/usr/sbin/emailrelay\n\
    [Install]\nWantedBy=multi-user.target\n";

#[test]
fn ordinary_configurations_of_2_6_relay_mail_once_taken_over() {
    require!(
        Rootfs::missing(),
        need::program("openssl"),
        need::program("dpkg-shlibdeps"),
        need::program("make")
    );
    let rootfs = Rootfs::mount();
    let new = build(&rootfs, "3.0.0-1");
    let container = rootfs.boot();
    container.sh("stat -c %a:%U:%G /var/log >/root/log.rights");
    let hop = container.in_network(|| ScriptedHop::start_on(local(2526), Script::well()));
    for (number, case) in CASES.iter().enumerate() {
        eprintln!("== {}", case.name);
        taken_over(&container, &hop, case, number + 1, &new);
        container.sh(
            "dpkg -P emailrelay; rm -rf /etc/emailrelay* '/etc/mail accounts' /var/spool/emailrelay* /srv/spool /run/emailrelay*
             systemctl reset-failed 'emailrelay*' 2>/dev/null || true",
        );
        assert_eq!(
            container.sh(
                "ls -d /etc/systemd/system/*/emailrelay* /etc/systemd/system/emailrelay* 2>/dev/null || true"
            ),
            ""
        );
    }
}

fn taken_over(container: &Container, hop: &ScriptedHop, case: &Case, number: usize, new: &str) {
    install_the_old_package(container);
    container.write("/etc/emailrelay.conf", &format!("{COMMON}{}", case.configuration));
    container.write("/etc/emailrelay.auth", "server none 127.0.0.1 here\n");
    container.sh(case.made);

    let said = container.try_run(&["dpkg", "-i", new]);
    eprintln!("{}", said.stderr);
    assert_eq!(said.code, 0, "{}: {said:?}", case.name);
    let journal = || container.journal(&["-u", "emailrelay.service", "-o", "cat"]);
    assert_eq!(
        container.property("emailrelay.service", "ActiveState"),
        "active",
        "{}: {}",
        case.name,
        journal()
    );
    if !case.configuration.contains("server-tls-required") {
        container.in_network(|| {
            SmtpClient::connect(local(2525)).send("a@x.test", &["b@y.test"], b"Subject: x\r\n\r\n");
        });
    } else {
        container.run(&[
            "swaks",
            "--server",
            "127.0.0.1:2525",
            "--tls",
            "--silent",
            "2",
            "--from",
            "a@x.test",
            "--to",
            "b@y.test",
        ]);
    }
    wait_for(case.name, PATIENCE, || (hop.accepted().len() == number).then_some(()));
    container.sh(case.after);
}
