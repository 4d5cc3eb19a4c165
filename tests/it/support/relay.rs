//! The relay as an administrator has it: installed and enabled in a container, with a next hop beside it.

use std::time::Duration;

use super::client::SmtpClient;
use super::container::{Container, local};
use super::hop::{Script, ScriptedHop};
use super::{PATIENCE, spool, wait_for};
use crate::container::installed_container;

/// A container with the relay configured and enabled, and perhaps a next hop in its network.
pub(crate) struct Relay {
    pub(crate) container: Container,
    pub(crate) hop: Option<ScriptedHop>,
}

impl Relay {
    /// Everything as an administrator does it: install, configure, enable three units.
    pub(crate) fn enabled() -> Self {
        Self::enabled_with(CONFIGURATION)
    }

    /// The same with this configuration file.
    pub(crate) fn enabled_with(configuration: &str) -> Self {
        let container = installed_container();
        container.run(&["journalctl", "--update-catalog"]);
        let mut relay = Self { container, hop: None };
        relay.configure(configuration);
        relay.hop_up();
        relay.container.systemctl(&["enable", "--now", UNITS[0], UNITS[1], UNITS[2]]);
        relay
    }

    /// Replaces the configuration file; nobody is told.
    pub(crate) fn configure(&self, configuration: &str) {
        self.container.write("/etc/emailrelay.conf", configuration);
    }

    pub(crate) fn hop_up(&mut self) {
        self.hop = Some(self.container.in_network(|| ScriptedHop::start_on(local(2526), Script::well())));
    }

    pub(crate) fn hop(&self) -> &ScriptedHop {
        self.hop.as_ref().expect("the next hop is up")
    }

    /// Overrides the command line of a role: `option` in front of what the unit has.
    pub(crate) fn role(&self, role: &str, options: &str) {
        let start = format!(
            "[Service]\nExecStart=\nExecStart=/usr/local/sbin/emailrelay-{role} {options} /etc/emailrelay.conf\n"
        );
        self.container.drop_in(&format!("emailrelay-{role}.service"), &start);
    }

    /// The timer as often as a test can wait for.
    pub(crate) fn quick_timer(&self) {
        let often = "[Timer]\nOnUnitInactiveSec=\nOnUnitInactiveSec=2\nAccuracySec=100ms\n";
        self.container.drop_in("emailrelay-forward.timer", often);
        self.container.systemctl(&["restart", "emailrelay-forward.timer"]);
    }

    /// One message by swaks from inside; returns when it has been acknowledged.
    pub(crate) fn swaks(&self) {
        let envelope = ["--from", "a@example.com", "--to", "b@example.com", "--header", "Subject: first"];
        self.container
            .run(&[&["swaks", "--server", "127.0.0.1:25", "--silent", "2"][..], &envelope].concat());
    }

    /// A client of port 25 that has said EHLO.
    pub(crate) fn client(&self) -> SmtpClient {
        self.container.in_network(|| SmtpClient::connect(local(25)))
    }

    /// A property of the SMTP service.
    pub(crate) fn smtp(&self, property: &str) -> String {
        self.container.property(SMTP, property)
    }

    /// Waits until the SMTP service is in this state.
    pub(crate) fn wait_smtp(&self, state: &str) {
        wait_for(&format!("{SMTP} {state}"), PATIENCE, || (self.smtp("ActiveState") == state).then_some(()));
    }

    /// Waits until the journal has a line with this text.
    pub(crate) fn wait_journal(&self, text: &str) {
        wait_for(&format!("journal: {text}"), PATIENCE, || {
            self.container.journal(&["-o", "cat"]).contains(text).then_some(())
        });
    }

    pub(crate) fn wait_no_process(&self) {
        wait_for("no process", Duration::from_secs(90), || {
            self.container.processes("emailrelay").is_empty().then_some(())
        });
    }

    pub(crate) fn wait_empty_spool(&self) {
        wait_for("empty spool", PATIENCE, || self.spool_files().is_empty().then_some(()));
    }

    pub(crate) fn spool_files(&self) -> Vec<String> {
        spool::list(&self.container.path("/var/spool/emailrelay"))
    }
}

/// The next hop of the tests, asked again soon.
pub(crate) const CONFIGURATION: &str = "forward-to 127.0.0.1:2526\nretry-first 1\nretry-max 2\n";

/// What an administrator enables.
pub(crate) const UNITS: [&str; 3] =
    ["emailrelay-smtp.socket", "emailrelay-forward.path", "emailrelay-forward.timer"];
pub(crate) const SMTP: &str = "emailrelay-smtp.service";
pub(crate) const FORWARD: &str = "emailrelay-forward.service";
