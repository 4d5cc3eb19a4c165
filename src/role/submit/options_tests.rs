//! Options and their mistakes.

use super::*;

fn request(arguments: &[&str]) -> Result<Request, UsageErrors> {
    parse(arguments.iter().map(OsString::from), Path::new("/opt/bin"))
}

fn options(arguments: &[&str]) -> Options {
    match request(arguments).unwrap() {
        Request::Submit(options) => *options,
        other => panic!("{other:?}"),
    }
}

fn errors(arguments: &[&str]) -> Vec<String> {
    request(arguments).unwrap_err().0
}

#[test]
fn long_values_are_attached_or_separate() {
    assert_eq!(options(&["--from", "a@b"]).from.unwrap(), "a@b");
    assert_eq!(options(&["--from=a@b"]).from.unwrap(), "a@b");
    assert_eq!(options(&["--from=-x"]).from.unwrap(), "-x");
    assert_eq!(options(&["--from=a=b"]).from.unwrap(), "a=b");
    assert_eq!(options(&["--from="]).from, None);
}

#[test]
fn letters_may_be_joined_and_the_last_may_have_a_value() {
    let given = options(&["-dtFN"]);
    assert!(given.content_date && given.content_to && given.content_from && given.no_stdin);
    for spelling in [&["-tf", "a@b"] as &[_], &["-tfa@b"], &["-tf=a@b"], &["-t", "-f", "a@b"]] {
        let given = options(spelling);
        assert!(given.content_to && given.from.unwrap() == "a@b", "{spelling:?}");
    }
    assert_eq!(options(&["-f", "-x"]).from.unwrap(), "-x");
}

#[test]
fn options_end_at_the_first_word_or_two_dashes() {
    let given = options(&["a@b", "-v", "--from=x"]);
    assert_eq!(given.recipients, ["a@b", "-v", "--from=x"]);
    assert_eq!(given.report, Report::Nothing);
    assert_eq!(options(&["-v", "--", "-v", "--"]).recipients, ["-v", "--"]);
    assert_eq!(options(&["-"]).recipients, ["-"]);
}

#[test]
fn to_is_a_comma_list_and_comes_before_arguments() {
    let given = options(&["--to=a@b, c@d", "--to", "\"x,\\\"y\"@z,", "e@f,g@h"]);
    assert_eq!(given.recipients, ["a@b", "c@d", "\"x,\\\"y\"@z", "e@f,g@h"]);
    assert!(options(&["--to="]).recipients.is_empty());
}

#[test]
fn message_id_takes_an_attached_value_only() {
    assert_eq!(options(&["--content-message-id=ex.org"]).content_message_id.unwrap(), "ex.org");
    for arguments in [&["-I", "x"] as &[_], &["--content-message-id", "x"]] {
        let given = options(arguments);
        assert_eq!(
            (given.content_message_id.as_deref(), given.recipients.as_slice()),
            (Some("local"), &["x".into()] as &[_])
        );
    }
}

#[test]
fn content_keeps_order_and_empty_items() {
    assert_eq!(options(&["-C", "YQ,,Yg", "--content=", "-CYw"]).content, ["YQ", "", "Yg", "", "Yw"]);
}

#[test]
fn switches_take_boolean_words() {
    assert!(options(&["--body=Yes"]).body);
    assert!(!options(&["--body=off"]).body);
    assert_eq!(errors(&["--body", "--body=no"]), ["error: conflicting values: \"--body\""]);
    assert_eq!(errors(&["--body=x"]), ["error: cannot give a value with \"--body\" (maybe)"]);
    assert_eq!(options(&["--debug", "--debug"]).debug, 2);
}

#[test]
fn verbose_wins_over_filename() {
    assert_eq!(options(&["-n"]).report, Report::Name);
    assert_eq!(options(&["-nv"]).report, Report::Path);
}

#[test]
fn app_stands_for_the_program_directory_at_the_start() {
    assert_eq!(options(&["-s", "@app/../spool"]).spool_dir, Path::new("/opt/bin/../spool"));
    assert_eq!(options(&["-x", "@app/m"]).input_file.unwrap(), Path::new("/opt/bin/m"));
    assert_eq!(options(&["-s", "/x/@app"]).spool_dir, Path::new("/x/@app"));
    assert_eq!(options(&[]).spool_dir, Path::new("/var/spool/emailrelay"));
}

