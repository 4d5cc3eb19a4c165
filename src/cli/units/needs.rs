//! What a service needs of the file system beyond what its unit gives it: directories to write in, and files that its user
//! may not read.
//!
//! All of it is said in drop-ins, and the configuration stays as it is: a file that the user may not read reaches the service as
//! the credential that stands for its path, and log files of a directory that is not the user's are made in one that is.

use std::path::{Path, PathBuf};

use super::super::check::is_unseen;
use super::rights::{SERVICE_USER, Who};
use super::{CONFIGURATION, Site};
use crate::config::interface::Place;
use crate::config::tls::{CertificateFiles, Verify};
use crate::config::{ClientAuth, ProcessSettings};
use crate::os::credentials;

/// Where log files go when they may not be where the configuration has them.
const LOGS: &str = "/var/log/emailrelay";

/// Lines for the section `[Service]`, and sentences.
#[derive(Debug, Default)]
pub(super) struct Needs {
    pub(super) lines: Vec<String>,
    pub(super) notes: Vec<String>,
}

impl Needs {
    fn line(&mut self, line: String) {
        if !self.lines.contains(&line) {
            self.lines.push(line);
        }
    }

    fn note(&mut self, note: String) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// The directory must be writable in the sandbox.
    fn write_in(&mut self, directory: &Path) {
        let path = quoted(directory);
        if ["/home", "/root", "/run/user"].iter().any(|home| directory.starts_with(home)) {
            self.line("ProtectHome=tmpfs".to_owned());
            self.line(format!("BindPaths={path}"));
            return;
        }
        if ["/tmp", "/var/tmp"].iter().any(|shared| directory.starts_with(shared)) {
            self.line("PrivateTmp=no".to_owned());
        }
        self.line(format!("ReadWritePaths={path}"));
    }

    /// The directories of a spool and of deliveries.
    pub(super) fn spool(&mut self, site: &Site<'_>, role: &str, usual: &Path) {
        let settings = site.settings;
        let spool = site.env.cwd.join(&settings.spool_dir);
        if !spool.starts_with(usual) {
            self.write_in(&spool);
        }
        let delivery = settings.delivery_dir.as_ref().filter(|_| role == "smtp");
        let delivery = delivery.map(|path| site.env.cwd.join(path));
        if let Some(path) = delivery.filter(|path| !path.starts_with(&spool) && !path.starts_with(usual)) {
            self.write_in(&path);
        }
    }

    /// The directory of log files, unless the service writes there anyway.
    fn log(&mut self, file: &Path, who: &Who) {
        let Some(directory) = file.parent() else { return };
        let written = self.lines.iter().any(|line| line.ends_with(&format!("={}", quoted(directory))));
        if written || directory.starts_with(super::SPOOL) {
            return;
        }
        let of_ours = directory.strip_prefix("/var/log").ok().filter(|_| directory.starts_with(LOGS));
        if let Some(below) = of_ours {
            self.line(format!("LogsDirectory={}", quoted(below)));
            self.line("LogsDirectoryMode=0750".to_owned());
        } else if who.may_write_in(directory) {
            self.write_in(directory);
        } else if directory.starts_with("/var/log") {
            self.line("LogsDirectory=emailrelay".to_owned());
            self.line("LogsDirectoryMode=0750".to_owned());
            self.line(format!("BindPaths={LOGS}:{}", quoted(directory)));
            let shown = directory.display();
            self.note(format!(
                "the user {SERVICE_USER} may make no files in {shown}: what the service writes there is in {LOGS}"
            ));
        } else {
            self.write_in(directory);
            self.note(format!(
                "the user {SERVICE_USER} must be able to make files in {}",
                directory.display()
            ));
        }
    }

    /// The directory of a pid file or of a socket that the program makes itself.
    fn runtime(&mut self, file: &Path, who: &Who) {
        let Some(directory) = file.parent() else { return };
        let below = ["/run", "/var/run"].iter().find_map(|run| directory.strip_prefix(run).ok());
        match below {
            Some(below) if !below.as_os_str().is_empty() => {
                self.line(format!("RuntimeDirectory={}", quoted(below)));
                // Sockets of other units are in it, too.
                self.line("RuntimeDirectoryPreserve=yes".to_owned());
            }
            None if who.may_write_in(directory) => self.write_in(directory),
            _ => self.note(format!(
                "the user {SERVICE_USER} may make no files in {}: {} is not made",
                directory.display(),
                file.display()
            )),
        }
    }

