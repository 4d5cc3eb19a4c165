//! No command line and no file makes the parser panic.

use std::os::unix::ffi::OsStringExt;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// Arguments as people and programs write them, and as nobody does.
fn argument() -> impl Strategy<Value = Vec<u8>> {
    let names: Vec<&'static str> = table::all().map(|opt| opt.name).collect();
    let letters: Vec<char> = table::all().filter_map(|opt| opt.short).collect();
    prop_oneof![
        2 => vec(any::<u8>(), 0..20),
        3 => (prop::sample::select(names), "(in|out|x_1)?-?", "(=.{0,12})?").prop_map(|(name, prefix, value)| format!("--{prefix}{name}{value}").into_bytes()),
        2 => (vec(prop::sample::select(letters), 1..4), ".{0,6}").prop_map(|(letters, rest)| format!("-{}{rest}", letters.into_iter().collect::<String>()).into_bytes()),
        1 => "[a-z0-9:./,@#]{0,16}".prop_map(String::into_bytes),
    ]
}

fn without_nul(mut bytes: Vec<u8>) -> OsString {
    bytes.retain(|byte| *byte != 0);
    OsString::from_vec(bytes)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_command_line_panics_and_every_error_has_a_text(args in vec(argument(), 0..8)) {
        // Nothing is read: what could be a file name is not there.
        let env = Environment { cwd: "/nonexistent".into(), ..env() };
        let argv: Vec<OsString> = std::iter::once(OsString::from("emailrelay")).chain(args.into_iter().map(without_nul)).collect();
        for program in [Program::Relay, Program::Smtp, Program::Forward] {
            match parse(program, &argv, &env) {
                Ok(invocation) => prop_assert!(!invocation.instances.is_empty()),
                Err(exit) if exit.code == 0 => prop_assert!(exit.stderr.is_empty() || exit.stdout.contains("spool-dir")),
                Err(exit) => prop_assert!(exit.code == 1 && exit.stderr.starts_with("emailrelay: ")),
            }
        }
    }

    #[test]
    fn no_file_panics(lines in vec(prop_oneof![vec(any::<u8>(), 0..40), argument()], 0..10)) {
        let mut read = file::Read::default();
        let _ = read.text(Path::new("x"), &lines.join(&b'\n'));
        let (given, _) = old::rewrite(read.given);
        let merged = merge::merge(given, None, |_| true);
        prop_assert!(merged.instances.len() <= lines.len() + 1);
    }

    #[test]
    fn a_file_line_and_an_argument_mean_the_same(value in "[a-zA-Z0-9/_.:-][a-zA-Z0-9/_.: -]{0,20}[a-zA-Z0-9/_.:-]") {
        let mut read = file::Read::default();
        read.text(Path::new("x"), format!("domain {value}").as_bytes()).unwrap();
        let lexed = lexer::arguments(&[format!("--domain={value}").into()], &|_| false);
        prop_assert_eq!(&read.given[0].value, &lexed.given[0].value);
    }

    #[test]
    fn addresses_and_interfaces_never_panic(text in ".{0,40}") {
        use crate::config::{address, filter, interface, keywords, number, verifier};
        if let Ok(remote) = address::Remote::parse(&text, None) {
            // What the log shows is read back as the same address.
            prop_assert_eq!(address::Remote::parse(&remote.to_string(), None), Ok(remote));
        }
        let _ = address::Local::parse(&text);
        let _ = interface::parse_list(&text);
        let _ = (keywords::server(&text), keywords::client(&text, true), number::size(&text), number::duration(&text));
        let around = filter::Surroundings { app_dir: Path::new("/a"), cwd: Path::new("/c"), is_file: &|path| path.as_os_str().len() % 2 == 0 };
        let _ = verifier::parse(text.as_ref(), &around);
        let _ = filter::FilterList::parse(text.as_ref(), &around);
    }
}
