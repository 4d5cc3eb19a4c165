//! Several filters, one after another.

use tokio::time::Instant;

use super::{Filter, Job, Outcome, Position, Tools, Verdict, build};
use crate::config::filter::FilterSpec;
use crate::log::{self, FilterEvent, FilterVerdict};

/// The filters of a position.
#[derive(Debug)]
pub struct Chain {
    filters: Vec<Box<dyn Filter>>,
    name: String,
}

impl Chain {
    /// Makes the filters. None if there are none.
    ///
    /// # Errors
    /// One is not built into this version.
    pub fn new(specs: &[FilterSpec], tools: &Tools) -> Result<Option<Self>, String> {
        if specs.is_empty() {
            return Ok(None);
        }
        let filters = specs.iter().map(|spec| build(spec, tools)).collect::<Result<Vec<_>, _>>()?;
        let names: Vec<String> = filters.iter().map(|filter| filter.name()).collect();
        Ok(Some(Self { filters, name: names.join(",") }))
    }

    /// The names of the filters, joined by commas.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether a run ends with the first message that comes here.
    #[must_use]
    pub fn ends_runs(&self) -> bool {
        self.filters.iter().any(|filter| filter.ends_runs())
    }

    /// Whether any filter may change the content in place, so that its file must not be shared with other messages.
    #[must_use]
    pub fn edits_in_place(&self) -> bool {
        self.filters.iter().any(|filter| filter.edits_in_place())
    }

    /// Runs the filters until one does not say "ok". The flag is set if any of them set it.
    pub async fn run(&self, job: &Job) -> Outcome {
        let word = job.position.word();
        let started = FilterEvent::Started { word, name: self.name.clone(), id: job.id.to_string() };
        log::emit(&job.context, &started.into());
        let start = Instant::now();
        let mut whole = Outcome::ok();
        let mut rest = self.filters.iter();
        for filter in rest.by_ref() {
            let outcome = filter.run(job).await;
            whole.flag |= outcome.flag;
            whole.prepared.extend(outcome.prepared);
            whole.verdict = outcome.verdict;
            if whole.verdict != Verdict::Ok {
                break;
            }
        }
        if job.stop.is_cancelled() {
            return whole;
        }
        if whole.verdict == Verdict::Abandon && rest.next().is_some() && job.has_files() {
            log::emit(&job.context, &FilterEvent::Skipped { name: self.name.clone() }.into());
        }
        if !self.filters.iter().all(|filter| filter.is_idle()) {
            self.report(job, &whole, start);
        }
        whole
    }

    fn report(&self, job: &Job, outcome: &Outcome, start: Instant) {
        let (result, outcome_word, response, reason) = match &outcome.verdict {
            Verdict::Ok => ("ok", "ok", "", ""),
            Verdict::Abandon => ("ok(abandon)", "abandon", "", ""),
            Verdict::Fail(failure) => ("failed", "fail", failure.response.as_str(), failure.reason.as_str()),
        };
        let flag = match (outcome.flag, job.position) {
            (false, _) => "",
            (true, Position::Server) => " +rescan",
            (true, Position::Client | Position::Routing) => " +break",
        };
        let verdict = FilterVerdict {
            word: job.position.word(),
            name: self.name.clone(),
            id: job.id.to_string(),
            result,
            flag,
            response: response.to_owned(),
            reason: reason.to_owned(),
            took: start.elapsed(),
            outcome: outcome_word,
        };
        log::emit(&job.context, &FilterEvent::Verdict(verdict).into());
    }
}

impl Job {
    /// Both files of the message are where they were.
    fn has_files(&self) -> bool {
        self.content.exists() && self.envelope.exists()
    }
}
