//! Spellings of older versions, made into those of today.
//!
//! Each leaves one warning, so that a set-up can be brought up to date at leisure.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::Environment;
use super::given::{Given, Value};
use super::merge::{Entries, Entry};
use super::table::{Old, Opt, find};

/// Replaces old spellings; returns the warnings, without repetition.
pub(super) fn rewrite(given: Vec<Given>) -> (Vec<Given>, Vec<String>) {
    let mut out = Vec::with_capacity(given.len());
    let mut warnings = Vec::new();
    for one in given {
        let (one, warning) = rewrite_one(one);
        out.extend(one);
        if let Some(warning) = warning
            && !warnings.contains(&warning)
        {
            warnings.push(warning);
        }
    }
    (out, warnings)
}

fn rewrite_one(one: Given) -> (Vec<Given>, Option<String>) {
    let spelled = one.spelled.clone();
    match (one.opt.old, &one.value) {
        (Some(Old::Ignored(reason)), _) => (Vec::new(), Some(format!("{spelled} {reason}: ignored"))),
        (Some(Old::Renamed(name)), _) => {
            (with_option(one, name), Some(format!("{spelled} is deprecated: using --{name}")))
        }
        (Some(Old::Filter(prefix)), Value::Text(text)) => {
            let value = joined(prefix.as_bytes(), text);
            let warning = format!("{spelled} is deprecated: using --filter={prefix}");
            (with_option(Given { value: Value::Text(value), ..one }, "filter"), Some(warning))
        }
        (None, Value::Text(text)) if !one.opt.value_for.is_empty() => value_of_switch(&one, text),
        (None, Value::Text(text)) => rewrite_value(&one, text),
        _ => (vec![one], None),
    }
}

/// A value that has an option of its own now, beside the switch.
fn value_of_switch(one: &Given, text: &OsStr) -> (Vec<Given>, Option<String>) {
    let name = one.opt.value_for;
    let value = Given { value: Value::Text(text.to_owned()), spelled: format!("--{name}"), ..one.clone() };
    let switch = Given { value: Value::On, ..one.clone() };
    let all = std::iter::once(switch).chain(with_option(value, name)).collect();
    (all, Some(format!("a value of {} is deprecated: using --{name}", one.spelled)))
}

/// The secrets file that `--pop` without `--pop-auth` meant in 1.x; a warning if there is such a file.
pub(super) fn pop_accounts(entries: &mut Entries, env: &Environment) -> Option<String> {
    let pop = entries.get("pop").filter(|_| !entries.contains_key("pop-auth"))?;
    let (opt, file) = (find("pop-auth")?, env.old_secrets.as_ref()?);
    let (value, origin) = (file.clone().into_os_string(), pop.origin.clone());
    entries.insert(opt.name, Entry { opt, value, count: 1, origin });
    Some(format!("--pop without --pop-auth is deprecated: using --pop-auth={}", file.display()))
}

/// Old meanings that hang on the value.
fn rewrite_value(one: &Given, text: &OsStr) -> (Vec<Given>, Option<String>) {
    let spelled = &one.spelled;
    match one.opt.name {
        "poll" if text == "0" => {
            let on = Given { value: Value::On, ..one.clone() };
            let warning = format!("{spelled} 0 is deprecated: using --forward-on-disconnect");
            (with_option(on, "forward-on-disconnect"), Some(warning))
        }
        "server-smtp-config" if spelled == "-Z" && is_verifier(text) => {
            let warning = "-Z as a verifier is deprecated: using --address-verifier".to_owned();
            (with_option(one.clone(), "address-verifier"), Some(warning))
        }
        "interface" => client_interface(one, text),
        _ => (vec![one.clone()], None),
    }
}

fn is_verifier(text: &OsStr) -> bool {
    text.as_bytes().contains(&b'/') || text.as_bytes().starts_with(b"net:")
}

/// `--interface client=ADDRESS` was the local address of outgoing connections.
fn client_interface(one: &Given, text: &OsStr) -> (Vec<Given>, Option<String>) {
    let (old, new): (Vec<_>, Vec<_>) =
        text.as_bytes().split(|byte| *byte == b',').partition(|item| item.starts_with(b"client="));
    if old.is_empty() {
        return (vec![one.clone()], None);
    }
    let mut out = Vec::new();
    if !new.is_empty() {
        let value = Value::Text(OsString::from_vec(new.join(&b',')));
        out.push(Given { value, ..one.clone() });
    }
    for item in old {
        let address = item.strip_prefix(b"client=").unwrap_or(item);
        let value = Value::Text(OsString::from_vec(address.to_vec()));
        out.extend(with_option(Given { value, ..one.clone() }, "client-interface"));
    }
    (out, Some("--interface client= is deprecated: using --client-interface".to_owned()))
}

fn with_option(one: Given, name: &str) -> Vec<Given> {
    let opt: Option<&'static Opt> = find(name);
    opt.map(|opt| Given { opt, ..one }).into_iter().collect()
}

fn joined(prefix: &[u8], text: &OsStr) -> OsString {
    OsString::from_vec([prefix, text.as_bytes()].concat())
}
