//! What `--check` finds out about the machine: whether accounts, directories and files can be used. Nothing is changed.

use std::fs::{OpenOptions, read_dir};
use std::io;
use std::path::Path;
use std::time::Instant;

use nix::unistd::{AccessFlags, access};

use super::Invocation;
use super::check::is_unseen;
use crate::config::{ClientAuth, FilterSpec, ServerAuth, Settings};
use crate::log::StartEvent;
use crate::os::{self, identity};
use crate::role::bind;
use crate::role::instance::program_warning;
use crate::role::tls::Tls;
use crate::secrets::{OpenError, Store};

/// What a start would complain of.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) errors: Vec<String>,
    pub(super) warnings: Vec<String>,
}

/// Looks at everything that is named in the settings. Relative paths are in `cwd`.
pub(super) fn all(invocation: &Invocation, cwd: &Path) -> Found {
    let mut found = Found::default();
    let process = &invocation.process;
    if !process.user.is_empty()
        && let Err(error) = identity::lookup(&process.user)
    {
        found.errors.push(error.to_string());
    }
    // With `%d` or `%h` it is the directory that counts.
    if let Some(path) = process.log.file.as_ref().filter(|path| !is_unseen(path)) {
        found.file("cannot open log file", path, cwd);
    }
    if let Some(path) = &process.pid_file {
        found.file("invalid pid file: cannot create file", path, cwd);
    }
    for instance in &invocation.instances {
        found.spool(&instance.spool_dir, cwd);
        let server = instance.smtp.auth.as_ref().and_then(ServerAuth::file);
        let client = match &instance.forward.auth {
            Some(ClientAuth::File(path)) => Some(path.as_path()),
            _ => None,
        };
        let pop = instance.pop.auth.as_ref().and_then(ServerAuth::file);
        let secrets = server.into_iter().chain(pop).chain(client).filter(|path| !is_unseen(path));
        secrets.for_each(|path| found.secrets(&cwd.join(path)));
        found.programs(instance);
        found.interfaces(instance);
        found.tls(instance);
    }
    found
}

/// Filters and verifiers that are programs.
fn programs(settings: &Settings) -> impl Iterator<Item = (&'static str, &Path)> {
    let filters = settings.filter.server.iter().chain(&settings.filter.client);
    let filters = filters.filter_map(FilterSpec::program).map(|path| ("filter", path));
    filters.chain(settings.smtp.verifier.program().map(|path| ("verifier", path)))
}

/// Warnings of programs that are not there.
pub(super) fn missing_programs(settings: &Settings) -> Vec<String> {
    programs(settings).filter_map(|(what, path)| program_warning(Some(path), what)).collect()
}

impl Found {
    fn file(&mut self, what: &str, path: &Path, cwd: &Path) {
        if let Err(error) = can_append(&cwd.join(path)) {
            self.errors.push(format!("{what}: {}: {}", path.display(), os::reason(&error)));
        }
    }

    /// Programs that are not there, or files that cannot be run.
    fn programs(&mut self, settings: &Settings) {
        self.warnings.extend(missing_programs(settings));
        for (what, path) in programs(settings) {
            if path.is_file() && access(path, AccessFlags::X_OK).is_err() {
                self.warnings.push(format!("{what} program cannot be run: {}", path.display()));
            }
        }
    }

    /// Network interfaces without an address, for each server as at a start.
    fn interfaces(&mut self, settings: &Settings) {
        for (server, _) in settings.servers() {
            let interfaces = bind::without_address(&settings.interfaces, server);
            let text = StartEvent::NoAddresses { interfaces: interfaces.clone() }.to_string();
            if !interfaces.is_empty() && !self.warnings.contains(&text) {
                self.warnings.push(text);
            }
        }
    }

    /// Keys and certificates. Relative names are seen from the current directory, which is this one.
    fn tls(&mut self, settings: &Settings) {
        let server = settings.server_tls.as_ref().map(|tls| &tls.certificate);
        let client = settings.client_tls.as_ref().and_then(|tls| tls.certificate.as_ref());
        let mut files = server.into_iter().chain(client).flat_map(|files| [&files.key, &files.chain]);
        if !files.any(|file| is_unseen(file)) {
            self.errors.extend(Tls::open(settings).err().map(|error| error.to_string()));
        }
    }

    fn secrets(&mut self, path: &Path) {
        match Store::open(path, Instant::now()) {
            Ok((_, report)) => self.warnings.extend(report.warnings),
            Err(OpenError::Invalid(report)) => {
                self.warnings.extend(report.warnings);
                self.errors.extend(report.errors);
            }
            Err(error) => self.errors.push(error.to_string()),
        }
    }

    fn spool(&mut self, path: &Path, cwd: &Path) {
        let real = cwd.join(path);
        if let Err(error) = read_dir(&real) {
            self.errors.push(format!("invalid spool directory: {}: {}", path.display(), os::reason(&error)));
        } else if access(&real, AccessFlags::W_OK).is_err() {
            self.warnings.push(format!("directory not writable: \"{}\"", path.display()));
        }
    }
}

/// Whether the file can be written, or else made, if need be with directories above it.
fn can_append(path: &Path) -> io::Result<()> {
    match OpenOptions::new().append(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let above = path.ancestors().skip(1).find(|above| above.exists()).unwrap_or(Path::new("/"));
            if !above.is_dir() {
                return Err(io::ErrorKind::NotADirectory.into());
            }
            Ok(access(above, AccessFlags::W_OK | AccessFlags::X_OK)?)
        }
        result => result.map(drop),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_there_yet_is_not_made() {
        let directory = tempfile::tempdir().unwrap();
        can_append(&directory.path().join("a/b/log")).unwrap();
        assert_eq!(read_dir(directory.path()).unwrap().count(), 0);
        std::fs::write(directory.path().join("file"), "").unwrap();
        can_append(&directory.path().join("file")).unwrap();
        assert!(can_append(&directory.path().join("file/log")).is_err());
        assert!(can_append(directory.path()).is_err());
    }
}
