//! Options end to end: arguments in, settings or messages out.

mod check;
mod checks;
mod every;
mod files;
mod instances;
mod parsing;
mod properties;
mod settings;

use super::*;

/// The surroundings of a program in `/home/me`, installed in `/opt/relay`.
pub(super) fn env() -> Environment {
    Environment {
        app_dir: "/opt/relay".into(),
        cwd: "/home/me".into(),
        credentials_dir: None,
        columns: None,
        old_secrets: None,
        managed: false,
    }
}

/// Runs a program on arguments separated by blanks.
pub(super) fn run(program: Program, line: &str) -> Result<Invocation, Exit> {
    run_in(program, line, &env())
}

pub(super) fn run_in(program: Program, line: &str, env: &Environment) -> Result<Invocation, Exit> {
    let argv: Vec<OsString> =
        [program.as_str()].into_iter().chain(line.split_whitespace()).map(OsString::from).collect();
    parse(program, &argv, env)
}

/// The settings of `emailrelay` for arguments that are good.
pub(super) fn good(line: &str) -> Invocation {
    run(Program::Relay, line).unwrap_or_else(|exit| panic!("{line}: {}{}", exit.stderr, exit.stdout))
}

/// What stands behind `emailrelay: ` on the first line of standard error, for arguments that are bad.
pub(super) fn bad(line: &str) -> String {
    bad_for(Program::Relay, line)
}

pub(super) fn bad_for(program: Program, line: &str) -> String {
    let exit = run(program, line).expect_err(line);
    assert_eq!((exit.code, exit.stdout.as_str()), (1, ""), "{line}");
    let first = exit.stderr.lines().next().unwrap();
    first.strip_prefix(&format!("{}: ", program.as_str())).unwrap().to_owned()
}
