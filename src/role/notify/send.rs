//! The way of a report: into a spool, durably, or to a command.

use std::sync::Arc;

use crate::role::pipe::{self, Input, PipeFault};
use crate::role::store;
use crate::smtp::Body;
use crate::spool::{ContentError, Envelope, Spool, StoreError};

/// The largest report that a command gets: it is made in memory.
const MAX_REPORT: usize = 64 * 1024 * 1024;

/// Where reports go.
pub(super) enum Carrier {
    Spool(Arc<Spool>),
    /// A program and its first arguments.
    Command(Vec<String>),
}

/// A report was not taken, or could not be made; the message stays as it is, for the next run.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("cannot read content: {}", crate::os::reason(.0))]
    Content(#[from] std::io::Error),
    #[error("cannot open content: {0}")]
    Open(#[from] ContentError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Command(#[from] PipeFault),
    #[error("the report is bigger than {MAX_REPORT} bytes")]
    Size,
}

/// Whatever writes a report, in pieces, into the sink that it is given.
pub(super) type WriteReport<'a> =
    &'a mut dyn FnMut(&mut dyn FnMut(&[u8]) -> Result<(), Fault>) -> Result<(), Fault>;

impl Carrier {
    /// Sends a report on its way, with the null sender. Gives its id in the spool, if it has one.
    ///
    /// # Errors
    /// It was not taken.
    pub(super) fn send(
        &self,
        to: &str,
        eight_bit: bool,
        write: WriteReport<'_>,
    ) -> Result<Option<String>, Fault> {
        match self {
            Self::Spool(spool) => store_report(spool, to, eight_bit, write).map(Some),
            Self::Command(words) => {
                let mut report = Vec::new();
                write(&mut |bytes| {
                    report.extend_from_slice(bytes);
                    if report.len() > MAX_REPORT { Err(Fault::Size) } else { Ok(()) }
                })?;
                pipe::run(words, to, Input::Text(report))?;
                Ok(None)
            }
        }
    }

    /// Reports have been stored: they are to be sent on.
    pub(super) fn request_forward(&self) {
        if let Self::Spool(spool) = self {
            // The forwarder's timer finds them in any case.
            let _ = spool.request_forward();
        }
    }
}

fn store_report(spool: &Spool, to: &str, eight_bit: bool, write: WriteReport<'_>) -> Result<String, Fault> {
    let envelope = Envelope {
        body: if eight_bit { Body::EightBit } else { Body::SevenBit },
        remote: vec![to.to_owned()],
        client: "127.0.0.1".to_owned(),
        utf8_mailboxes: !to.split('@').next().unwrap_or_default().is_ascii(),
        ..Envelope::default()
    };
    let id = store::store(spool, &envelope, |message| {
        write(&mut |bytes| message.append(bytes).map_err(Fault::from))
    })?;
    Ok(id.to_string())
}
