//! All uses of options put together: by instance, and for each option one value.
//!
//! - An option written `NAME-spool-dir` makes an instance NAME, and `NAME-...` options apply to it. Instances are in
//!   the order of their spool directories; what has no prefix applies to the first one.
//! - With `--instance NAME` what has no prefix on the command line applies to that one.
//! - The command line wins against files. Two values of equal rank must be the same.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::given::{Given, Origin, Value, invalid};
use super::table::{Kind, Opt};

/// The one value of an option.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) opt: &'static Opt,
    /// Empty for a switch.
    pub(super) value: OsString,
    /// How often a switch was given.
    pub(super) count: u32,
    /// Where the value, or its first part, comes from.
    pub(super) origin: Origin,
}

impl Entry {
    /// It stands on the command line.
    pub(super) fn is_by_hand(&self) -> bool {
        !self.origin.is_file()
    }
}

/// Options by name. A switch that was switched off is not in it.
pub(super) type Entries = BTreeMap<&'static str, Entry>;

/// The options of one instance but for those of the process.
#[derive(Debug, Clone, Default)]
pub(super) struct Instance {
    pub(super) name: String,
    pub(super) entries: Entries,
}

/// Everything put together.
#[derive(Debug, Clone, Default)]
pub(super) struct Merged {
    /// At least one; only the chosen one with `--instance`.
    pub(super) instances: Vec<Instance>,
    /// The options that hold for the whole process.
    pub(super) process: Entries,
    pub(super) errors: Vec<String>,
    pub(super) warnings: Vec<String>,
}

/// Puts uses of options together. `chosen` is the value of `--instance`. `keep` says which options concern
/// the program.
pub(super) fn merge(given: Vec<Given>, chosen: Option<&str>, keep: impl Fn(&Opt) -> bool) -> Merged {
    let mut merged = Merged::default();
    let names = instance_names(&given, chosen);
    let mut instances: Vec<Groups> = names.iter().map(|_| Groups::new()).collect();
    let mut process = Groups::new();
    for one in given {
        let index = instance_of(&one, &names, chosen);
        let Some(index) = index else {
            merged.errors.push(invalid(&one.spelled, &one.origin));
            continue;
        };
        if !keep(one.opt) {
            continue;
        }
        let group = match instances.get_mut(index) {
            _ if one.opt.process_wide && (index == 0 || one.prefix.is_none()) => &mut process,
            Some(group) if !one.opt.process_wide => group,
            _ => {
                merged
                    .warnings
                    .push(format!("{} is for the whole process: ignored on this instance", one.spelled));
                continue;
            }
        };
        group.entry(one.opt.name).or_default().push(one);
    }
    merged.process = merged.unite(process);
    for (name, groups) in names.into_iter().zip(instances) {
        let entries = merged.unite(groups);
        if chosen.is_none_or(|chosen| chosen == name) {
            merged.instances.push(Instance { name, entries });
        }
    }
    merged
}

type Groups = BTreeMap<&'static str, Vec<Given>>;

fn instance_names(given: &[Given], chosen: Option<&str>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for one in given.iter().filter(|one| one.opt.name == "spool-dir") {
        let name = owner(one, chosen).unwrap_or_default();
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    if names.is_empty() && chosen.is_none() {
        names.push(String::new());
    }
    names
}

/// The name of the instance an option is written for, if it names one.
pub(super) fn owner<'a>(one: &'a Given, chosen: Option<&'a str>) -> Option<&'a str> {
    one.prefix.as_deref().or(chosen.filter(|_| !one.origin.is_file()))
}

/// The number of the instance; 0 also when there is none at all, which `--instance` makes possible.
fn instance_of(one: &Given, names: &[String], chosen: Option<&str>) -> Option<usize> {
    match owner(one, chosen) {
        None => Some(0),
        Some(name) => match names.iter().position(|known| known == name) {
            None if one.prefix.is_none() => Some(0),
            found => found,
        },
    }
}

impl Merged {
    fn unite(&mut self, groups: Groups) -> Entries {
        let mut entries = Entries::new();
        for (name, uses) in groups {
            if let Some(entry) = self.one_value(uses) {
                entries.insert(name, entry);
            }
        }
        entries
    }

    fn one_value(&mut self, uses: Vec<Given>) -> Option<Entry> {
        let opt = uses.first()?.opt;
        if opt.list {
            return if opt.name == "pid-file" { self.first_value(uses) } else { list_value(uses) };
        }
        let (file, line): (Vec<_>, Vec<_>) = uses.into_iter().partition(|one| one.origin.is_file());
        self.check_agreement(&line);
        self.check_agreement(&file);
        if let (Some(winner), Some(loser)) = (line.first(), file.first())
            && winner.value != loser.value
        {
            let place = loser.origin.suffix();
            let place = place.trim_start_matches(" (").trim_end_matches(')');
            self.warnings.push(format!("--{}: command-line value overrides {place}", opt.name));
            return entry(winner, line.len());
        }
        let times = line.len() + file.len();
        line.first().or(file.first()).and_then(|one| entry(one, times))
    }

    /// Reports values that contradict each other without one being of higher rank.
    fn check_agreement(&mut self, uses: &[Given]) {
        let Some((first, rest)) = uses.split_first() else { return };
        for other in rest.iter().filter(|other| other.value != first.value) {
            let (spelled, place) = (&other.spelled, other.origin.suffix());
            let switch = matches!(
                (&first.value, &other.value),
                (Value::On, Value::Off)
                    | (Value::Off, Value::On)
                    | (Value::Off, Value::Text(_))
                    | (Value::Text(_), Value::Off)
            );
            let what = if switch { "conflicting values:" } else { "duplicate use of" };
            self.errors.push(format!("{what} \"{spelled}\"{place}"));
        }
    }

    fn first_value(&mut self, uses: Vec<Given>) -> Option<Entry> {
        let one = list_value(uses)?;
        let mut parts = one.value.as_bytes().split(|byte| *byte == b',').filter(|part| !part.is_empty());
        let first = OsString::from_vec(parts.next().unwrap_or_default().to_vec());
        if parts.any(|part| part != first.as_bytes()) {
            self.warnings.push(format!("more than one --{}: using the first", one.opt.name));
        }
        Some(Entry { value: first, ..one })
    }
}

fn entry(one: &Given, times: usize) -> Option<Entry> {
    let value = match &one.value {
        Value::Off => return None,
        Value::On => OsString::new(),
        Value::Text(text) => text.clone(),
    };
    let count = if one.opt.kind == Kind::Count { u32::try_from(times).unwrap_or(u32::MAX) } else { 1 };
    Some(Entry { opt: one.opt, value, count, origin: one.origin.clone() })
}

/// All values in the order they were given, joined with commas.
fn list_value(uses: Vec<Given>) -> Option<Entry> {
    let first = uses.first()?;
    let (opt, origin) = (first.opt, first.origin.clone());
    let texts: Vec<Vec<u8>> = uses
        .into_iter()
        .filter_map(|one| match one.value {
            Value::Text(text) => Some(text.into_vec()),
            Value::On | Value::Off => None,
        })
        .collect();
    Some(Entry { opt, value: OsString::from_vec(texts.join(&b',')), count: 1, origin })
}
