//! `@app` and `@cred/NAME` in values, files that a credential stands for, and relative paths.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::Environment;
use super::given::Origin;
use super::merge::{Entries, Entry};
use super::table::Kind;
use super::tls;
use crate::os::credentials;

/// Replaces `@app` and `@cred/` in all values that are paths, and paths of files that the service manager has passed as credentials; makes relative ones absolute when `absolute` is
/// set, because
/// a daemon leaves its directory.
///
/// # Errors
/// A credential is named and there are none, or its name is not one.
pub(super) fn expand_all(entries: &mut Entries, env: &Environment, absolute: bool) -> Result<(), String> {
    for entry in entries.values_mut().filter(|entry| is_path(entry)) {
        let (before, path) = divide(entry);
        let complete = |value: &OsStr| {
            let value = expand(value, env).map_err(|reason| {
                format!("invalid value for --{}: {reason}{}", entry.opt.name, place(&entry.origin))
            })?;
            Ok::<_, String>(if absolute { env.cwd.join(value).into_os_string() } else { value })
        };
        let path = if entry.opt.list {
            let items = tls::split(&path);
            let items = items.iter().map(|item| complete(item)).collect::<Result<Vec<_>, _>>()?;
            items.join(OsStr::new(","))
        } else {
            complete(&path)?
        };
        let mut value = OsString::from(before);
        value.push(path);
        entry.value = value;
    }
    Ok(())
}

/// The configuration file as it is named to the user, with `@app` and `@cred/` replaced, and where it really is.
///
/// # Errors
/// As for [`expand_all`].
pub(super) fn config_file(name: &OsStr, env: &Environment) -> Result<(PathBuf, PathBuf), String> {
    let shown = PathBuf::from(expand(name, env)?);
    let real = env.cwd.join(&shown);
    Ok((shown, real))
}

fn place(origin: &Origin) -> String {
    origin.suffix()
}

/// A path may stand behind `pam:,`.
fn divide(entry: &Entry) -> (&'static str, OsString) {
    const BEFORE: &str = "pam:,";
    let text = entry.value.as_bytes();
    match text.strip_prefix(BEFORE.as_bytes()).filter(|_| entry.opt.kind == Kind::Secret) {
        Some(path) => (BEFORE, OsStr::from_bytes(path).to_owned()),
        None => ("", entry.value.clone()),
    }
}

fn is_path(entry: &Entry) -> bool {
    let text = entry.value.as_bytes();
    match entry.opt.kind {
        Kind::Path => !text.is_empty() && !text.starts_with(b"<"),
        Kind::Secret => match text.strip_prefix(b"pam:") {
            Some(rest) => rest.len() > 1 && rest.starts_with(b","),
            None => !text.is_empty() && !text.starts_with(b"plain:") && text != b"/pam",
        },
        _ => false,
    }
}

fn expand(value: &OsStr, env: &Environment) -> Result<OsString, String> {
    if let Some(name) = value.as_bytes().strip_prefix(b"@cred/") {
        return credential(OsStr::from_bytes(name), env).map(PathBuf::into_os_string);
    }
    let path = replace_app(value, &env.app_dir);
    let given = env.credentials_dir.as_deref();
    let credential = given.and_then(|dir| credentials::standing_for(Path::new(&path), dir));
    Ok(credential.map_or(path, PathBuf::into_os_string))
}

fn credential(name: &OsStr, env: &Environment) -> Result<PathBuf, String> {
    let plain = Path::new(name).file_name() == Some(name);
    match &env.credentials_dir {
        _ if !plain => Err("@cred/ needs the name of a credential".to_owned()),
        None => Err("no credentials were passed to the program".to_owned()),
        Some(dir) => Ok(dir.join(name)),
    }
}

/// Replaces the first `@app`.
fn replace_app(value: &OsStr, app_dir: &Path) -> OsString {
    const APP: &[u8] = b"@app";
    let bytes = value.as_bytes();
    let Some(start) = bytes.windows(APP.len()).position(|window| window == APP) else {
        return value.to_owned();
    };
    let (before, rest) = bytes.split_at(start);
    let behind = rest.strip_prefix(APP).unwrap_or(rest);
    OsString::from_vec([before, app_dir.as_os_str().as_bytes(), behind].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(credentials: Option<&str>) -> Environment {
        Environment {
            app_dir: "/opt/relay".into(),
            cwd: "/home/me".into(),
            credentials_dir: credentials.map(PathBuf::from),
            columns: None,
            old_secrets: None,
            managed: false,
        }
    }

    fn expanded(text: &str, credentials: Option<&str>) -> Result<String, String> {
        expand(OsStr::new(text), &env(credentials)).map(|value| value.to_string_lossy().into_owned())
    }

    #[test]
    fn the_first_app_is_replaced() {
        assert_eq!(expanded("@app/spool", None).unwrap(), "/opt/relay/spool");
        assert_eq!(expanded("x@app@app", None).unwrap(), "x/opt/relay@app");
        assert_eq!(expanded("/plain", None).unwrap(), "/plain");
    }

    #[test]
    fn credentials_are_found_by_their_plain_name_only() {
        assert_eq!(expanded("@cred/auth", Some("/run/c")).unwrap(), "/run/c/auth");
        assert!(expanded("@cred/auth", None).is_err());
        for bad in ["@cred/", "@cred/../x", "@cred/a/b", "@cred/..", "@cred/a/"] {
            assert!(expanded(bad, Some("/run/c")).is_err(), "{bad}");
        }
    }
}
