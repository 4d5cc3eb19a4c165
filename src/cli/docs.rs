//! Manual pages, shell completions and the reference of all programs, from their option tables.
//!
//! Built with the feature `docs` only, for `emailrelay-docs`, which `make` runs and nobody installs.

mod files;
mod text;

use std::fs;
use std::io;
use std::path::Path;

use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::{Arg, ArgAction, Command, ValueHint};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use self::text::More;
use super::Program;
use super::table::{self, Arity, Opt};
use crate::VERSION;
use crate::role::{copy, notify, passwd, poke, queue, resubmit, submit, words};

/// Where manual pages go, below the directory that is asked for.
const MANUAL: &str = "man";
/// Where completions go.
const COMPLETIONS: &str = "completions";
/// The reference of options.
const REFERENCE: &str = "reference.md";
/// Shells, and what they call the completions of a program.
const SHELLS: [(Shell, &str, &str, &str); 3] =
    [(Shell::Bash, "bash", "", ""), (Shell::Zsh, "zsh", "_", ""), (Shell::Fish, "fish", "", ".fish")];

/// A program, as its page shows it.
struct Page {
    command: Command,
    /// Behind the options.
    more: More,
}

/// Writes the pages and completions of every program, and the reference.
///
/// # Errors
/// A file cannot be written.
pub fn write(directory: &Path) -> io::Result<()> {
    for Page { command, more } in pages() {
        let name = command.get_name().to_owned();
        write_manual(&directory.join(MANUAL).join("man1"), &command, more)?;
        for (shell, folder, before, behind) in SHELLS {
            let folder = directory.join(COMPLETIONS).join(folder);
            fs::create_dir_all(&folder)?;
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut command.clone(), &name, &mut text);
            fs::write(folder.join(format!("{before}{name}{behind}")), text)?;
        }
    }
    files::write(&directory.join(MANUAL).join("man5"))?;
    fs::write(directory.join(REFERENCE), super::reference::markdown())
}

fn write_manual(directory: &Path, command: &Command, more: More) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let man = Man::new(command.clone()).manual("E-MailRelay").source(format!("E-MailRelay {VERSION}"));
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    for (title, paragraphs) in more {
        let mut roff = Roff::new();
        roff.control("SH", [*title]);
        for paragraph in *paragraphs {
            roff.control("PP", []).text([roman(*paragraph)]);
        }
        roff.to_writer(&mut text)?;
    }
    fs::write(directory.join(format!("{}.1", command.get_name())), text)
}

fn pages() -> Vec<Page> {
    let relay = |program: Program, about, more| Page { command: server(program, about), more };
    vec![
        relay(Program::Relay, "SMTP store-and-forward relay, all roles in one process", text::RELAY),
        relay(Program::Smtp, "E-MailRelay's SMTP server, started by systemd", text::SMTP),
        relay(Program::Forward, "sends what waits in E-MailRelay's spool to the next hop", text::FORWARD),
        relay(Program::Pop, "E-MailRelay's POP3 server, started by systemd", text::POP),
        relay(Program::Admin, "administration of E-MailRelay on a socket, started by systemd", text::ADMIN),
        Page {
            command: tool("emailrelay-submit", submit::ABOUT, submit::TABLE).arg(recipients()),
            more: text::SUBMIT,
        },
        Page { command: tool("emailrelay-passwd", passwd::ABOUT, passwd::TABLE), more: text::PASSWD },
        Page {
            command: tool("emailrelay-notify", notify::ABOUT, notify::TABLE).arg(spool_dir()),
            more: text::NOTIFY,
        },
        Page {
            command: tool("emailrelay-resubmit", resubmit::ABOUT, resubmit::TABLE).arg(spool_dir()),
            more: text::RESUBMIT,
        },
        Page {
            command: tool("emailrelay-queue", queue::ABOUT, queue::TABLE).args(queue_words()),
            more: text::QUEUE,
        },
        Page {
            command: tool("emailrelay-poke", poke::ABOUT, poke::TABLE)
                .args([Arg::new("port").value_hint(ValueHint::FilePath), Arg::new("string")]),
            more: text::POKE,
        },
        Page {
            command: tool("emailrelay-filter-copy", copy::ABOUT, copy::TABLE).arg(file("content-file", 0)),
            more: text::FILTER_COPY,
        },
        Page {
            command: bare("emailrelay-multicast", copy::MULTICAST_ABOUT)
                .args([file("content-file", 1), file("envelope-file", 1)]),
            more: text::MULTICAST,
        },
    ]
}

fn recipients() -> Arg {
    Arg::new("recipient").value_name("envelope-to-address").num_args(0..).value_hint(ValueHint::EmailAddress)
}

fn spool_dir() -> Arg {
    Arg::new("dir").value_name("spool-dir").num_args(0..=1).value_hint(ValueHint::DirPath)
}

/// A command, and the ids that it is about.
fn queue_words() -> [Arg; 2] {
    let commands = queue::COMMANDS.map(|(name, does)| PossibleValue::new(name).help(does));
    [
        Arg::new("queue-command")
            .value_name("command")
            .required(true)
            .value_parser(PossibleValuesParser::new(commands)),
        Arg::new("id").num_args(0..),
    ]
}

fn file(name: &'static str, least: usize) -> Arg {
    Arg::new(name).num_args(least..=1).value_hint(ValueHint::FilePath)
}

fn bare(name: &'static str, about: &'static str) -> Command {
    Command::new(name).about(about).version(VERSION).disable_help_flag(true).disable_version_flag(true)
}

/// A program whose options are rows of the one table.
fn server(program: Program, about: &'static str) -> Command {
    let file = Arg::new("config-file").num_args(0..=1).value_hint(ValueHint::FilePath);
    let shown = table::all().filter(|opt| opt.old.is_none() && opt.is_visible() && program.has(opt));
    bare(program.as_str(), about).arg(file).args(shown.map(option))
}

fn option(opt: &'static Opt) -> Arg {
    let mut help = opt.help.to_owned();
    if !opt.default.is_empty() {
        help = format!("{help} Default: {}.", opt.default);
    }
    let arg = Arg::new(opt.name).long(opt.name).help(help).help_heading(opt.section.title());
    let arg = opt.short.into_iter().fold(arg, Arg::short);
    match opt.kind.arity() {
        Arity::None => arg.action(ArgAction::SetTrue),
        Arity::Optional => arg.num_args(0..=1).require_equals(true).value_name(opt.metavar),
        Arity::Required => arg.num_args(1).value_name(opt.metavar).value_hint(hint(opt)),
    }
}

fn hint(opt: &Opt) -> ValueHint {
    match opt.kind {
        table::Kind::Path if opt.name.ends_with("-dir") => ValueHint::DirPath,
        table::Kind::Path | table::Kind::Secret | table::Kind::Program => ValueHint::AnyPath,
        _ => ValueHint::Other,
    }
}

/// A program with a table of its own.
fn tool<Id>(name: &'static str, about: &'static str, table: &'static [words::Spec<Id>]) -> Command {
    let shown = table.iter().filter(|spec| spec.level < words::Level::Hidden);
    bare(name, about).args(shown.map(|spec| {
        let arg = Arg::new(spec.name).long(spec.name).help(spec.help);
        let arg = spec.letter.into_iter().fold(arg, Arg::short);
        match spec.takes {
            words::Takes::Nothing => arg.action(ArgAction::SetTrue),
            words::Takes::Optional(value) => arg.num_args(0..=1).require_equals(true).value_name(value),
            words::Takes::Value(value) => arg.num_args(1).value_name(value),
        }
    }))
}
