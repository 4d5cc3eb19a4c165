//! The reference of all options as a Markdown document, made from the option tables: `docs/reference.md`.
//!
//! Like the manual pages it is made by `emailrelay-docs`; unlike them it is in the repository, for people who read it there, and a test
//! says when it is not what this module makes.

use std::fmt::Write as _;

use super::Program;
use super::table::{self, Arity, Kind, Old, Opt, Section};
use crate::role::{copy, notify, passwd, poke, queue, resubmit, submit, words};

/// The programs whose options are rows of the one table, with the word that the document has for each.
const PROGRAMS: [(Program, &str); 5] = [
    (Program::Relay, "relay"),
    (Program::Smtp, "smtp"),
    (Program::Forward, "forward"),
    (Program::Pop, "pop"),
    (Program::Admin, "admin"),
];

const OPENING: &str = "\
# Reference of options

Made from the option tables of the programs by `make reference`; a test compares the two.

## How options are written

On a command line `--name=value` or `--name value`; a value in square brackets below may be left out, and then needs the `=`. Letters
without values can be put together (`-dv`). In a configuration file one option stands on a line, `name value`, without dashes; `name yes` or
`name` alone switches on, `name no` off. Lines that start with `#` are comments. `/etc/emailrelay.conf` is not read by itself: the units
name it, and so does `emailrelay /etc/emailrelay.conf`. `--check` shows what is in force.

The column *for* has the programs that an option concerns: `relay` is `emailrelay`, `smtp` is `emailrelay-smtp`, and so on. A program skips
what is for another, and refuses what is for none. With `NAME-` in front of its name an option is that of the instance NAME, unless it is
marked *once*, for the whole process; `NAME-spool-dir` makes the instance.

| value | is |
|---|---|
| `time` | seconds, or a number with `s`, `m`, `h`, `d` or `w` behind it |
| `seconds` | seconds, unless the option says `time` in its description |
| `bytes` | bytes, or a number with `k`, `m` or `g` behind it |
| `file`, `path`, `dir`, `pem-file`, `ca-list` | a path; `@app` at its start is the directory of the program, `@cred/NAME` the credential NAME of the service |
| `list`, `config`, `options` | words with commas between them; an option that is marked *list* can also be given several times |
";

/// The document.
#[must_use]
pub(super) fn markdown() -> String {
    let mut text = OPENING.to_owned();
    for section in Section::ALL {
        let rows: Vec<String> = table::all()
            .filter(|opt| opt.section == section && opt.old.is_none() && opt.is_visible())
            .map(row)
            .collect();
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "\n## {}\n\n| option | does | for |\n|---|---|---|\n{}",
            section.title(),
            rows.concat()
        );
    }
    for (name, rows) in [
        ("emailrelay-submit", tool(submit::ABOUT, submit::TABLE)),
        ("emailrelay-passwd", tool(passwd::ABOUT, passwd::TABLE)),
        ("emailrelay-notify", tool(notify::ABOUT, notify::TABLE)),
        ("emailrelay-resubmit", tool(resubmit::ABOUT, resubmit::TABLE)),
        ("emailrelay-queue", tool(queue::ABOUT, queue::TABLE)),
        ("emailrelay-poke", tool(poke::ABOUT, poke::TABLE)),
        ("emailrelay-filter-copy", tool(copy::ABOUT, copy::TABLE)),
    ] {
        let _ = write!(text, "\n## {name}\n\n{rows}");
    }
    text.push_str("\n## Old spellings\n\nAccepted, with one warning.\n\n| option | is |\n|---|---|\n");
    table::all().filter_map(old).for_each(|row| text.push_str(&row));
    text
}

fn row(opt: &Opt) -> String {
    let mut does = opt.help.to_owned();
    if !opt.default.is_empty() {
        does = format!("{does} Default: {}.", opt.default);
    }
    let mut does = escaped(&does);
    if !opt.alias.is_empty() {
        let _ = write!(does, " Also `--{}`.", opt.alias);
    }
    let marks = [(opt.list, "list"), (opt.process_wide, "once"), (!opt.in_file, "command line only")];
    let marks: Vec<&str> = marks.into_iter().filter(|(set, _)| *set).map(|(_, mark)| mark).collect();
    let marks = if marks.is_empty() { String::new() } else { format!(" *({})*", marks.join(", ")) };
    let programs: Vec<&str> =
        PROGRAMS.iter().filter(|(program, _)| program.has(opt)).map(|(_, word)| *word).collect();
    format!("| {} | {}{marks} | {} |\n", spelled(opt), does, programs.join(", "))
}

fn spelled(opt: &Opt) -> String {
    let (name, value) = (opt.name, value_name(opt));
    let long = match opt.kind.arity() {
        Arity::None => format!("--{name}"),
        Arity::Optional => format!("--{name}[={value}]"),
        Arity::Required => format!("--{name}={value}"),
    };
    code(opt.short, &long)
}

/// What stands for the value: as in help texts, or the words that are possible.
fn value_name(opt: &Opt) -> String {
    match opt.kind {
        Kind::Choice(words) => words.join("/"),
        _ => opt.metavar.to_owned(),
    }
}

fn code(letter: Option<char>, long: &str) -> String {
    letter.map_or_else(|| format!("`{long}`"), |letter| format!("`{long}`, `-{letter}`"))
}

/// A program with a table of its own.
fn tool<Id>(about: &str, table: &[words::Spec<Id>]) -> String {
    let mut text = format!("{}\n\n| option | does |\n|---|---|\n", escaped(about));
    for spec in table.iter().filter(|spec| spec.level < words::Level::Hidden) {
        let name = spec.name;
        let long = match spec.takes {
            words::Takes::Nothing => format!("--{name}"),
            words::Takes::Optional(value) => format!("--{name}[={value}]"),
            words::Takes::Value(value) => format!("--{name}={value}"),
        };
        let often = if spec.repeats { " *(several times)*" } else { "" };
        let _ = writeln!(text, "| {} | {}{often} |", code(spec.letter, &long), escaped(spec.help));
    }
    text
}

fn old(opt: &Opt) -> Option<String> {
    let meaning = match opt.old? {
        Old::Renamed(name) => format!("`--{name}`"),
        Old::Filter(prefix) => format!("`--filter={prefix}` with its value behind"),
        Old::Ignored(reason) => format!("ignored: {}", escaped(reason)),
    };
    Some(format!("| {} | {meaning} |\n", spelled(opt)))
}

/// Text for a cell: what Markdown and HTML would take for their own is marked.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        if ['|', '<', '*', '_', '`', '\\'].contains(&char) {
            out.push('\\');
        }
        out.push(char);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_in_the_repository_is_this_document() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference.md");
        let checked_in = std::fs::read_to_string(file).unwrap();
        let made = markdown();
        let differs = made.lines().zip(checked_in.lines()).find(|(made, checked_in)| made != checked_in);
        assert!(made == checked_in, "docs/reference.md: run `make reference`; first difference: {differs:?}");
    }

    #[test]
    fn every_option_that_help_shows_has_a_row() {
        let text = markdown();
        for opt in table::all() {
            assert!(
                text.contains(&format!("| `--{}", opt.name)) != (opt.level == 9 && opt.old.is_none()),
                "{}",
                opt.name
            );
        }
    }

    #[test]
    fn cells_cannot_end_early() {
        assert_eq!(escaped("<auto> a|b *c*"), r"\<auto> a\|b \*c\*");
    }
}
