//! The shape of a log line: `<prog>: [<timestamp>: ]<level>: [<context>]<text>`.

use std::fmt::Write;

use jiff::Zoned;

use super::context::Context;
use super::escape::guard;
use super::event::Event;

/// Longest message, bytes; what is longer is cut.
const MAX_MESSAGE: usize = 1000;

/// Stands for what was cut.
const CUT: &str = " ...";

/// The words of `--log-format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Format {
    /// The local time.
    pub time: bool,
    /// The instance.
    pub unit: bool,
    /// The client's address.
    pub address: bool,
    /// The client's port.
    pub port: bool,
    /// The message id.
    pub msgid: bool,
}

impl Format {
    /// Switches on what `word` names; false if there is no such word.
    pub fn set(&mut self, word: &str) -> bool {
        let part = match word {
            "time" => &mut self.time,
            "unit" => &mut self.unit,
            "address" => &mut self.address,
            "port" => &mut self.port,
            "msgid" => &mut self.msgid,
            _ => return false,
        };
        *part = true;
        true
    }
}

/// What an event's message is: its context and text, without anything that ends a line.
pub(super) fn message(format: Format, context: &Context, event: &Event) -> String {
    let mut text = String::with_capacity(128);
    context.write(format, &mut text);
    let _ = write!(text, "{event}");
    cut(guard(text))
}

/// A text line with its end.
pub(super) fn line(program: &str, time: Option<&Zoned>, level: &str, message: &str) -> String {
    match time {
        Some(time) => format!("{program}: {}: {level}: {message}\n", time.strftime("%Y%m%d.%H%M%S.%3f")),
        None => format!("{program}: {level}: {message}\n"),
    }
}

/// The name that lines begin with: the base name of `argv[0]` without its last extension.
pub fn program_name(argv0: &str) -> String {
    let base = argv0.rsplit('/').next().unwrap_or_default();
    let stem = match base.rsplit_once('.') {
        Some((stem, _)) if !stem.is_empty() => stem,
        _ => base,
    };
    if stem.is_empty() { "emailrelay".to_owned() } else { guard(stem.to_owned()) }
}

fn cut(mut message: String) -> String {
    if message.len() > MAX_MESSAGE {
        let mut end = MAX_MESSAGE;
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        message.truncate(end);
        message.push_str(CUT);
    }
    message
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use jiff::tz::TimeZone;

    use super::super::event::{Event, Fields, ServerEvent, StartEvent};
    use super::super::kind;
    use super::*;

    fn formatted(words: &str, level: &str, context: &Context, event: &Event) -> String {
        let mut format = Format::default();
        assert!(words.split(',').filter(|word| !word.is_empty()).all(|word| format.set(word)));
        let time = date(2026, 11, 20).at(10, 28, 7, 545_000_000).to_zoned(TimeZone::UTC).expect("time");
        line("emailrelay", format.time.then_some(&time), level, &message(format, context, event))
    }

    fn protocol(kind: &'static kind::Kind, text: &str) -> Event {
        Event::Protocol { kind, text: text.to_owned(), fields: Fields::default() }
    }

    #[test]
    fn the_known_examples() {
        let listening = StartEvent::Listening {
            instance: None,
            server: super::super::event::Server::Smtp,
            address: "0.0.0.0:25".to_owned(),
        };
        assert_eq!(
            formatted("", "info", &Context::default(), &listening.into()),
            "emailrelay: info: smtp server on 0.0.0.0:25\n"
        );
        let failed =
            "failed authentication of remote client using mechanism [login] and missing secret for [bob]";
        assert_eq!(
            formatted(
                "address",
                "warning",
                &Context::default().with_peer("192.0.2.7", Some(34482)),
                &protocol(kind::SESSION_WARNING, failed)
            ),
            format!("emailrelay: warning: 192.0.2.7; {failed}\n")
        );
        assert_eq!(
            formatted(
                "time,unit,address,port",
                "info",
                &Context::unit("in").with_peer("192.0.2.7", Some(34482)),
                &protocol(kind::TRACE, "rx<<: \"EHLO me\"")
            ),
            "emailrelay: 20261120.102807.545: info: [in] 192.0.2.7;34482: rx<<: \"EHLO me\"\n"
        );
        assert_eq!(
            formatted(
                "msgid",
                "info",
                &Context::default().with_message("emailrelay.1234.1795170487.1"),
                &protocol(kind::NEXT_HOP_CONNECTED, "smtp connection to 198.51.100.2:25")
            ),
            "emailrelay: info: (1234.1795170487.1) smtp connection to 198.51.100.2:25\n"
        );
    }

    #[test]
    fn a_client_cannot_forge_a_line() {
        let event =
            protocol(kind::TRACE, "rx<<: \"NOOP emailrelay: warning: 203.0.113.9; failed authentication x\"");
        assert_eq!(
            formatted("address", "info", &Context::default().with_peer("192.0.2.7", None), &event),
            "emailrelay: info: 192.0.2.7; rx<<: \"NOOP emailrelay\\x3a warning: 203.0.113.9; failed authentication x\"\n"
        );
        let closed = ServerEvent::Disconnected {
            server: super::super::event::Server::Smtp,
            reason: "a\nemailrelay: b".to_owned(),
            address: "/".to_owned(),
        };
        let line = formatted("", "info", &Context::default(), &closed.into());
        assert_eq!(line.matches('\n').count(), 1, "{line}");
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        let text = message(Format::default(), &Context::default(), &protocol(kind::TRACE, &"é".repeat(600)));
        assert_eq!(text.len(), 1000 + CUT.len());
        let text = message(
            Format::default(),
            &Context::default(),
            &protocol(kind::TRACE, &format!("x{}", "é".repeat(600))),
        );
        assert!(text.ends_with("é ...") && text.len() == 999 + CUT.len());
        assert_eq!(cut("x".repeat(1000)).len(), 1000);
    }

    #[test]
    fn the_program_is_named_without_extension() {
        assert_eq!(program_name("/usr/sbin/emailrelay"), "emailrelay");
        assert_eq!(program_name("./emailrelay.real.exe"), "emailrelay.real");
        assert_eq!(program_name(".hidden"), ".hidden");
        assert_eq!(program_name(""), "emailrelay");
    }
}
