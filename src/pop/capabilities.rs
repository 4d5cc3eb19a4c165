//! CAPA (RFC 2449) and LANG (RFC 6856).

use super::command::Command;
use super::config::{Habits, StartTls};
use super::reply;
use super::session::{Session, State};

/// What is always there, in front of STLS and SASL,
const COMMANDS: [&str; 3] = ["CAPA", "TOP", "UIDL"];
/// and behind.
const EXTENSIONS: [&str; 4] = ["RESP-CODES", "AUTH-RESP-CODE", "PIPELINING", "EXPIRE NEVER"];
/// RFC 6856, last.
const INTERNATIONAL: [&str; 2] = ["UTF8 USER", "LANG"];

/// Languages of reply texts: tag, and its own name.
const LANGUAGES: [(&str, &str); 2] = [("i-default", ""), ("en", "English")];

impl Session {
    pub(super) fn capa(&mut self) {
        let mut lines = vec![reply::CAPABILITIES.to_owned()];
        let shows_logins = !self.needs_tls();
        if shows_logins && self.offer().password() {
            lines.push("USER".to_owned());
        }
        lines.extend(COMMANDS.map(str::to_owned));
        if self.config.tls != StartTls::No && !self.is_secure() && self.state != State::Transaction {
            lines.push("STLS".to_owned());
        }
        let names: Vec<&str> = self.offer().mechanisms.iter().map(|mechanism| mechanism.name()).collect();
        if shows_logins && !names.is_empty() {
            lines.push(format!("SASL {}", names.join(" ")));
        }
        if self.config.habits == Habits::New {
            lines.extend(EXTENSIONS.map(str::to_owned));
            // One word (RFC 2449 §6.9).
            let product = self.config.product.as_ref().map(|product| product.replace(' ', "-"));
            lines.extend(product.map(|product| format!("IMPLEMENTATION {product}")));
            lines.extend(INTERNATIONAL.map(str::to_owned));
        }
        self.reply_lines(&lines);
    }

    /// All texts are in one language, whatever the client prefers.
    pub(super) fn lang(&mut self, command: &Command<'_>) {
        let Some(word) = command.words().next() else {
            let listed = LANGUAGES.map(|(tag, name)| format!("{tag} {name}").trim_end().to_owned());
            let lines: Vec<String> = std::iter::once(reply::LANGUAGES.to_owned()).chain(listed).collect();
            return self.reply_lines(&lines);
        };
        let wanted = if word == b"*" { LANGUAGES[0].0.as_bytes() } else { word };
        match LANGUAGES.iter().find(|(tag, _)| tag.as_bytes().eq_ignore_ascii_case(wanted)) {
            Some((tag, _)) => self.reply(&format!("{} {tag} language changed", reply::OK)),
            None => self.reply(reply::INVALID_LANGUAGE),
        }
    }
}
