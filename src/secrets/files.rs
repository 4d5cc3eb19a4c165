//! Secrets files at the start, and when they change.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::read::Report;
use super::store::{OpenError, Refreshed, Store};
use crate::log::{self, Context, LoginEvent};

/// The secrets files of a process. Each is read once, whoever uses it.
#[derive(Debug, Default)]
pub struct Files(HashMap<PathBuf, Arc<Store>>);

impl Files {
    /// Reads a file, and says what is to be said about it.
    ///
    /// # Errors
    /// It cannot be used.
    pub fn open(&mut self, path: &Path, context: &Context) -> Result<Arc<Store>, OpenError> {
        if let Some(store) = self.0.get(path) {
            return Ok(Arc::clone(store));
        }
        match Store::open(path, Instant::now()) {
            Ok((store, report)) => {
                tell(path, &report, context);
                let store = Arc::new(store);
                self.0.insert(path.to_owned(), Arc::clone(&store));
                Ok(store)
            }
            Err(error) => {
                if let OpenError::Invalid(report) = &error {
                    tell(path, report, context);
                }
                Err(error)
            }
        }
    }
}

/// Reads a file again if it has changed, and says so. Blocking.
pub fn refresh(store: &Store, context: &Context) {
    let path = store.path();
    match store.refresh(Instant::now()) {
        None => {}
        Some(Refreshed::Read { warnings }) => {
            log::emit(context, &LoginEvent::SecretsRead { path: path.display().to_string() }.into());
            tell(path, &Report { warnings, ..Report::default() }, context);
        }
        Some(Refreshed::Broken { errors }) => {
            tell(path, &Report { errors, ..Report::default() }, context);
            log::emit(context, &LoginEvent::SecretsKept { path: path.display().to_string() }.into());
        }
        Some(Refreshed::Gone { reason }) => {
            let path = path.display().to_string();
            log::emit(context, &LoginEvent::SecretsGone { path, reason }.into());
        }
    }
}

fn tell(path: &Path, report: &Report, context: &Context) {
    if report.errors.is_empty() && report.warnings.is_empty() {
        return;
    }
    log::emit(context, &LoginEvent::SecretsProblems { path: path.display().to_string() }.into());
    for text in &report.warnings {
        log::emit(context, &LoginEvent::SecretsWarning { text: text.clone() }.into());
    }
    for text in &report.errors {
        log::emit(context, &LoginEvent::SecretsError { text: text.clone() }.into());
    }
}
