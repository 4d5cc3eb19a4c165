//! The usage text.

use std::fmt::Write as _;

use crate::{PRODUCT, VERSION};

use super::{HelpPart, Level, Spec, Takes};

/// Where descriptions begin.
const COLUMN: usize = 38;
/// Line width when the terminal does not tell.
pub(crate) const DEFAULT_WIDTH: usize = 79;

/// The usage text as wide as the terminal is.
pub(crate) fn text<Id>(
    program: &str,
    words: &str,
    about: &str,
    table: &[Spec<Id>],
    part: HelpPart,
) -> String {
    let columns = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
    wrapped(program, words, about, table, part, columns.unwrap_or(DEFAULT_WIDTH))
}

/// The usage text for lines of this width; a width of 0 means no wrapping. `words` is what follows the program's name.
pub(crate) fn wrapped<Id>(
    program: &str,
    words: &str,
    about: &str,
    table: &[Spec<Id>],
    part: HelpPart,
    width: usize,
) -> String {
    let (usage, level) = match part {
        HelpPart::Basic => ("abbreviated usage", Level::Basic),
        HelpPart::Full => ("usage", Level::Special),
    };
    let mut text = format!("{PRODUCT} V{VERSION}\n\n{usage}: {program} {words}\n\n{about}\n\n");
    for spec in table.iter().filter(|spec| spec.level <= level) {
        block(&mut text, spec, width);
    }
    if part == HelpPart::Basic {
        let _ = write!(text, "\nFor complete usage information run \"{program} --help --verbose\"\n");
    }
    text
}

fn block<Id>(text: &mut String, spec: &Spec<Id>, width: usize) {
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
