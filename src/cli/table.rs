//! The one table of options.
//!
//! Every option of every program is one row in the sub-modules of this one: its spelling, what values it
//! takes, whom it concerns, how it is
//! explained, and whether its feature is built. Parser, typed values, help, sample configuration and the
//! printed effective configuration are all made from the rows.

mod auth;
mod basic;
mod forward;
mod process;
mod server;

/// The programs an option concerns, as a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Roles(u8);

impl Roles {
    /// Only `emailrelay`, which has all roles in one process and looks after itself.
    pub(super) const RELAY: Self = Self(1);
    /// Receiving over SMTP: `emailrelay-smtp`.
    pub(super) const SMTP: Self = Self(2);
    /// Sending on: `emailrelay-forward`.
    pub(super) const FORWARD: Self = Self(4);
    /// Serving POP: `emailrelay-pop`.
    pub(super) const POP: Self = Self(8);
    /// Administration: `emailrelay-admin`.
    pub(super) const ADMIN: Self = Self(16);
    /// Sending on at once: `emailrelay-smtp` with `--immediate`.
    pub(super) const AT_ONCE: Self = Self(32);
    /// Every program.
    pub(super) const ALL: Self = Self(63);
    /// Every program that is a server.
    pub(super) const SERVERS: Self = Self(2 + 8 + 16);

    /// Whether the sets have a member in common.
    #[must_use]
    pub(super) const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Both sets in one.
    pub(super) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// The heading an option stands under in help and sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    /// Modes, help.
    Basic,
    /// Forwarding.
    Client,
    /// Receiving.
    Server,
    /// POP.
    Pop,
    /// Administration.
    Admin,
    /// Accounts.
    Auth,
    /// Encryption.
    Tls,
    /// The process itself.
    Process,
    /// The log.
    Logging,
}

impl Section {
    /// All of them, in the order they are shown.
    pub(super) const ALL: [Self; 9] = [
        Self::Basic,
        Self::Client,
        Self::Server,
        Self::Pop,
        Self::Admin,
        Self::Auth,
        Self::Tls,
        Self::Process,
        Self::Logging,
    ];

    /// The heading.
    #[must_use]
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Basic => "Basic options",
            Self::Client => "SMTP client options",
            Self::Server => "SMTP server options",
            Self::Pop => "POP server options",
            Self::Admin => "Admin server options",
            Self::Auth => "Authentication options",
            Self::Tls => "TLS options",
            Self::Process => "Process options",
            Self::Logging => "Logging options",
        }
    }
}

/// What values an option takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// On or off.
    Switch,
    /// On, and more so when repeated.
    Count,
    /// On, off, or a syslog facility behind `=`.
    Facility,
    /// On, off, or a list of things to hide behind `=`.
    Scopes,
    /// Any text.
    Text,
    /// A text that is never shown when it holds a password: `plain:...`, else a path.
    Secret,
    /// A file or directory; `@app` and `@cred/NAME` are replaced.
    Path,
    /// A filter or verifier.
    Program,
    /// A number from 0 to 65535.
    Port,
    /// A number from the first to the second.
    Number(u32, u32),
    /// Whole seconds.
    Seconds,
    /// Whole seconds; zero has its own error.
    Period,
    /// Seconds, or a number with `s`, `m`, `h`, `d` or `w`.
    Duration,
    /// Bytes, or a number with `k`, `m` or `g`.
    Size,
    /// `host:port` and the other forms of a peer's address.
    Address,
    /// A literal address, with or without port.
    LocalAddress,
    /// Listening addresses.
    Interfaces,
    /// One of these words.
    Choice(&'static [&'static str]),
}

impl Kind {
    /// How a value comes to the option.
    #[must_use]
    pub(super) fn arity(self) -> Arity {
        match self {
            Self::Switch | Self::Count => Arity::None,
            Self::Facility | Self::Scopes => Arity::Optional,
            _ => Arity::Required,
        }
    }
}

/// How a value comes to an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arity {
    /// None but a word for on or off.
    None,
    /// Only with `=`.
    Optional,
    /// Always.
    Required,
}

