//! Settings of the log.

use std::path::PathBuf;

/// How much is logged. Errors and warnings always are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Verbosity {
    /// `--log`: errors, warnings, and the lines that matter.
    #[default]
    Normal,
    /// `--verbose`: also the protocol dialogue.
    Verbose,
    /// `--verbose` twice: everything but debug lines.
    Extra,
}

/// A syslog facility.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Facility {
    /// `mail` (2).
    #[default]
    Mail,
    /// `user` (1).
    User,
    /// `daemon` (3).
    Daemon,
    /// `local0` to `local7` (16 to 23).
    Local(u8),
}

impl Facility {
    /// Reads `mail`, `user`, `daemon` or `local0` to `local7`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "mail" => Self::Mail,
            "user" => Self::User,
            "daemon" => Self::Daemon,
            _ => match text.strip_prefix("local")?.as_bytes() {
                [digit @ b'0'..=b'7'] => Self::Local(digit - b'0'),
                _ => return None,
            },
        })
    }

    /// The facility's number (RFC 5424 section 6.2.1), 0 to 23.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::User => 1,
            Self::Mail => 2,
            Self::Daemon => 3,
            Self::Local(number) => 16 + number.min(7),
        }
    }
}

/// What stands in front of a line's text (`--log-format`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogFormat {
    /// `time`: a timestamp.
    pub time: bool,
    /// `unit`: the instance's name.
    pub unit: bool,
    /// `address`: the client's address.
    pub address: bool,
    /// `port`: the client's port.
    pub port: bool,
    /// `msgid`: the message being sent on.
    pub msgid: bool,
}

impl LogFormat {
    /// Switches on the words of a comma-separated list; returns those it does not know.
    pub fn add(&mut self, list: &str) -> Vec<String> {
        let mut unknown = Vec::new();
        for word in list.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            match word {
                "time" => self.time = true,
                "unit" => self.unit = true,
                "address" => self.address = true,
                "port" => self.port = true,
                "msgid" => self.msgid = true,
                _ => unknown.push(word.to_owned()),
            }
        }
        unknown
    }
}

/// Where log lines go, and which.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogSettings {
    /// `--log`, given or implied; always on in the role programs.
    pub enabled: bool,
    /// `--verbose`, counted.
    pub verbosity: Verbosity,
    /// `--debug`.
    pub debug: bool,
    /// Log to syslog, with this facility.
    pub syslog: Option<Facility>,
    /// `--log-file`, still with its `%d` and `%h`; instead of standard error.
    pub file: Option<PathBuf>,
    /// `--log-format`, `--log-time`, `--log-address`.
    pub format: LogFormat,
    /// `--close-stderr`, given or implied: standard error ends soon after start-up.
    pub close_stderr: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facilities_have_their_numbers() {
        for (text, number) in [("mail", 2), ("user", 1), ("daemon", 3), ("local0", 16), ("local7", 23)] {
            assert_eq!(Facility::parse(text).unwrap().number(), number);
        }
        for bad in ["", "Mail", "local", "local8", "local10", "kern", "yes"] {
            assert_eq!(Facility::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn unknown_format_words_are_returned() {
        let mut format = LogFormat::default();
        assert_eq!(format.add("time, port,network"), ["network"]);
        assert!(format.time && format.port && !format.address);
    }
}
