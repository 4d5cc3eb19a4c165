//! Options: from the command line and the configuration files to [`Settings`].
//!
//! | step | module |
//! |---|---|
//! | what options there are | `table`: one row per option, for all programs |
//! | cut the command line | `lexer` |
//! | read configuration files | `file` |
//! | spellings of older versions | `old` |
//! | instances, repeated and contradicting values | `merge` |
//! | `@app`, `@cred`, relative paths | `paths` |
//! | types | `typed`: clap, on one canonical `--name=value` per option |
//! | rules between options | `checks` |
//! | settings | `build` |
//!
//! Nothing here prints or ends the program: what is to be shown and the exit code come back in an [`Exit`]. Only [`start`] does,
//! which brings a process up once its options are known. [`called`] looks at the name that `emailrelay` was called by before all that.

mod build;
pub mod called;
mod check;
mod checks;
#[cfg(feature = "docs")]
pub mod docs;
mod file;
mod filters;
mod given;
mod help;
mod lexer;
mod merge;
mod old;
mod paths;
mod probe;
#[cfg(any(test, feature = "docs"))]
mod reference;
mod report;
mod rest;
pub mod sample;
pub mod start;
mod table;
mod terminal;
mod tls;
mod typed;
mod units;
mod version;

#[cfg(test)]
mod tests;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use self::build::{Mode, Remarks};
use self::given::{Given, Origin, Value};
use self::merge::{Entries, Instance, Merged};
use self::table::{Opt, Roles};
use self::typed::{Failure, Values};
use crate::config::tls::TlsKeywords;
use crate::config::{ProcessSettings, Settings};

/// The width of help texts when the terminal's is not known.
const COLUMNS: usize = 79;
/// The port of a next hop that has none, with `--forward-to-default-port`.
const DEFAULT_PORT: u16 = 25;

/// A program that takes options from the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// `emailrelay`: all roles in one process, and the complete set of options.
    Relay,
    /// `emailrelay-smtp`.
    Smtp,
    /// `emailrelay-forward`.
    Forward,
    /// `emailrelay-pop`.
    Pop,
    /// `emailrelay-admin`.
    Admin,
}

impl Program {
    /// The program's name as it is installed.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Relay => "emailrelay",
            Self::Smtp => "emailrelay-smtp",
            Self::Forward => "emailrelay-forward",
            Self::Pop => "emailrelay-pop",
            Self::Admin => "emailrelay-admin",
        }
    }

    fn roles(self) -> Roles {
        match self {
            Self::Relay => Roles::RELAY,
            Self::Smtp => Roles::SMTP,
            Self::Forward => Roles::FORWARD,
            Self::Pop => Roles::POP,
            Self::Admin => Roles::ADMIN,
        }
    }

    fn has(self, opt: &Opt) -> bool {
        opt.roles.meets(self.roles())
    }
}

/// What options are read against: the surroundings of the process.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// The directory of the running executable, which `@app` stands for.
    pub app_dir: PathBuf,
    /// The directory the program was started in.
    pub cwd: PathBuf,
    /// Where the service manager puts credentials, which `@cred/NAME` looks in.
    pub credentials_dir: Option<PathBuf>,
    /// `$COLUMNS`: the width of help texts; 0 is without end.
    pub columns: Option<usize>,
    /// The secrets file that old versions used by themselves, if there is one.
    pub old_secrets: Option<PathBuf>,
    /// A service manager has started the program, and does so again.
    pub managed: bool,
}

/// The program ends here: `stdout` and `stderr` are to be printed as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Exit {
    /// The exit code: 0 or 1.
    pub code: u8,
    /// Whole lines for standard output.
    pub stdout: String,
    /// Whole lines for standard error.
    pub stderr: String,
}

/// The program goes on, with these settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation {
    /// At least one.
    pub instances: Vec<Settings>,
    /// What holds for the whole process.
    pub process: ProcessSettings,
    /// For standard error, each as `NAME: warning: TEXT`.
    pub warnings: Vec<String>,
    /// For the log as soon as it is open, at level warning. Some are also in `warnings`.
    pub log_warnings: Vec<String>,
}

