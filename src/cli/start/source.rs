//! Where the options of this process come from, at its start and whenever they are read again.

use std::path::{Path, PathBuf};

use crate::cli::{self, Environment, Exit, Invocation, Program, rest};
use crate::os::{credentials, notify, title};

/// Where the accounts of POP users were when 1.x was not told otherwise.
const OLD_SECRETS: &str = "/etc/emailrelay.auth";

/// The program and the surroundings that it was started in.
///
/// They are kept as they were: a daemon has left the directory that relative paths begin at.
pub(super) struct Source {
    pub(super) program: Program,
    environment: Environment,
}

impl Source {
    /// Looks around.
    pub(super) fn of(program: Program) -> Self {
        let executable = std::env::current_exe().unwrap_or_default();
        let environment = Environment {
            app_dir: executable.parent().map(Path::to_owned).unwrap_or_default(),
            cwd: std::env::current_dir().unwrap_or_default(),
            credentials_dir: credentials::directory(),
            columns: std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok()),
            old_secrets: Some(PathBuf::from(OLD_SECRETS)).filter(|file| file.is_file()),
            managed: notify::is_under_systemd(),
        };
        Self { program, environment }
    }

    /// Reads command line and configuration files.
    pub(super) fn read(&self) -> Result<Invocation, Exit> {
        cli::parse(self.program, title::arguments(), &self.environment)
    }

    /// The end of a process whose options are wrong.
    pub(super) fn refused(&self, exit: &Exit) -> u8 {
        rest::refused(self.program, title::arguments(), &self.environment, exit)
    }
}
