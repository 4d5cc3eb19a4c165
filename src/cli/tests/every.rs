//! `tests/options/every`: what becomes of every option that there has ever been, on the command line and in a file.

use std::collections::BTreeSet;

use super::files::directory;
use super::*;

/// One line of the list.
struct Row<'a> {
    arguments: Vec<&'a str>,
    outcome: &'a str,
}

fn rows(text: &str) -> Vec<Row<'_>> {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let mut columns = line.splitn(3, " | ");
            let (_, arguments, outcome) =
                (columns.next().unwrap(), columns.next().unwrap(), columns.next().unwrap());
            Row { arguments: arguments.split(' ').collect(), outcome }
        })
        .collect()
}

fn list() -> String {
    std::fs::read_to_string(data().join("every")).unwrap()
}

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/options")
}

/// The machine of somebody who has had every version: there is a secrets file, and a certificate in the current directory.
fn surroundings() -> Environment {
    Environment { cwd: data(), old_secrets: Some("/etc/emailrelay.auth".into()), ..env() }
}

fn outcome(arguments: &[&str]) -> String {
    let argv: Vec<OsString> = ["emailrelay"].iter().chain(arguments).copied().map(OsString::from).collect();
    match parse(Program::Relay, &argv, &surroundings()) {
        Ok(invocation) if invocation.warnings.is_empty() => "accepted".to_owned(),
        Ok(invocation) => format!("warns {}", invocation.warnings.join(" ++ ")),
        Err(exit) => {
            assert_eq!((exit.code, exit.stdout.as_str()), (1, ""), "{arguments:?}");
            let first = exit.stderr.lines().next().unwrap();
            format!("refused {}", first.strip_prefix("emailrelay: ").unwrap())
        }
    }
}

#[test]
fn every_option_on_the_command_line() {
    let list = list();
    let rows = rows(&list);
    assert!(rows.len() > 150);
    for row in rows {
        assert_eq!(outcome(&row.arguments), row.outcome, "{:?}", row.arguments);
    }
}

/// The same options as lines of a file; `None` if they cannot stand there.
fn as_file(arguments: &[&str]) -> Option<String> {
    let mut text = String::new();
    let mut rest = arguments.iter().peekable();
    while let Some(argument) = rest.next() {
        let option = argument.strip_prefix("--")?;
        let (name, value) = match option.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (option, rest.next_if(|next| !next.starts_with('-')).copied()),
        };
        if !table::find(name)?.in_file {
            return None;
        }
        text.push_str(&format!("{name} {}\n", value.unwrap_or_default()));
    }
    Some(text)
}

#[test]
fn every_option_in_a_configuration_file() {
    let list = list();
    let mut tried = 0;
    for row in rows(&list).iter().filter(|row| !row.outcome.starts_with("refused")) {
        let Some(text) = as_file(&row.arguments) else { continue };
        let (dir, _) = directory(&[("conf", text.as_bytes())]);
        let file = dir.path().join("conf");
        assert_eq!(outcome(&[file.to_str().unwrap()]), row.outcome, "{text}");
        tried += 1;
    }
    assert!(tried > 80);
}

#[test]
fn the_list_is_complete() {
    let list = list();
    let used: BTreeSet<&str> = rows(&list).iter().flat_map(|row| row.arguments.clone()).collect();
    let long = |name: &str| {
        used.iter()
            .any(|word| word.strip_prefix("--").is_some_and(|word| word.split('=').next() == Some(name)))
    };
    // They end the program and have tests of their own.
    let ending = ["help", "version", "check", "check-config", "generate-sample-config"];
    for opt in table::all().filter(|opt| !ending.contains(&opt.name)) {
        assert!(long(opt.name), "--{}", opt.name);
        assert!(opt.alias.is_empty() || long(opt.alias), "--{}", opt.alias);
        let in_use = |letter: char| {
            used.iter().any(|word| {
                word.strip_prefix('-').is_some_and(|word| !word.starts_with('-') && word.contains(letter))
            })
        };
        assert!(opt.short.is_none_or(in_use), "-{:?}", opt.short);
    }
}