/// The program's name in messages: the base name of `argv[0]` without its last extension.
#[must_use]
pub fn program_name(program: Program, argv0: Option<&OsStr>) -> String {
    let stem = argv0.and_then(|name| Path::new(name).file_stem());
    stem.map_or_else(|| program.as_str().to_owned(), |stem| stem.to_string_lossy().into_owned())
}

/// Reads the options of a program. `argv` includes the program's name.
///
/// # Errors
/// The program ends: help and the like with code 0, mistakes with code 1.
pub fn parse(program: Program, argv: &[OsString], env: &Environment) -> Result<Invocation, Exit> {
    let name = program_name(program, argv.first().map(OsString::as_os_str));
    let reader = Reader { program, roles: program.roles(), name, env };
    reader.run(argv.get(1..).unwrap_or_default())
}

/// The spool directories of options that may have mistakes, as far as they can be made out.
fn spools(program: Program, argv: &[OsString], env: &Environment) -> Vec<PathBuf> {
    let roles = program.roles();
    let reader = Reader { program, roles, name: String::new(), env };
    let lexed = lexer::arguments(argv.get(1..).unwrap_or_default(), &|_| false);
    let mut all = Collected::default();
    let read = reader.read_files(&lexed.given, lexed.others.first());
    all.add(lexed.given, read.unwrap_or_default());
    let chosen = chosen_instance(&all.given);
    let mut merged = merge::merge(all.given, chosen.as_deref(), |opt| reader.has(opt));
    let usual = table::find("spool-dir").map(|opt| opt.default).unwrap_or_default();
    let of_instance = |instance: &mut Instance| {
        let _ = paths::expand_all(&mut instance.entries, env, true);
        let spool = instance.entries.get("spool-dir");
        spool.map_or_else(|| PathBuf::from(usual), |entry| PathBuf::from(&entry.value))
    };
    merged.instances.iter_mut().map(of_instance).collect()
}

struct Reader<'a> {
    program: Program,
    /// What it does, as far as the options say.
    roles: Roles,
    name: String,
    env: &'a Environment,
}

/// Everything that was given, with its mistakes.
#[derive(Default)]
struct Collected {
    given: Vec<Given>,
    files: Vec<PathBuf>,
    errors: Vec<String>,
    warnings: Vec<String>,
    log_warnings: Vec<String>,
}

