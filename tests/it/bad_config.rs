//! `tests/bad-config/NN-topic/`: mistakes in options and what the user is told.
//!
//! `args` holds the arguments, one per line, the program's name first; `conf` is a configuration file they can name; `expected` is the exit
//! code and everything that is printed.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use emailrelay::cli::{Environment, Program, parse};

fn printed(case: &Path) -> String {
    let args = fs::read_to_string(case.join("args")).unwrap();
    let argv: Vec<OsString> = args.lines().map(OsString::from).collect();
    let program = [Program::Relay, Program::Smtp, Program::Forward]
        .into_iter()
        .find(|program| argv.first().is_some_and(|name| name == program.as_str()))
        .expect("args start with the name of a program");
    let env = Environment { cwd: case.to_owned(), ..Environment::default() };
    match parse(program, &argv, &env) {
        Ok(_) => "accepted".to_owned(),
        Err(exit) => format!("exit {}\n{}{}", exit.code, exit.stdout, exit.stderr),
    }
}

#[test]
fn mistakes_are_explained() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad-config");
    let mut cases: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    assert!(cases.len() >= 20);
    for case in cases {
        let expected = fs::read_to_string(case.join("expected")).unwrap();
        assert_eq!(printed(&case), expected, "{}", case.display());
    }
}