/// What becomes of a spelling that older versions had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Old {
    /// The option has another name now.
    Renamed(&'static str),
    /// It is a filter now, its value behind this prefix.
    Filter(&'static str),
    /// It has no meaning here, for this reason.
    Ignored(&'static str),
}

/// One option.
#[derive(Debug)]
pub(super) struct Opt {
    /// Long name without dashes; the key in configuration files.
    pub(super) name: &'static str,
    /// Another long name, or empty.
    pub(super) alias: &'static str,
    /// The letter.
    pub(super) short: Option<char>,
    /// Its values.
    pub(super) kind: Kind,
    /// What help calls the value.
    pub(super) metavar: &'static str,
    /// May be repeated; values are joined with commas.
    pub(super) list: bool,
    /// Heading.
    pub(super) section: Section,
    /// Importance: 1 and 2 are in the short help; 9 is never shown.
    pub(super) level: u8,
    /// One or more sentences.
    pub(super) help: &'static str,
    /// The value when not given, or empty when there is none to show.
    pub(super) default: &'static str,
    /// An example value for the sample configuration; a switch has none.
    pub(super) sample: &'static str,
    /// Whom it concerns.
    pub(super) roles: Roles,
    /// One value holds for the whole process; taken from the first instance.
    pub(super) process_wide: bool,
    /// Makes sense in a configuration file.
    pub(super) in_file: bool,
    /// Not an option of ours but of an older version.
    pub(super) old: Option<Old>,
    /// A switch that took a value in older versions: the option that the value is for now, or empty.
    pub(super) value_for: &'static str,
}

/// The hidden level.
const HIDDEN: u8 = 9;

/// A row with everything at its most common; the methods say what differs.
const fn opt(name: &'static str, section: Section, level: u8, roles: Roles, help: &'static str) -> Opt {
    Opt {
        name,
        alias: "",
        short: None,
        kind: Kind::Switch,
        metavar: "",
        list: false,
        section,
        level,
        help,
        default: "",
        sample: "",
        roles,
        process_wide: false,
        in_file: true,
        old: None,
        value_for: "",
    }
}

impl Opt {
    const fn short(mut self, letter: char) -> Self {
        self.short = Some(letter);
        self
    }

    const fn alias(mut self, name: &'static str) -> Self {
        self.alias = name;
        self
    }

    const fn value(mut self, kind: Kind, metavar: &'static str) -> Self {
        self.kind = kind;
        self.metavar = metavar;
        self
    }

    const fn list(mut self) -> Self {
        self.list = true;
        self
    }

    const fn default(mut self, value: &'static str) -> Self {
        self.default = value;
        self
    }

    const fn sample(mut self, value: &'static str) -> Self {
        self.sample = value;
        self
    }

    const fn process_wide(mut self) -> Self {
        self.process_wide = true;
        self
    }

    const fn command_line_only(mut self) -> Self {
        self.in_file = false;
        self
    }

    const fn old(mut self, old: Old) -> Self {
        self.old = Some(old);
        self
    }

    const fn value_for(mut self, name: &'static str) -> Self {
        self.value_for = name;
        self
    }

    /// Whether help and sample show it.
    #[must_use]
    pub(super) fn is_visible(&self) -> bool {
        self.level < HIDDEN
    }
}

/// All rows, section by section in the order they are shown; within a section by level, then name.
pub(super) fn all() -> impl Iterator<Item = &'static Opt> {
    [basic::ROWS, forward::ROWS, server::ROWS, auth::ROWS, process::ROWS].into_iter().flatten()
}

/// The option of a long name.
#[must_use]
pub(super) fn find(name: &str) -> Option<&'static Opt> {
    all().find(|opt| opt.name == name || (!opt.alias.is_empty() && opt.alias == name))
}

/// The option of a letter.
#[must_use]
pub(super) fn find_short(letter: char) -> Option<&'static Opt> {
    all().find(|opt| opt.short == Some(letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_letters_are_unique_and_well_formed() {
        let mut seen = std::collections::HashSet::new();
        for opt in all() {
            assert!(
                opt.name
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            );
            assert!(seen.insert(opt.name.to_owned()), "{} twice", opt.name);
            assert!(opt.alias.is_empty() || seen.insert(opt.alias.to_owned()), "{} twice", opt.alias);
            if let Some(letter) = opt.short {
                assert!(letter.is_ascii_graphic() && letter != '-' && letter != '=');
                assert!(seen.insert(letter.to_string()), "-{letter} twice");
            }
        }
    }

    #[test]
    fn rows_are_complete() {
        for opt in all() {
            let switch = opt.kind.arity() == Arity::None;
            assert_eq!(switch, opt.metavar.is_empty(), "{}", opt.name);
            assert!(opt.old.is_some() || opt.help.ends_with('.'), "{}", opt.name);
            assert!(!switch || (opt.sample.is_empty() && !opt.list), "{}", opt.name);
            let in_sample = opt.is_visible() && opt.in_file && opt.kind.arity() == Arity::Required;
            assert_eq!(in_sample, !opt.sample.is_empty(), "{}", opt.name);
        }
    }

    #[test]
    fn within_a_section_rows_go_by_level_then_name() {
        for section in Section::ALL {
            let keys: Vec<_> =
                all().filter(|opt| opt.section == section).map(|opt| (opt.level, opt.name)).collect();
            let mut sorted = keys.clone();
            sorted.sort_unstable();
            assert_eq!(keys, sorted);
        }
    }

    #[test]
    fn renamed_options_exist() {
        for opt in all() {
            if let Some(Old::Renamed(name)) = opt.old {
                let new = find(name).unwrap();
                assert!(new.old.is_none() && new.kind.arity() == opt.kind.arity());
            }
            if !opt.value_for.is_empty() {
                assert_eq!(opt.kind, Kind::Switch);
                assert_eq!(find(opt.value_for).unwrap().kind.arity(), Arity::Required);
            }
        }
    }
}