impl Reader<'_> {
    fn run(mut self, args: &[OsString]) -> Result<Invocation, Exit> {
        let lexed = lexer::arguments(args, &|name| file::is_pem(&self.env.cwd.join(name)));
        let on = |name| lexed.given.iter().any(|one| one.opt.name == name && one.value == Value::On);
        if on("help") {
            let columns = self.env.columns.unwrap_or(COLUMNS);
            return Err(shown(help::text(self.program, &self.name, on("verbose"), columns)));
        }
        let (version, sample, check) = (on("version"), on("generate-sample-config"), on("check"));
        let version_text = version.then(|| version::text(on("verbose")));
        let surplus = lexed.others.len() > 1;
        let mut all = Collected { errors: lexed.errors, ..Collected::default() };
        match self.read_files(&lexed.given, lexed.others.first()) {
            Ok(read) => all.add(lexed.given, read),
            // The version does not depend on any file.
            Err(_) if version => all.given = lexed.given,
            // The value of a misspelled option is easily taken for the name of a file.
            Err(_) if !all.errors.is_empty() => return Err(self.misspelled(all.errors)),
            Err(failure) => return Err(self.failed(&failure)),
        }
        let chosen = chosen_instance(&all.given);
        let surplus = surplus.then(|| Failure::Usage("too many non-option arguments".to_owned()));
        if self.program == Program::Smtp && sends_at_once(&all.given, chosen.as_deref()) {
            self.roles = self.roles.with(Roles::AT_ONCE);
        }
        let foreign = self.foreign(&all.given);
        let mut merged = merge::merge(all.given, chosen.as_deref(), |opt| self.has(opt));
        all.errors.append(&mut merged.errors);
        all.warnings.append(&mut merged.warnings);
        if check && !version {
            let mut failures: Vec<Failure> = all.errors.iter().cloned().map(Failure::Error).collect();
            failures.extend(surplus.into_iter().chain(foreign.map(Failure::Usage)));
            let remarks = Remarks { user: all.warnings, log: all.log_warnings };
            return Err(self.check(merged, failures, &all.files, chosen.as_deref(), remarks));
        }
        if !all.errors.is_empty() {
            return Err(self.misspelled(all.errors));
        }
        if let Some(text) = version_text {
            return Err(shown(text));
        }
        if let Some(failure) = surplus {
            return Err(self.failed_with_hint(&failure));
        }
        if sample {
            return Err(shown(sample::emailrelay_conf()));
        }
        if let Some(error) = foreign {
            return Err(self.failed(&Failure::Usage(error)));
        }
        let remarks = Remarks { user: all.warnings, log: all.log_warnings };
        let invocation = self.settings(&mut merged, all.files, chosen.as_deref(), remarks);
        invocation.map_err(|failure| self.failed(&failure))
    }

    /// The files of `--config` in their order, then the one behind the options.
    fn read_files(&self, given: &[Given], last: Option<&OsString>) -> Result<file::Read, Failure> {
        let configs =
            given.iter().filter(|one| one.opt.name == "config").filter_map(|one| match &one.value {
                Value::Text(name) => Some(name),
                Value::On | Value::Off => None,
            });
        let mut read = file::Read::default();
        for name in configs.chain(last) {
            let (shown, real) = paths::config_file(name, self.env)
                .map_err(|reason| Failure::Error(format!("configuration file: {reason}")))?;
            read.add(&shown, &real).map_err(|error| Failure::Error(error.to_string()))?;
        }
        Ok(read)
    }

    fn has(&self, opt: &Opt) -> bool {
        opt.roles.meets(self.roles)
    }

    /// An option on the command line that is for another program is a mistake; in a file it is not.
    fn foreign(&self, given: &[Given]) -> Option<String> {
        let foreign = given.iter().find(|one| one.origin == Origin::CommandLine && !self.has(one.opt));
        foreign.map(|one| belongs_elsewhere(one, self.program))
    }

    fn settings(
        &self,
        merged: &mut Merged,
        files: Vec<PathBuf>,
        chosen: Option<&str>,
        mut remarks: Remarks,
    ) -> Result<Invocation, Failure> {
        let Some(first) = merged.instances.first() else {
            let name = chosen.unwrap_or_default();
            return Err(Failure::Usage(format!(
                "no such instance: \"{name}\": there is no {name}-spool-dir"
            )));
        };
        let mode = Mode::new(self.program, &merged.process, &first.entries);
        let daemon = mode.daemon(&merged.process);
        paths::expand_all(&mut merged.process, self.env, daemon)?;
        let values = self.typed(&merged.process)?;
        let given = merged.instances.iter().map(|instance| &instance.entries);
        let keywords = tls::keywords(&values, given, &mut remarks)?;
        let mut instances = Vec::new();
        for instance in &mut merged.instances {
            instances.push(self.instance(instance, &merged.process, mode, keywords, &mut remarks)?);
        }
        self.check_instances(&instances, &mut remarks)?;
        let mut process = build::process(&self.name, mode, &merged.process, &values, &mut remarks);
        process.config_files = files;
        Ok(Invocation { instances, process, warnings: remarks.user, log_warnings: remarks.log })
    }

    fn instance(
        &self,
        instance: &mut Instance,
        process: &Entries,
        mode: Mode,
        keywords: TlsKeywords,
        remarks: &mut Remarks,
    ) -> Result<Settings, Failure> {
        if let Some(warning) = old::pop_accounts(&mut instance.entries, self.env) {
            remarks.both(&warning);
        }
        paths::expand_all(&mut instance.entries, self.env, mode.daemon(process))?;
        let values = self.typed(&instance.entries)?;
        let next_hop =
            ["as-client", "as-proxy", "forward-to"].into_iter().find_map(|name| values.address(name));
        checks::instance(&checks::Facts {
            entries: &instance.entries,
            env: self.env,
            process,
            log: mode.logs(process),
            knows: &|name| table::find(name).is_some_and(|opt| self.has(opt)),
            unix_next_hop: next_hop.is_some_and(|address| address.is_unix()),
        })?;
        let (name, entries) = (&instance.name, &instance.entries);
        let settings = build::instance(name, self.program, self.env, entries, &values, keywords, remarks)?;
        // Otherwise the log has them.
        if !mode.logs(process) {
            remarks.user.extend(probe::missing_programs(&settings));
        }
        Ok(settings)
    }

    fn typed(&self, entries: &Entries) -> Result<Values, Failure> {
        let default_port = entries.contains_key("forward-to-default-port").then_some(DEFAULT_PORT);
        typed::parse(typed::command(self.program.as_str(), self.roles, default_port), entries)
    }

    /// What concerns all instances together.
    fn check_instances(&self, instances: &[Settings], remarks: &mut Remarks) -> Result<(), Failure> {
        // Under a service manager that is a machine that only receives mail.
        let no_next_hop = instances.iter().all(|instance| instance.forward.to.is_none());
        if self.program == Program::Forward && no_next_hop && !self.env.managed {
            return Err(Failure::Usage(format!("{} requires --forward-to", self.program.as_str())));
        }
        let real = |instance: &Settings| {
            let path = self.env.cwd.join(&instance.spool_dir);
            std::fs::canonicalize(&path).unwrap_or(path)
        };
        for (index, instance) in instances.iter().enumerate() {
            if instances.iter().take(index).any(|earlier| real(earlier) == real(instance)) {
                let directory = instance.spool_dir.display();
                remarks.user.push(format!("more than one instance uses the spool directory {directory}"));
            }
        }
        Ok(())
    }

    fn warning_lines(&self, warnings: &[String]) -> String {
        warnings.iter().map(|warning| format!("{}: warning: {warning}\n", self.name)).collect()
    }

    fn failure_line(&self, failure: &Failure) -> String {
        match failure {
            Failure::Usage(text) => format!("{}: usage error: {text}\n", self.name),
            Failure::Error(text) => format!("{}: error: {text}\n", self.name),
        }
    }

    fn failed(&self, failure: &Failure) -> Exit {
        mistake(self.failure_line(failure))
    }

    fn failed_with_hint(&self, failure: &Failure) -> Exit {
        mistake(self.failure_line(failure) + &self.hint())
    }

    fn misspelled(&self, mut errors: Vec<String>) -> Exit {
        errors.sort_unstable();
        errors.dedup();
        let lines: String = errors.iter().map(|error| format!("{}: error: {error}\n", self.name)).collect();
        mistake(lines + &self.hint())
    }

    fn hint(&self) -> String {
        let indent = " ".repeat(self.name.chars().count() + 2);
        format!("{indent}try \"{} --help --verbose\" for more information\n", self.name)
    }
}

