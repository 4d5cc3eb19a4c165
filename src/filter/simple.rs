//! `exit:` and `sleepms:`.

use std::time::Duration;

use super::{Failure, Filter, Job, Outcome, Running, code, text};

/// As a program that ends with this code at once and writes nothing.
#[derive(Debug)]
pub(super) struct Exit(pub(super) u32);

impl Filter for Exit {
    fn name(&self) -> String {
        format!("exit:{}", self.0)
    }

    fn run<'a>(&'a self, job: &'a Job) -> Running<'a> {
        let failure = || Failure::rejected(text::REJECTED, self.name());
        Box::pin(std::future::ready(code::outcome(self.0, job.position, failure)))
    }

    fn is_idle(&self) -> bool {
        self.0 == 0
    }

    fn ends_runs(&self) -> bool {
        (102..=105).contains(&self.0)
    }
}

/// Waits, whatever the time limit of filters, then lets the message through.
#[derive(Debug)]
pub(super) struct Sleep(pub(super) Duration);

impl Filter for Sleep {
    fn name(&self) -> String {
        "sleep".to_owned()
    }

    fn run<'a>(&'a self, job: &'a Job) -> Running<'a> {
        Box::pin(async move {
            tokio::select! {
                () = job.stop.cancelled() => {}
                () = tokio::time::sleep(self.0) => {}
            }
            Outcome::ok()
        })
    }
}
