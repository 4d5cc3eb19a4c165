//! The usage text.

use std::fmt::Write as _;

use crate::{PRODUCT, VERSION};

use super::options::{HelpPart, Level, Spec, TABLE, Takes};

/// Where descriptions begin.
const COLUMN: usize = 38;
/// Line width when the terminal does not tell.
pub(super) const DEFAULT_WIDTH: usize = 79;

/// The usage text for lines of this width; a width of 0 means no wrapping.
pub(super) fn text(program: &str, part: HelpPart, width: usize) -> String {
    let (usage, level) = match part {
        HelpPart::Basic => ("abbreviated usage", Level::Basic),
        HelpPart::Full => ("usage", Level::Special),
    };
    let mut text = format!(
        "{PRODUCT} V{VERSION}\n\n{usage}: {program} [options] [<envelope-to-address> ...]\n\n\
         Reads a message and puts it in the spool directory, ready to be sent on.\n\n"
    );
    for spec in TABLE.iter().filter(|spec| spec.level <= level) {
        block(&mut text, spec, width);
    }
    if part == HelpPart::Basic {
        let _ = write!(text, "\nFor complete usage information run \"{program} --help --verbose\"\n");
    }
    text
}

fn block(text: &mut String, spec: &Spec, width: usize) {
    let letter = spec.letter.map_or_else(|| "    ".to_owned(), |letter| format!("-{letter}, "));
    let value = match spec.takes {
        Takes::Nothing => String::new(),
        Takes::Optional(name) => format!("[=<{name}>]"),
        Takes::Value(name) => format!("=<{name}>"),
    };
    let mut line = format!("  {letter}--{}{value} ", spec.name);
    let mut blank = true;
    for word in spec.help.split(' ') {
        if !blank && width > 0 && line.len() + 1 + word.len() > width {
            text.push_str(line.trim_end());
            text.push('\n');
            line.clear();
            blank = true;
        }
        while blank && line.len() < COLUMN {
            line.push(' ');
        }
        if !blank {
            line.push(' ');
        }
        line.push_str(word);
        blank = false;
    }
    text.push_str(&line);
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_help_has_the_basic_options_only() {
        let text = text("emailrelay-submit", HelpPart::Basic, DEFAULT_WIDTH);
        assert!(text.starts_with("E-MailRelay V3.0.0\n\nabbreviated usage: emailrelay-submit [options]"));
        assert!(text.contains("\n  -f, --from=<address>  "));
        assert!(!text.contains("--bcc-split"));
    }

    #[test]
    fn full_help_has_all_but_hidden_options() {
        let text = text("emailrelay-submit", HelpPart::Full, DEFAULT_WIDTH);
        let shown = |spec: &&Spec| text.contains(&format!("--{}", spec.name));
        let hidden: Vec<&str> = TABLE.iter().filter(|spec| !shown(spec)).map(|spec| spec.name).collect();
        assert_eq!(hidden, ["debug"]);
        assert!(text.contains("--content-message-id[=<domain>]"));
    }

    #[test]
    fn lines_fit_the_width() {
        for width in [60, 79, 120] {
            assert!(text("p", HelpPart::Full, width).lines().all(|line| line.len() <= width.max(76)));
        }
        let lines = text("p", HelpPart::Full, 0).lines().filter(|line| line.starts_with("  ")).count();
        assert_eq!(lines, TABLE.len() - 1);
    }
}