impl Collected {
    /// Adds what files say to what the command line says, and brings old spellings up to date.
    fn add(&mut self, mut given: Vec<Given>, read: file::Read) {
        given.extend(read.given);
        let (given, deprecated) = old::rewrite(given);
        self.given = given;
        self.files = read.files;
        self.errors.extend(read.errors);
        self.warnings.extend(read.warnings);
        self.warnings.extend(deprecated.iter().cloned());
        self.log_warnings.extend(deprecated);
    }
}

fn chosen_instance(given: &[Given]) -> Option<String> {
    let last = given.iter().rfind(|one| one.opt.name == "instance")?;
    match &last.value {
        Value::Text(name) => Some(name.to_string_lossy().into_owned()),
        Value::On | Value::Off => None,
    }
}

/// Whether `--immediate` is on for an instance that the program serves: then options of forwarding concern the SMTP server too.
fn sends_at_once(given: &[Given], chosen: Option<&str>) -> bool {
    given.iter().any(|one| {
        one.opt.name == "immediate"
            && one.value == Value::On
            && chosen.is_none_or(|chosen| merge::owner(one, Some(chosen)) == Some(chosen))
    })
}

fn belongs_elsewhere(one: &Given, program: Program) -> String {
    let all = [Program::Smtp, Program::Forward, Program::Pop, Program::Admin, Program::Relay];
    let others = all.into_iter().filter(|other| *other != program);
    let names: Vec<&str> = others.filter(|other| other.has(one.opt)).map(Program::as_str).collect();
    let owner = names.first().copied().unwrap_or("another program");
    format!("the {} option belongs to {owner}, not to {}", one.spelled, program.as_str())
}

fn shown(stdout: String) -> Exit {
    Exit { code: 0, stdout, stderr: String::new() }
}

fn mistake(stderr: String) -> Exit {
    Exit { code: 1, stdout: String::new(), stderr }
}
