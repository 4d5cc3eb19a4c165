//! Specifications, good and bad.

use super::*;

fn parse_with(list: &str, files: &[&str]) -> Result<FilterList, String> {
    let is_file = |path: &Path| files.iter().any(|file| Path::new(file) == path);
    let around =
        Surroundings { app_dir: Path::new("/opt/relay"), cwd: Path::new("/home/me"), is_file: &is_file };
    FilterList::parse(OsStr::new(list), &around)
}

fn parse(list: &str) -> Result<Vec<FilterSpec>, String> {
    parse_with(list, &[]).map(|list| list.filters)
}

fn program(path: &str) -> FilterSpec {
    FilterSpec::Program(ProgramSpec { path: path.into(), arguments: Arguments::Both })
}

#[test]
fn bad_filters_have_their_reason() {
    for (spec, reason) in [
        ("exit:", "numeric value missing"),
        ("exit:x", "invalid numeric value: x"),
        ("exit:-1", "invalid numeric value: -1"),
        ("exit:4294967", "numeric value too big: 4294967"),
        ("/bin/true,sleepms:99999999999999999999", "numeric value too big: 99999999999999999999"),
        ("net:", "invalid host:service format"),
        ("net:localhost", "invalid host:service format: localhost"),
        ("net::25", "invalid host:service format: :25"),
        ("spam:localhost:99999", "invalid host:service format: localhost:99999"),
        ("spam-edit:a:1@b:2", "invalid host:service format: a:1@b:2"),
        ("file:", "empty file path"),
        ("exec: ", "empty file path"),
        ("milter:h:1", "milter: is not built into this version"),
        ("rspamd:h:1", "rspamd: is not built into this version"),
        ("dkim:domain=x", "dkim: is not built into this version"),
    ] {
        assert_eq!(parse(spec), Err(reason.to_owned()), "{spec}");
    }
}

#[test]
fn a_list_is_cut_at_commas_and_nothing_else() {
    for nothing in ["", ",", ",,,"] {
        assert_eq!(parse(nothing).unwrap(), [FilterSpec::Exit(0)]);
    }
    let filters = parse(",/a b,,exit:4294966,sleepms:20,net:/run/x,spam-edit:[::1]:783;user=me,").unwrap();
    let spamd = Remote::parse("[::1]:783", None).unwrap();
    assert_eq!(
        filters,
        [
            program("/a b"),
            FilterSpec::Exit(4_294_966),
            FilterSpec::Sleep(Duration::from_millis(20)),
            FilterSpec::Net(Remote::Unix("/run/x".into())),
            FilterSpec::Spam {
                address: spamd,
                edit: true,
                options: SpamOptions { user: Some("me".to_owned()), ..SpamOptions::default() },
            },
        ]
    );
}

#[test]
fn what_has_no_known_prefix_is_a_path() {
    for (text, path) in [
        ("foo:bar", "/home/me/foo:bar"),
        ("file:x", "/home/me/x"),
        ("file:exit:0", "/home/me/exit:0"),
        ("EXIT:0", "/home/me/EXIT:0"),
        ("@app/f", "/opt/relay/f"),
        ("/a/@app", "/a/@app"),
        ("file:@app/f", "/opt/relay/f"),
        ("/no such -x", "/no such -x"),
    ] {
        assert_eq!(parse(text).unwrap(), [program(path)], "{text}");
    }
}

#[test]
fn a_file_that_is_named_like_a_new_prefix_is_run() {
    let found = parse_with("milter:x", &["/home/me/milter:x"]).unwrap();
    assert_eq!(found.filters, [program("/home/me/milter:x")]);
    assert_eq!(found.warnings, ["there is a file \"/home/me/milter:x\": it is run as a filter"]);
}

#[test]
fn command_lines_are_words() {
    let old = parse_with("/bin/spam\\ x --exit-code", &["/bin/spam x"]).unwrap();
    let arguments = Arguments::Old(vec!["--exit-code".to_owned()]);
    assert_eq!(old.filters, [FilterSpec::Program(ProgramSpec { path: "/bin/spam x".into(), arguments })]);
    assert_eq!(old.warnings, ["filter command-line form is deprecated: use exec:"]);
    // Not if there is a file of the whole name.
    assert_eq!(parse_with("/bin/a b", &["/bin/a b", "/bin/a"]).unwrap().filters, [program("/bin/a b")]);

    let (content, envelope) = (Path::new("/s/c"), Path::new("/s/e"));
    let arguments = |text: &str| match parse(text).unwrap().remove(0) {
        FilterSpec::Program(program) => {
            assert_eq!(program.path, Path::new("/f"));
            let words = program.arguments(content, envelope);
            (words.0.iter().map(|word| word.to_str().unwrap().to_owned()).collect::<Vec<_>>(), words.1)
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(arguments("/f").0, ["/s/c", "/s/e"]);
    assert!(!arguments("/f").1 && arguments("exec:/f").1);
    assert_eq!(arguments("exec:/f").0, ["/s/c", "/s/e"]);
    assert_eq!(
        arguments("exec:/f -x  'a b' \"c\\\"d\" e\\ f ''").0,
        ["-x", "a b", "c\"d", "e f", "", "/s/c", "/s/e"]
    );
    assert_eq!(arguments("exec:/f {envelope} y").0, ["/s/e", "y"]);
}
