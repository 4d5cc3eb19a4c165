//! What `notify` tells.

use crate::smtp::escape::printable;

/// Which events a client wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Those of E-MailRelay 2.6.
    Classic,
    /// Also what becomes of each message in the spool.
    All,
}

/// One event: up to four fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    fields: Vec<String>,
    scope: Scope,
}

impl Notice {
    /// An event that 2.6 has too, such as `network: in: start`.
    #[must_use]
    pub fn classic(fields: &[&str]) -> Self {
        Self::new(fields, Scope::Classic)
    }

    /// An event for those who want all, such as `store: ready: ID`.
    #[must_use]
    pub fn extra(fields: &[&str]) -> Self {
        Self::new(fields, Scope::All)
    }

    fn new(fields: &[&str], scope: Scope) -> Self {
        let fields = fields.iter().filter(|field| !field.is_empty()).map(|field| (*field).to_owned());
        Self { fields: fields.collect(), scope }
    }

    /// Whether a client with this wish gets it.
    #[must_use]
    pub fn is_for(&self, wish: Scope) -> bool {
        self.scope == Scope::Classic || wish == Scope::All
    }

    /// The fields, made printable and joined.
    #[must_use]
    pub fn text(&self) -> String {
        printable(self.fields.join(": ").as_bytes())
    }
}