#[test]
fn usage_errors_have_their_old_texts() {
    let table: &[(&[&str], &[&str])] = &[
        (&["--foo"], &["error: invalid option: \"--foo\""]),
        (&["--foo=secret"], &["error: invalid option: \"--foo\""]),
        (&["---from=x"], &["error: invalid option: \"---from\""]),
        (&["-%"], &["error: invalid option: \"-%\""]),
        (&["-t\u{e9}"], &["error: invalid option: \"-\u{e9}\""]),
        (&["--from"], &["error: no value supplied for \"--from\""]),
        (&["-tf"], &["error: no value supplied for -f"]),
        (
            &["--from", "-t"],
            &["error: \"--from -t\" is probably a mistake, use \"--from=... -t\" or \"--from=-t\""],
        ),
        (&["--from=a", "--from=b"], &["error: duplicate use of \"--from\""]),
        (&["-f", "a", "-f", "b"], &["error: duplicate use of \"-f\""]),
        (&["-z", "-y", "-z"], &["error: invalid option: \"-y\"", "error: invalid option: \"-z\""]),
        (&["\u{2013}from"], &["error: \"\u{2013}from\" is not an option: use two ascii hyphens"]),
        (&["--size=1k"], &["usage error: invalid value for --size: \"1k\""]),
        (
            &["--size=99999999999999999999"],
            &["usage error: invalid value for --size: \"99999999999999999999\""],
        ),
        (&["--domain=a\nb"], &["usage error: invalid value for --domain: \"a\\nb\""]),
        (&["--content-message-id=a b"], &["usage error: invalid value for --content-message-id: \"a b\""]),
    ];
    for (arguments, expected) in table {
        assert_eq!(errors(arguments), *expected, "{arguments:?}");
    }
    assert!(errors(&[&format!("--{}", "x".repeat(1000))])[0].len() < 100);
    assert!(options(&["--from=a", "--from=a"]).from.is_some());
}

#[test]
fn help_comes_before_errors_and_version() {
    assert!(matches!(request(&["--foo", "-Vh"]), Ok(Request::Help(HelpPart::Basic))));
    assert!(matches!(request(&["-hv"]), Ok(Request::Help(HelpPart::Full))));
    assert!(matches!(request(&["--version"]), Ok(Request::Version)));
    assert!(request(&["--foo", "-V"]).is_err());
}

#[test]
fn sizes_are_plain_numbers_and_zero_is_no_limit() {
    assert_eq!(options(&["--size=1000"]).size, Some(1000));
    assert_eq!(options(&["--size", "0"]).size, None);
}

fn help(part: HelpPart, width: usize) -> String {
    use super::super::{ABOUT, WORDS};
    crate::role::words::help::wrapped("emailrelay-submit", WORDS, ABOUT, TABLE, part, width)
}

#[test]
fn basic_help_has_the_basic_options_only() {
    let text = help(HelpPart::Basic, 79);
    assert!(text.starts_with("E-MailRelay V3.0.0\n\nabbreviated usage: emailrelay-submit [options]"));
    assert!(text.contains("\n  -f, --from=<address>  "));
    assert!(!text.contains("--bcc-split"));
}

#[test]
fn full_help_has_all_but_hidden_options() {
    let text = help(HelpPart::Full, 79);
    let shown = |spec: &&Spec<Opt>| text.contains(&format!("--{}", spec.name));
    let hidden: Vec<&str> = TABLE.iter().filter(|spec| !shown(spec)).map(|spec| spec.name).collect();
    assert_eq!(hidden, ["debug"]);
    assert!(text.contains("--content-message-id[=<domain>]"));
}

#[test]
fn lines_fit_the_width() {
    for width in [60, 79, 120] {
        assert!(help(HelpPart::Full, width).lines().all(|line| line.len() <= width.max(87)));
    }
    let lines = help(HelpPart::Full, 0).lines().filter(|line| line.starts_with("  ")).count();
    assert_eq!(lines, TABLE.len() - 1);
}
