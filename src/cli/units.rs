//! `--check`: which units of systemd, with which drop-ins, do what the settings say.
//!
//! The roles take their ports from socket units and their times from a timer, so what a configuration says of them has to
//! be said there too. Everything is shown as comments behind the options in force.

mod needs;
mod rights;
mod services;
mod sockets;

use std::fmt::Write;
use std::path::{Path, PathBuf};

use self::needs::Needs;
use self::rights::Who;
use super::{Environment, Invocation, Program};
use crate::config::Settings;

/// Where the installed units and programs look for the configuration.
const CONFIGURATION: &str = "/etc/emailrelay.conf";
/// The unit for all roles in one process.
const ONE_PROCESS: &str = "emailrelay.service";
/// Name of all drop-ins.
const DROP_IN: &str = "emailrelay.conf";
/// Where the installed services may write.
const SPOOL: &str = "/var/spool/emailrelay";

/// What is to be said of one instance.
#[derive(Debug, Default)]
struct Plan {
    /// Units to enable, in the order in which they are named.
    enabled: Vec<String>,
    /// Drop-ins: the unit, and the lines.
    drop_ins: Vec<(String, Vec<String>)>,
    /// Sentences.
    notes: Vec<String>,
}

impl Plan {
    fn enable(&mut self, unit: String) {
        if !self.enabled.contains(&unit) {
            self.enabled.push(unit);
        }
    }

    /// Adds lines to a section of a unit; nothing for no lines.
    fn drop_in(&mut self, unit: &str, section: &str, lines: Vec<String>) {
        if lines.is_empty() {
            return;
        }
        let at = self.drop_ins.iter().position(|(known, _)| known == unit).unwrap_or_else(|| {
            self.drop_ins.push((unit.to_owned(), vec![format!("[{section}]")]));
            self.drop_ins.len() - 1
        });
        if let Some((_, text)) = self.drop_ins.get_mut(at) {
            text.extend(lines);
        }
    }

    /// Adds what a service needs of the file system.
    fn need(&mut self, unit: &str, needs: Needs) {
        self.drop_in(unit, "Service", needs.lines);
        let new = needs.notes.into_iter().filter(|note| !self.notes.contains(note)).collect::<Vec<_>>();
        self.notes.extend(new);
    }
}

/// An instance and how its units are called.
struct Site<'a> {
    settings: &'a Settings,
    env: &'a Environment,
}

impl Site<'_> {
    /// `emailrelay-smtp.socket`, or `emailrelay-smtp@NAME.socket`.
    fn unit(&self, role: &str, kind: &str) -> String {
        if self.settings.name.is_empty() {
            format!("emailrelay-{role}.{kind}")
        } else {
            format!("emailrelay-{role}@{}.{kind}", self.settings.name)
        }
    }

    /// Where the units of the instance expect the spool.
    fn usual_spool(&self) -> PathBuf {
        if self.settings.name.is_empty() {
            PathBuf::from(SPOOL)
        } else {
            PathBuf::from(format!("{SPOOL}-{}", self.settings.name))
        }
    }
}

/// What the program's settings are under systemd, as lines of comments; nothing for programs other than `emailrelay`, which
/// are started by their units already.
pub(super) fn text(program: Program, env: &Environment, invocation: &Invocation) -> String {
    if program != Program::Relay || !invocation.instances.iter().any(Settings::has_work) {
        return String::new();
    }
    let who = Who::service();
    let mut text = String::from("\n# Under systemd, with one service for each role:\n");
    for settings in &invocation.instances {
        let site = Site { settings, env };
        let mut plan = Plan::default();
        sockets::plan(&site, &mut plan);
        services::plan(&site, invocation, &who, &mut plan);
        if !settings.name.is_empty() {
            let _ = writeln!(text, "# Instance {}:", settings.name);
        }
        show(&mut text, &plan);
    }
    let files = &invocation.process.config_files;
    if files.iter().any(|file| file != Path::new(CONFIGURATION)) || files.is_empty() {
        line(&mut text, &format!("the services read {CONFIGURATION}: the options above belong there"));
    }
    text.push_str("# Or all roles in one process, with the options as they are:\n");
    show(&mut text, &one_process(env, invocation, &who));
    text
}

/// All roles in one process, whose unit takes ports, times and network as they come.
fn one_process(env: &Environment, invocation: &Invocation, who: &Who) -> Plan {
    let mut needs = Needs::default();
    for settings in &invocation.instances {
        let site = Site { settings, env };
        for role in services::roles(settings) {
            needs.spool(&site, role, Path::new(SPOOL));
            needs.files(&site, role, &invocation.process, who);
        }
        needs.of_one_process(&site, &invocation.process, who);
    }
    let mut plan = Plan::default();
    plan.enable(ONE_PROCESS.to_owned());
    plan.need(ONE_PROCESS, needs);
    plan
}

fn show(text: &mut String, plan: &Plan) {
    if !plan.enabled.is_empty() {
        let _ = writeln!(text, "#   systemctl enable --now {}", plan.enabled.join(" "));
    }
    for (unit, lines) in &plan.drop_ins {
        let _ = writeln!(text, "# /etc/systemd/system/{unit}.d/{DROP_IN}:");
        for line in lines {
            let _ = writeln!(text, "#   {line}");
        }
    }
    for note in &plan.notes {
        line(text, note);
    }
}

fn line(text: &mut String, note: &str) {
    let _ = writeln!(text, "# Note: {note}.");
}
