//! `--compat 2.6`: what a site may depend on of the old version's visible behaviour.
//!
//! One field for each kind of behaviour, so that a place that acts on it says which one it means. What was a fault in 2.6 has no
//! field here: lost mail, open doors and passwords in logs do not come back. `docs/differences.md` has the whole list.

/// The old behaviours that are wanted; none by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Compat {
    /// Forwarding: refusals and faults are final, one connection and one command at a time, messages in the order of their names,
    /// the old words for reasons. The keyword `compat26` of `--client-smtp-config` asks for this alone.
    pub forwarding: bool,
    /// Dialogues with clients: a silent one is closed without a word, after the same time in every state; SMTP counts protocol
    /// errors only and does not slow down; CAPA of POP and `help` of administration show what 2.6 has.
    pub dialogue: bool,
    /// Logins, here and at the next hop: the mechanisms of 2.6, unless the lists name others.
    pub mechanisms: bool,
    /// `--server-tls-required` does not concern POP.
    pub pop_in_clear: bool,
    /// A filter that abandons a message (exit code 100) is a warning.
    pub abandon_warning: bool,
}

impl Compat {
    /// All of it.
    pub const V2_6: Self = Self {
        forwarding: true,
        dialogue: true,
        mechanisms: true,
        pop_in_clear: true,
        abandon_warning: true,
    };
}
