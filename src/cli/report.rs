//! `--check`: the options in force, in the form of a configuration file.

use std::fmt::Write;
use std::path::PathBuf;

use super::merge::{Entries, Merged};
use super::table::{self, Kind, Roles};

/// What is in force: given options as they could stand in a file, defaults as comments, passwords masked.
pub(super) fn effective(roles: Roles, merged: &Merged, files: &[PathBuf]) -> String {
    let mut text = String::new();
    for file in files {
        // Writing to a string does not fail.
        let _ = writeln!(text, "# from {}", file.display());
    }
    list(&mut text, roles, "", &merged.process, true);
    for instance in &merged.instances {
        let prefix = if instance.name.is_empty() { String::new() } else { format!("{}-", instance.name) };
        if !prefix.is_empty() {
            let _ = writeln!(text, "# instance {}", instance.name);
        }
        list(&mut text, roles, &prefix, &instance.entries, false);
    }
    text
}

fn list(text: &mut String, roles: Roles, prefix: &str, entries: &Entries, process_wide: bool) {
    let options =
        table::all().filter(|opt| opt.process_wide == process_wide && opt.in_file && opt.roles.meets(roles));
    for opt in options {
        let name = opt.name;
        let line = match entries.get(name) {
            None if opt.default.is_empty() => continue,
            None => format!("# {prefix}{name} {} (default)", opt.default),
            Some(entry) if entry.value.is_empty() => {
                format!("{prefix}{name}\n").repeat(entry.count.max(1) as usize)
            }
            Some(entry) => {
                let value = entry.value.to_string_lossy();
                let value = if opt.kind == Kind::Secret && value.starts_with("plain:") {
                    "plain:****".into()
                } else {
                    value
                };
                format!("{prefix}{name} {value}")
            }
        };
        let _ = writeln!(text, "{}", line.trim_end());
    }
}
