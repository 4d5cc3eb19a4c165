//! `emailrelay-passwd`: turns a password into what stands in the fourth field of a secrets line, or checks one against
//! such a line.
//!
//! The password comes from the terminal without echo, twice, or as one line from a pipe; nothing of it is ever printed but
//! by `--hash none`, which is its plain form.

mod check;
mod options;
mod read;

use std::ffi::OsString;
use std::io::{self, Write};

use crate::os::random;
use crate::sasl::prep::prepared;
use crate::sasl::scram::ScramKeys;
use crate::sasl::{Hash, HmacKey, PasswordHash, Secret};
use crate::smtp::xtext;

use super::words::{self, help};
#[cfg(any(test, feature = "docs"))]
pub(crate) use options::TABLE;
use options::{Form, Options, Request};

/// Name in messages when the caller gives none.
const PROGRAM: &str = "emailrelay-passwd";
/// Bytes of salt of a SCRAM key (RFC 5802 section 5.1 leaves it to us), and of a slow hash (RFC 9106 section 3.1).
const SALT: usize = 16;
/// Iterations of a SCRAM key: RFC 7677 section 4 asks for 4096 at least.
const ITERATIONS: u32 = 10_000;

/// Why there is no output.
#[derive(Debug, thiserror::Error)]
enum Fault {
    /// Nothing was typed, or what was typed the second time is something else.
    #[error("invalid password")]
    Empty,
    #[error("the passwords differ")]
    Differ,
    #[error("exception: base64 encoding error")]
    Base64,
    #[error("cannot read password: {}", crate::os::reason(.0))]
    Read(#[from] io::Error),
    #[error("interrupted")]
    Interrupted,
    #[error("the password is longer than {0} bytes")]
    TooLong(usize),
    /// `--check` with a line that cannot be checked.
    #[error("{0}")]
    Line(String),
    /// `--check` with the line of another password.
    #[error("wrong password")]
    Wrong,
}

/// Runs the program with its whole argument list, the program's name first. Returns the exit code.
#[must_use]
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let mut arguments = arguments.into_iter();
    let program = words::program_name(arguments.next().as_deref(), PROGRAM);
    match options::parse(arguments) {
        Err(errors) => {
            for error in errors {
                words::complain(&program, &error);
            }
            1
        }
        Ok(Request::Help(part)) => {
            words::print(&help(&program, part));
            0
        }
        Ok(Request::TooMany) => {
            let text = "too many command-line arguments (the password is read from the standard input)";
            words::complain(&program, text);
            let _ = write!(io::stderr(), "{}", help(&program, words::HelpPart::Basic));
            1
        }
        Ok(Request::Run(options)) => run(&options).map_or_else(
            |fault| {
                words::complain(&program, &fault.to_string());
                1
            },
            |text| {
                words::print(&text);
                0
            },
        ),
    }
}

fn help(program: &str, part: words::HelpPart) -> String {
    help::text(program, "[options]", ABOUT, options::TABLE, part)
}

/// What the program is for, in its help.
pub(crate) const ABOUT: &str = "Reads a password from the terminal or from standard input and prints it in the form that a secrets file has.";

fn run(options: &Options) -> Result<String, Fault> {
    let password = read::password(options)?;
    match &options.check {
        Some(line) => check::check(line, &password).map(|()| String::new()),
        None => Ok(format!("{}\n", masked(options, &password)?)),
    }
}

fn masked(options: &Options, password: &Secret) -> Result<String, Fault> {
    Ok(match options.form {
        Form::Plain => xtext::encode(password.expose()),
        Form::Masked(hash) => HmacKey::new(hash, password).masked(),
        // Only asked for with MD5, which has it.
        Form::Dotted => HmacKey::new(Hash::Md5, password).dotted().unwrap_or_default(),
        Form::Slow(function) => {
            let hash = PasswordHash::new(function, password, &random::bytes::<SALT>());
            xtext::encode(hash.to_text().as_bytes())
        }
        Form::Scram => {
            // As clients prepare it (RFC 5802 section 2.2).
            let prepared = prepared(password.expose()).map(|text| Secret::new(text.into_bytes()));
            let password = prepared.as_ref().unwrap_or(password);
            ScramKeys::new(password, &random::bytes::<SALT>(), ITERATIONS).to_text()
        }
    })
}
