//! The options of `emailrelay-passwd`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use crate::role::words::{Arguments, HelpPart, Level, Spec, Takes, spec};
use crate::sasl::{Function, Hash, Secret};

/// What the command line asks for.
#[derive(Debug)]
pub(super) enum Request {
    /// Print the usage text.
    Help(HelpPart),
    /// There were words behind the options.
    TooMany,
    /// Read a password.
    Run(Options),
}

/// What is done with the password.
#[derive(Debug)]
pub(super) struct Options {
    pub(super) form: Form,
    /// The password, for scripts that do not mind who sees it.
    pub(super) password: Option<Secret>,
    /// The password is given in base64.
    pub(super) base64: bool,
    /// Blanks at both ends belong to it.
    pub(super) raw: bool,
    /// A line of a secrets file to check it against.
    pub(super) check: Option<Vec<u8>>,
}

/// How the password is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// As it is, in xtext.
    Plain,
    /// As the two states of HMAC.
    Masked(Hash),
    /// As the two states of HMAC-MD5 in decimal.
    Dotted,
    /// As the keys of SCRAM-SHA-256.
    Scram,
    /// As a slow hash.
    Slow(Function),
}

/// Names an option in code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opt {
    Hash,
    Help,
    Password,
    Base64,
    Dotted,
    Raw,
    Check,
    Verbose,
    Tls,
    TlsConfig,
}

use Level::{Basic, Hidden};
use Takes::{Nothing, Value};

/// All options, in the order of the help text.
#[rustfmt::skip]
pub(crate) const TABLE: &[Spec<Opt>] = &[
    spec(Opt::Hash, 'H', "hash", Value("function"), Basic, "form of the password: md5 (the default), sha1, sha256 or sha512 for CRAM, scram-sha-256, argon2id, scrypt, or none for plain"),
    spec(Opt::Help, 'h', "help", Nothing, Basic, "shows this help"),
    spec(Opt::Password, 'p', "password", Value("text"), Basic, "the password itself; everybody on this machine can see it there"),
    spec(Opt::Base64, 'b', "base64", Nothing, Basic, "the password is given in base64"),
    spec(Opt::Dotted, 'd', "dotted", Nothing, Basic, "prints the old decimal form, with md5 only"),
    spec(Opt::Raw, ' ', "raw", Nothing, Basic, "keeps blanks at the ends of the password"),
    spec(Opt::Check, ' ', "check", Value("line"), Basic, "tests the password against a line of a secrets file: exit code 0 or 1"),
    spec(Opt::Verbose, 'v', "verbose", Nothing, Hidden, "shows all options with --help"),
    spec(Opt::Tls, 't', "tls", Nothing, Hidden, "has no effect: once chose the code that hashes"),
    spec(Opt::TlsConfig, 'T', "tls-config", Value("text"), Hidden, "has no effect"),
];

/// Reads a command line, without the program's name.
///
/// # Errors
/// All that is wrong with it, unless help is asked for.
pub(super) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Request, Vec<String>> {
    let arguments = Arguments::new(TABLE, arguments);
    if arguments.has(Opt::Help) {
        let part = if arguments.has(Opt::Verbose) { HelpPart::Full } else { HelpPart::Basic };
        return Ok(Request::Help(part));
    }
    if !arguments.errors.is_empty() {
        return Err(arguments.errors.iter().map(|text| format!("error: {text}")).collect());
    }
    if !arguments.words.is_empty() {
        return Ok(Request::TooMany);
    }
    let bytes = |id| arguments.value(id).map(|value: &OsStr| value.as_bytes().to_vec());
    Ok(Request::Run(Options {
        form: form(arguments.value(Opt::Hash), arguments.has(Opt::Dotted)).map_err(|text| vec![text])?,
        password: bytes(Opt::Password).map(Secret::new),
        base64: arguments.has(Opt::Base64),
        raw: arguments.has(Opt::Raw),
        check: bytes(Opt::Check),
    }))
}

fn form(hash: Option<&OsStr>, dotted: bool) -> Result<Form, String> {
    let name = hash.map_or_else(|| "md5".to_owned(), |name| name.to_string_lossy().to_ascii_lowercase());
    let form = match (name.as_str(), Hash::by_name(&name)) {
        ("none" | "plain", _) => Form::Plain,
        ("scram-sha-256", _) => Form::Scram,
        (_, Some(hash)) => Form::Masked(hash),
        (name, None) => match Function::by_name(name) {
            Some(function) => Form::Slow(function),
            None => return Err("exception: invalid hash function".to_owned()),
        },
    };
    match form {
        Form::Masked(Hash::Md5) if dotted => Ok(Form::Dotted),
        _ if dotted => Err("exception: --dotted only works for md5".to_owned()),
        form => Ok(form),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(words: &[&str]) -> Result<Options, Vec<String>> {
        match parse(words.iter().map(OsString::from)) {
            Ok(Request::Run(options)) => Ok(options),
            Ok(other) => panic!("{other:?}"),
            Err(errors) => Err(errors),
        }
    }

    #[test]
    fn forms_have_names_in_any_case() {
        for (words, form) in [
            (&[][..], Form::Masked(Hash::Md5)),
            (&["-H", "MD5"], Form::Masked(Hash::Md5)),
            (&["--hash=SHA1"], Form::Masked(Hash::Sha1)),
            (&["--hash", "sha256", "-t", "-T", "x"], Form::Masked(Hash::Sha256)),
            (&["-Hsha512"], Form::Masked(Hash::Sha512)),
            (&["--hash=None"], Form::Plain),
            (&["--hash=SCRAM-SHA-256"], Form::Scram),
            (&["--hash=Argon2id"], Form::Slow(Function::Argon2id)),
            (&["-H", "scrypt"], Form::Slow(Function::Scrypt)),
            (&["-d"], Form::Dotted),
        ] {
            assert_eq!(run(words).unwrap().form, form, "{words:?}");
        }
        for (words, error) in [
            (&["-H", "md4"][..], "exception: invalid hash function"),
            (&["-d", "-H", "sha1"], "exception: --dotted only works for md5"),
            (&["--foo"], "error: invalid option: \"--foo\""),
            (&["-p"], "error: no value supplied for -p"),
        ] {
            assert_eq!(run(words).unwrap_err(), [error], "{words:?}");
        }
        assert!(matches!(parse(["x".into()]), Ok(Request::TooMany)));
    }

    #[test]
    fn the_password_is_not_in_debug_output() {
        let options = run(&["--password=geheim", "-b", "--raw"]).unwrap();
        assert!(options.base64 && options.raw && !format!("{options:?}").contains("geheim"));
    }
}
