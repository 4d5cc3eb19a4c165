//! `--check`: everything that is wrong with a configuration, what is in force, and how systemd does the same.
//!
//! A start ends at the first mistake; here all of them are named, each with the place where the option stands.

use std::path::{Path, PathBuf};

use super::build::{Mode, Remarks};
use super::given::Origin;
use super::merge::{Entries, Entry, Merged};
use super::typed::{self, Failure};
use super::{Environment, Exit, Reader, checks, probe, report, table, units};

/// Stands for the directory of credentials when the service manager has passed none: they are not looked at.
pub(super) const UNSEEN_CREDENTIALS: &str = "/run/credentials/@";

impl Reader<'_> {
    /// The outcome of `--check`. `failures` are those found so far.
    pub(super) fn check(
        &self,
        mut merged: Merged,
        mut failures: Vec<Failure>,
        files: &[PathBuf],
        chosen: Option<&str>,
        remarks: Remarks,
    ) -> Exit {
        let unseen = || Some(PathBuf::from(UNSEEN_CREDENTIALS));
        let credentials_dir = self.env.credentials_dir.clone().or_else(unseen);
        let env = Environment { credentials_dir, ..self.env.clone() };
        let reader = Reader { program: self.program, roles: self.roles, name: self.name.clone(), env: &env };
        failures.extend(reader.failures(&merged));
        let places = merged.clone();
        let mut warnings = remarks.user.clone();
        let mut under_systemd = String::new();
        if failures.is_empty() {
            match reader.settings(&mut merged, files.to_vec(), chosen, remarks) {
                Err(failure) => failures.push(failure),
                Ok(invocation) => {
                    let found = probe::all(&invocation, &env.cwd);
                    warnings.clone_from(&invocation.warnings);
                    // What a start says in its log is said here.
                    for text in invocation.log_warnings.iter().chain(&found.warnings) {
                        if !warnings.contains(text) {
                            warnings.push(text.clone());
                        }
                    }
                    failures.extend(found.errors.into_iter().map(Failure::Error));
                    under_systemd = units::text(self.program, &env, &invocation);
                }
            }
        }
        let warnings: Vec<String> = warnings.iter().map(|text| placed(text, &places)).collect();
        let mut stderr = self.warning_lines(&warnings);
        for failure in &failures {
            stderr.push_str(&self.failure_line(&match failure {
                Failure::Usage(text) => Failure::Usage(placed(text, &places)),
                Failure::Error(text) => Failure::Error(placed(text, &places)),
            }));
        }
        Exit {
            code: u8::from(!failures.is_empty()),
            stdout: report::effective(self.roles, &merged, files) + &under_systemd,
            stderr,
        }
    }

    /// All that is wrong with the options themselves.
    fn failures(&self, merged: &Merged) -> Vec<Failure> {
        let mut failures = self.of_each_option(&merged.process);
        let Some(first) = merged.instances.first() else { return failures };
        let mode = Mode::new(self.program, &merged.process, &first.entries);
        for instance in &merged.instances {
            failures.extend(self.of_each_option(&instance.entries));
            let entries = &instance.entries;
            let next_hop =
                ["as-client", "as-proxy", "forward-to"].into_iter().find_map(|name| entries.get(name));
            let facts = checks::Facts {
                entries,
                env: self.env,
                process: &merged.process,
                log: mode.logs(&merged.process),
                knows: &|name| table::find(name).is_some_and(|opt| self.has(opt)),
                unix_next_hop: next_hop.is_some_and(|entry| Path::new(&entry.value).is_absolute()),
            };
            failures.extend(checks::broken(&facts).into_iter().map(Failure::Usage));
        }
        failures
    }

    /// Values that are none: each option by itself.
    fn of_each_option(&self, entries: &Entries) -> Vec<Failure> {
        let mut failures = Vec::new();
        for (name, entry) in entries {
            let alone: Entries = std::iter::once((*name, entry.clone())).collect();
            let port = entries.contains_key("forward-to-default-port").then_some(super::DEFAULT_PORT);
            let command = typed::command(self.program.as_str(), self.roles, port);
            failures.extend(typed::parse(command, &alone).err());
        }
        failures
    }
}

/// A text with the file and line of the option that it is about, or whose value it names, unless it has a place.
fn placed(text: &str, merged: &Merged) -> String {
    let all = || {
        std::iter::once(&merged.process)
            .chain(merged.instances.iter().map(|one| &one.entries))
            .flat_map(Entries::values)
    };
    let has_place = |entry: &Entry| match &entry.origin {
        Origin::File(path, _) => text.contains(&format!("({}:", path.display())),
        Origin::CommandLine => false,
    };
    if all().any(has_place) {
        return text.to_owned();
    }
    let named = text.split("--").skip(1).find_map(|rest| {
        let name =
            rest.split(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')).next()?;
        all().find(|entry| entry.opt.name == name)
    });
    let of_value = || {
        let is_file = |value: &str| value.len() > 1 && value.contains('/');
        all().find(|entry| {
            let value = entry.value.to_string_lossy();
            value.split(',').any(|part| is_file(part) && text.contains(part))
        })
    };
    // Of two options.
    let of_keyword = || {
        let item = text.strip_prefix("unknown smtp-config item [")?.strip_suffix(']')?;
        all().find(|entry| {
            let words = entry.value.to_string_lossy();
            entry.opt.name.ends_with("-smtp-config") && words.split(',').any(|word| word == item)
        })
    };
    let told = || {
        let (_, name) = ABOUT.iter().find(|(words, _)| text.contains(words))?;
        all().find(|entry| entry.opt.name == *name)
    };
    let entry = named.or_else(told).or_else(of_keyword).or_else(of_value);
    text.to_owned() + &entry.map(|entry| entry.origin.suffix()).unwrap_or_default()
}

/// Words of messages that do not name their option.
const ABOUT: [(&str, &str); 8] = [
    ("client filter specification", "client-filter"),
    ("filter specification", "filter"),
    ("verifier specification", "address-verifier"),
    ("dnsbl configuration", "dnsbl"),
    ("client account details", "client-auth"),
    ("tls-config:", "tls-config"),
    ("named network interface", "interface"),
    ("no such user", "user"),
];

/// Whether the path is of a credential that there is not here.
pub(super) fn is_unseen(path: &Path) -> bool {
    path.starts_with(UNSEEN_CREDENTIALS)
}