    /// What only the one process makes: the roles get their sockets from systemd, which knows their pids.
    pub(super) fn of_one_process(&mut self, site: &Site<'_>, process: &ProcessSettings, who: &Who) {
        if let Some(file) = &process.pid_file {
            self.runtime(&site.env.cwd.join(file), who);
        }
        for item in &site.settings.interfaces {
            if let Place::Unix(path) = &item.place {
                self.runtime(&site.env.cwd.join(path), who);
            }
        }
    }

    /// The log of a role, and the files it reads.
    pub(super) fn files(&mut self, site: &Site<'_>, role: &str, process: &ProcessSettings, who: &Who) {
        if let Some(file) = &process.log.file {
            self.log(&site.env.cwd.join(file), who);
        }
        self.secrets(site, role, process, who);
    }

    /// The configuration and the files that it names for a role, as far as its user may not read them.
    fn secrets(&mut self, site: &Site<'_>, role: &str, process: &ProcessSettings, who: &Who) {
        let configuration = process.config_files.iter().filter(|file| *file == Path::new(CONFIGURATION));
        let files = configuration.cloned().chain(files(site, role));
        // Those that are credentials already are the administrator's own.
        for file in files.filter(|file| !is_unseen(file) && !who.may_read(file)) {
            match credentials::name_of(&file) {
                Some(name) => {
                    let path = file.display().to_string().replace('%', "%%");
                    self.line(format!("LoadCredential={}:{path}", name.replace('%', "%%")));
                }
                None => self.note(format!(
                    "the user {SERVICE_USER} may not read {}: give it to the service as a credential, @cred/NAME",
                    file.display()
                )),
            }
        }
    }
}

/// The files with secrets, keys and certificates that a role reads, absolute.
fn files(site: &Site<'_>, role: &str) -> Vec<PathBuf> {
    let settings = site.settings;
    let (smtp, pop) = (role == "smtp", role == "pop");
    let serves = smtp || pop;
    let sends = role == "forward" || (smtp && settings.forward.immediate);
    let accounts = [(smtp, &settings.smtp.auth), (pop, &settings.pop.auth)];
    let accounts = accounts.into_iter().filter(|(ours, _)| *ours);
    let mut files: Vec<PathBuf> = Vec::new();
    files.extend(accounts.filter_map(|(_, auth)| auth.as_ref()?.file().map(Path::to_owned)));
    if let Some(ClientAuth::File(path)) = settings.forward.auth.as_ref().filter(|_| sends) {
        files.push(path.clone());
    }
    if let Some(tls) = settings.server_tls.as_ref().filter(|_| serves) {
        files.extend(certificate(&tls.certificate));
        files.extend(authorities(&tls.verify));
    }
    if let Some(tls) = settings.client_tls.as_ref().filter(|_| sends) {
        files.extend(tls.certificate.as_ref().map(certificate).unwrap_or_default());
        files.extend(authorities(&tls.verify));
    }
    files.into_iter().map(|file| site.env.cwd.join(file)).collect()
}

fn certificate(files: &CertificateFiles) -> Vec<PathBuf> {
    vec![files.key.clone(), files.chain.clone()]
}

fn authorities(verify: &Verify) -> Option<PathBuf> {
    match verify {
        Verify::Authorities(path) => Some(path.clone()).filter(|path| !path.is_dir()),
        _ => None,
    }
}

/// A path as a word of a unit file (systemd.syntax(7), systemd.unit(5) "Specifiers").
fn quoted(path: &Path) -> String {
    let text = path.display().to_string().replace('%', "%%");
    let plain = |c: char| !c.is_whitespace() && !"\"'\\:".contains(c);
    if text.chars().all(plain) {
        return text;
    }
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace(':', "\\\\:"))
}
