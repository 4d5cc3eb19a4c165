//! What is done with single messages: `hold`, `release`, `retry`, `fail`, `delete`.

use std::io::BufRead as _;

use serde::Serialize;

use super::options::{Ids, Verb};
use super::out::Output;
use super::{BUSY, DATA, Run, exit_code};
use crate::admin::Action;
use crate::log::Context;
use crate::role::admin::actions;
use crate::role::words::complain;
use crate::spool::{ActionError, InvalidId, MessageId, PeekError};

/// What became of a message, in JSON. The names are part of the documented shape.
#[derive(Debug, Serialize)]
pub(super) struct Done<'a> {
    pub(super) id: &'a str,
    pub(super) done: bool,
    /// Another process is at work on it: it is as it was.
    pub(super) busy: bool,
    pub(super) error: Option<String>,
    /// Where it went.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) to: Option<&'a [String]>,
}

/// Nothing was done with a message.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error(transparent)]
    Id(#[from] InvalidId),
    #[error(transparent)]
    Action(#[from] ActionError),
    #[error(transparent)]
    Peek(#[from] PeekError),
}

impl Fault {
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Action(error) => exit_code(error),
            Self::Id(_) | Self::Peek(_) => DATA,
        }
    }
}

impl Verb {
    /// Behind the id of a message that it was done with.
    fn done(self) -> &'static str {
        match self {
            Self::Hold => "held",
            Self::Release => "released",
            Self::Retry => "due now",
            Self::Fail => "failed",
            Self::Delete => "deleted",
        }
    }

    fn opening(self) -> &'static str {
        match self {
            Self::Hold => "{\"command\":\"hold\",\"results\":[",
            Self::Release => "{\"command\":\"release\",\"results\":[",
            Self::Retry => "{\"command\":\"retry\",\"results\":[",
            Self::Fail => "{\"command\":\"fail\",\"results\":[",
            Self::Delete => "{\"command\":\"delete\",\"results\":[",
        }
    }
}

impl Run<'_> {
    /// Does it with all of them, whatever becomes of the others.
    pub(super) fn act(&self, verb: Verb) -> u8 {
        let mut out = Output::new(self.options.json, verb.opening());
        let (mut code, mut any) = (0, false);
        self.each_id(|id| {
            let outcome = self.act_on(verb, id);
            any |= outcome.is_ok();
            let failed = outcome.as_ref().err().map_or(0, Fault::exit_code);
            code = code.max(failed);
            if let Err(fault) = &outcome
                && !self.options.json
            {
                out.flush();
                complain(self.program, &format!("{}: {fault}", id.escape_debug()));
            }
            if outcome.is_ok() || self.options.json {
                let error = outcome.err().map(|fault| fault.to_string());
                let done = Done { id, done: error.is_none(), busy: failed == BUSY, error, to: None };
                out.item(&done, || match self.options.verbose {
                    true => format!("{}: {}\n", id.escape_debug(), verb.done()),
                    false => String::new(),
                });
            }
        });
        if any && matches!(verb, Verb::Retry | Verb::Release) {
            // The forwarder's timer finds them in any case.
            let _ = self.spool.request_forward();
        }
        out.finish();
        code
    }

    fn act_on(&self, verb: Verb, id: &str) -> Result<(), Fault> {
        let id: MessageId = id.parse()?;
        if self.spool.is_claimed(&id)? {
            return Err(ActionError::Busy.into());
        }
        match self.spool.recover_message(&id, self.options.stale_after) {
            // There is another one to act on.
            Ok(_) | Err(ActionError::Exists) => {}
            Err(error) => return Err(error.into()),
        }
        let action = match verb {
            Verb::Hold => Action::Hold,
            Verb::Release => Action::Release,
            Verb::Retry => Action::Requeue { now: true },
            Verb::Delete => Action::Delete,
            Verb::Fail => {
                self.spool.give_up(&id, &self.options.reason)?;
                self.log("fail", &id);
                return Ok(());
            }
        };
        actions::act(&self.spool, action, &id)?;
        self.log(action.as_str(), &id);
        Ok(())
    }

    pub(super) fn log(&self, action: &'static str, id: &MessageId) {
        actions::log_action(&Context::default(), action, id, self.program);
    }

    /// The ids of the command line, or those on standard input, as they come.
    pub(super) fn each_id(&self, mut each: impl FnMut(&str)) {
        match &self.options.ids {
            Ids::Given(ids) => ids.iter().for_each(|id| each(id)),
            Ids::Input => {
                let lines = std::io::stdin().lock().split(b'\n').map_while(Result::ok);
                for line in lines {
                    let line = String::from_utf8_lossy(&line);
                    if !line.trim().is_empty() {
                        each(line.trim());
                    }
                }
            }
        }
    }
}
