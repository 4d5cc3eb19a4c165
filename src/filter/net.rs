//! `net:`: asks a server for a verdict, one line for a question and one for the answer.

use super::server::{Connection, Fault, Server};
use super::{Failure, Filter, Job, Outcome, Running, Tools, text};
use crate::config::address::Remote;
use crate::log::{self, FilterEvent};

/// Longest answer, bytes.
const MAX_LINE: usize = 4096;

/// A server that is told the path of the content and answers `ok` or why not.
#[derive(Debug)]
pub(super) struct Net(Server);

impl Net {
    pub(super) fn new(address: Remote, tools: &Tools) -> Self {
        Self(Server::new(address, tools.timeout))
    }

    async fn filter(&self, job: &Job) -> Outcome {
        let answer = tokio::select! {
            biased;
            () = job.stop.cancelled() => return Outcome::ok(),
            answer = self.ask(job) => answer,
        };
        match answer {
            Ok(line) => verdict(&line),
            Err(fault) => {
                let (word, name, reason) = (job.position.word(), self.name(), fault.to_string());
                if self.0.is_news(job.position, &reason) {
                    let reason = reason.clone();
                    log::emit(&job.context, &FilterEvent::Fault { word, name, reason }.into());
                }
                Outcome::fail(Failure::fault("failed", reason))
            }
        }
    }

    /// Servers may close a connection whenever nothing is under way on it, so a dead one is worth a second try.
    async fn ask(&self, job: &Job) -> Result<Vec<u8>, Fault> {
        let mut connection = self.0.connection().await?;
        if connection.is_used && !connection.forget_input() {
            connection = self.0.connect().await?;
        }
        let was_used = connection.is_used;
        match self.exchange(connection, job).await {
            Err(Fault::Disconnected) if was_used => self.exchange(self.0.connect().await?, job).await,
            answer => answer,
        }
    }

    async fn exchange(&self, mut connection: Connection, job: &Job) -> Result<Vec<u8>, Fault> {
        let mut request = job.content.as_os_str().as_encoded_bytes().to_vec();
        request.push(b'\n');
        let peer = connection.peer();
        let work = async {
            // What has come before the question, a greeting for instance, is no answer.
            connection.forget_input();
            connection.write(&request).await?;
            connection.line(MAX_LINE).await
        };
        let line = self.0.within(self.0.deadline(), &peer, work).await?;
        self.0.keep(connection);
        Ok(line)
    }
}

impl Filter for Net {
    fn name(&self) -> String {
        self.0.name()
    }

    fn run<'a>(&'a self, job: &'a Job) -> Running<'a> {
        Box::pin(self.filter(job))
    }
}

/// `ok` or nothing; else a text for the client, and behind a tab the reason.
fn verdict(line: &[u8]) -> Outcome {
    if line.is_empty() || line.starts_with(b"ok") {
        return Outcome::ok();
    }
    let line = String::from_utf8_lossy(line).replace(char::REPLACEMENT_CHARACTER, "?");
    let (response, why) = match line.split_once('\t') {
        Some((response, why)) => (response, Some(why)),
        None => (line.as_str(), None),
    };
    let reason = text::cut(why.unwrap_or(&line)).to_owned();
    let (code, response) = text::response(response);
    Outcome::fail(Failure { response, code, reason, is_fault: false, about_next_hop: false })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::Verdict;

    #[test]
    fn answers_are_those_of_the_table() {
        for ok in ["ok", "okay then", ""] {
            assert_eq!(verdict(ok.as_bytes()).verdict, Verdict::Ok, "{ok}");
        }
        for (line, code, response, reason) in [
            ("OK", None, "OK", "OK"),
            (" ok", None, " ok", " ok"),
            ("100", None, "100", "100"),
            ("no thanks", None, "no thanks", "no thanks"),
            ("no\tbad\tvery", None, "no", "bad\tvery"),
            ("550 a virus\tEicar", Some(550), "a virus", "Eicar"),
            ("450 later", Some(450), "later", "450 later"),
            ("450", Some(450), "rejected", "450"),
            ("5500 x", None, "5500 x", "5500 x"),
        ] {
            let Verdict::Fail(failure) = verdict(line.as_bytes()).verdict else { panic!("{line}") };
            let found = (failure.code, failure.response.as_str(), failure.reason.as_str());
            assert_eq!(found, (code, response, reason), "{line}");
        }
    }
}
