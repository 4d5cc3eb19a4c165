//! External programs.

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use super::{Failure, Filter, Job, Outcome, Running, Tools, Verdict, code, filter_copy, text};
use crate::config::filter::{Arguments, ProgramSpec};
use crate::log::{self, FilterEvent};
use crate::program::{Call, Ended, Runner};
use crate::spool::Spool;

/// Exit code that stands for a program that could not be executed.
const NOT_EXECUTED: u32 = 127;

/// A program that gets the paths of a message's files.
#[derive(Debug)]
pub(super) struct Program {
    spec: ProgramSpec,
    runner: Arc<Runner>,
    spool: Arc<Spool>,
    limit: Option<Duration>,
    abandon_warning: bool,
}

impl Program {
    pub(super) fn new(spec: ProgramSpec, tools: &Tools) -> Self {
        let (runner, limit) = (Arc::clone(&tools.runner), tools.timeout);
        let spool = Arc::clone(&tools.spool);
        Self { spec, runner, spool, limit, abandon_warning: tools.abandon_warning }
    }

    async fn filter(&self, job: &Job) -> Outcome {
        let word = job.position.word();
        let running = FilterEvent::Running {
            word,
            name: self.name(),
            id: job.id.to_string(),
            path: self.spec.path.display().to_string(),
        };
        log::emit(&job.context, &running.into());
        match self.ended(job).await {
            Ended::Exited { code, output } => {
                let text = String::from_utf8_lossy(&output).into_owned();
                log::emit(&job.context, &FilterEvent::Output { text }.into());
                self.exited(job, u32::from(code), text::from_program(&output))
            }
            Ended::NotExecuted(reason) => {
                let reason = format!("filter exec error: {reason}");
                self.exited(job, NOT_EXECUTED, Failure::fault(text::REJECTED, reason))
            }
            Ended::NotStarted(reason) => {
                Outcome::exception(job, &self.name(), format!("cannot fork: {reason}"))
            }
            Ended::TimedOut => {
                let after = self.limit.unwrap_or_default();
                log::emit(&job.context, &FilterEvent::TimedOut { word, name: self.name(), after }.into());
                Outcome::fail(Failure::fault("error", "timeout"))
            }
            Ended::Stopped => Outcome::fail(Failure::fault("error", "shutting down")),
            Ended::Busy => {
                let busy = Failure::fault("4.3.2 too busy", "too many filters are running");
                Outcome::fail(Failure { code: Some(451), ..busy })
            }
        }
    }

    async fn ended(&self, job: &Job) -> Ended {
        // With words it is not what old configurations have.
        if self.spec.arguments == Arguments::Both
            && let Some(ended) = filter_copy::run(&self.spool, &self.spec.path, job).await
        {
            return ended;
        }
        self.runner.run(self.call(job)).await
    }

    fn call(&self, job: &Job) -> Call {
        let (arguments, wants_facts) = self.spec.arguments(&job.content, &job.envelope);
        Call {
            program: self.spec.path.clone(),
            arguments,
            variables: if wants_facts { variables(job) } else { Vec::new() },
            limit: self.limit,
            stop: job.stop.clone(),
            context: job.context.clone(),
        }
    }

    fn exited(&self, job: &Job, code: u32, failure: Failure) -> Outcome {
        let (response, reply) = (failure.response.clone(), failure.code);
        let outcome = code::outcome(code, job.position, || failure);
        if outcome.verdict != Verdict::Ok {
            let abandoned = outcome.verdict == Verdict::Abandon && !self.abandon_warning;
            let (word, name) = (job.position.word(), self.name());
            let event = FilterEvent::ExitCode { word, name, code, response, reply, abandoned };
            log::emit(&job.context, &event.into());
        }
        outcome
    }
}

impl Filter for Program {
    fn name(&self) -> String {
        let name = self.spec.path.file_name().unwrap_or(self.spec.path.as_os_str());
        name.to_string_lossy().into_owned()
    }

    fn run<'a>(&'a self, job: &'a Job) -> Running<'a> {
        Box::pin(self.filter(job))
    }

    fn edits_in_place(&self) -> bool {
        true
    }
}

fn variables(job: &Job) -> Vec<(&'static str, OsString)> {
    // A value ends at a NUL, which no address of a transaction holds, but a file written by others may.
    let value = |text: &str| OsString::from(text.replace('\0', ""));
    vec![
        ("EMAILRELAY_ID", value(&job.id.to_string())),
        ("EMAILRELAY_FROM", value(&job.facts.sender)),
        ("EMAILRELAY_CLIENT", value(&job.facts.client)),
        ("EMAILRELAY_AUTH", value(&job.facts.authentication)),
        ("EMAILRELAY_POSITION", value(job.position.word())),
    ]
}
