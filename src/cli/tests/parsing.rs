//! How the command line is cut, and what its mistakes say.

use super::*;

#[test]
fn every_parser_error_has_its_text() {
    for (line, text) in [
        ("--foo", "invalid option: \"--foo\""),
        ("--foo=secret", "invalid option: \"--foo\""),
        ("-%", "invalid option: \"-%\""),
        ("-l%", "invalid option: \"-%\""),
        ("---foo", "invalid option: \"---foo\""),
        ("--Log", "invalid option: \"--Log\": did you mean \"--log\"?"),
        ("--prot=587", "invalid option: \"--prot\": did you mean \"--port\"?"),
        ("--po", "invalid option: \"--po\": did you mean \"--pop\"?"),
        ("--port.x=1", "invalid option: \"--port.x=1\""),
        ("--port", "no value supplied for \"--port\""),
        ("-p", "no value supplied for -p"),
        ("-lp", "no value supplied for -p"),
        ("--port -1", "\"--port -1\" is probably a mistake, use \"--port=... -1\" or \"--port=-1\""),
        (
            "--domain --dont-serve",
            "\"--domain --dont-serve\" is probably a mistake, use \"--domain=... --dont-serve\" or \"--domain=--dont-serve\"",
        ),
        ("--log=maybe", "cannot give a value with \"--log\" (maybe)"),
        ("-l=maybe", "cannot give a value with \"-l\" (maybe)"),
        ("--client-tls=/x.pem", "cannot give a value with \"--client-tls\" (/x.pem)"),
        ("--port=1 --port=2", "duplicate use of \"--port\""),
        ("-D a -D b", "duplicate use of \"-D\""),
        ("--spool-dir=/a --spool-dir=/b", "duplicate use of \"--spool-dir\""),
        ("--syslog --syslog=user", "duplicate use of \"--syslog\""),
        ("--log --log=no", "conflicting values: \"--log\""),
        ("--syslog=user --syslog=no", "conflicting values: \"--syslog\""),
        ("--foo-port=25", "invalid option: \"--foo-port\""),
        ("\u{2013}as-server=x", "\"\u{2013}as-server\" is not an option: use two ascii hyphens"),
        ("\u{2014}log", "\"\u{2014}log\" is not an option: use two ascii hyphens"),
    ] {
        assert_eq!(bad(line), format!("error: {text}"), "{line}");
    }
}

#[test]
fn parser_errors_are_sorted_without_repetition_and_end_in_a_hint() {
    let exit = run(Program::Relay, "--zoo --bar --zoo -%").unwrap_err();
    assert_eq!(
        exit.stderr,
        "emailrelay: error: invalid option: \"-%\"\n\
         emailrelay: error: invalid option: \"--bar\"\n\
         emailrelay: error: invalid option: \"--zoo\"\n            \
         try \"emailrelay --help --verbose\" for more information\n"
    );
}

#[test]
fn messages_start_with_the_base_name_without_its_extension() {
    for (argv0, name) in [
        ("/usr/sbin/emailrelay", "emailrelay"),
        ("./relay.exe", "relay"),
        ("a.b.c", "a.b"),
        ("", "emailrelay"),
    ] {
        let exit = parse(Program::Relay, &[argv0.into(), "--poll=x".into()], &env()).unwrap_err();
        assert_eq!(
            exit.stderr,
            format!("{name}: usage error: invalid --poll period: try --forward-on-disconnect\n")
        );
    }
    assert_eq!(program_name(Program::Smtp, None), "emailrelay-smtp");
}

#[test]
fn values_come_in_every_form() {
    for line in [
        "--port=587",
        "--port 587",
        "-p 587",
        "-p587",
        "-p=587",
        "-lp 587",
        "-lp587",
        "--log --port 587 --port=587",
        "-l -p587 -p 587",
    ] {
        assert_eq!(good(line).instances[0].smtp.port, 587, "{line}");
    }
    assert_eq!(good("-I=lo").instances[0].interfaces.len(), 1);
    assert_eq!(good("-Ilo -I lo-ipv4,fd#3").instances[0].interfaces.len(), 3);
    // A letter takes what comes; a long name does so only behind `=`.
    assert_eq!(good("-D -x").instances[0].domain.as_deref(), Some("-x"));
    assert_eq!(good("--domain=-x").instances[0].domain.as_deref(), Some("-x"));
}

#[test]
fn switches_take_words_for_on_and_off() {
    for on in [
        "--log",
        "-l",
        "--log=yes",
        "--log=Y",
        "--log=true",
        "--log=t",
        "--log=1",
        "--log=ON",
        "--log=",
        "-l=y",
    ] {
        assert!(good(on).process.log.enabled, "{on}");
    }
    for off in ["--log=no", "--log=N", "--log=False", "--log=f", "--log=0", "--log=off", "-l=no"] {
        assert!(!good(off).process.log.enabled, "{off}");
    }
}

#[test]
fn verbose_counts() {
    use crate::config::Verbosity::{Extra, Normal, Verbose};
    for (line, verbosity) in [
        ("-l", Normal),
        ("-lv", Verbose),
        ("-l --verbose", Verbose),
        ("-lvv", Extra),
        ("-l -v --verbose", Extra),
        ("-lvvvv", Extra),
    ] {
        assert_eq!(good(line).process.log.verbosity, verbosity, "{line}");
    }
}

#[test]
fn optional_values_come_only_with_an_equals_sign() {
    use crate::config::Facility;
    let facility = |line| good(line).process.log.syslog;
    assert_eq!(facility("-l"), Some(Facility::Mail));
    assert_eq!(facility("-l --syslog"), Some(Facility::Mail));
    assert_eq!(facility("-l --syslog=mail --syslog"), Some(Facility::Mail));
    assert_eq!(facility("-l --syslog=yes"), Some(Facility::Mail));
    assert_eq!(facility("-l --syslog=no -n"), None);
    assert_eq!(facility("-ln --syslog=local3"), Some(Facility::Local(3)));
    assert_eq!(facility("-lk=user"), Some(Facility::User));
    assert_eq!(bad("-l --syslog local0"), "error: error reading configuration file: local0");
}

#[test]
fn bad_values_are_errors_and_never_defaults() {
    for (line, text) in [
        ("--port=587x", "invalid value for --port: \"587x\""),
        ("--port=", "invalid value for --port: \"\""),
        ("--port=65536", "invalid value for --port: \"65536\""),
        ("--port=+25", "invalid value for --port: \"+25\""),
        ("--size=10x", "invalid value for --size: \"10x\""),
        ("--idle-timeout=1.5", "invalid value for --idle-timeout: \"1.5\""),
        ("--idle-timeout=99999999999", "invalid value for --idle-timeout: \"99999999999\""),
        ("--retry-first=5y", "invalid value for --retry-first: \"5y\""),
        ("--retry-first=5h", "the --retry-max value must not be less than --retry-first"),
        ("--forward-connections=0", "invalid value for --forward-connections: \"0\""),
        ("--durability=maybe", "invalid value for --durability: \"maybe\": use full or none"),
        ("--compat=1.9", "invalid value for --compat: \"1.9\": use 2.6"),
        ("--interface=foo=127.0.0.1", "invalid --interface item: \"foo=127.0.0.1\""),
        ("--interface=lo,127.0.0.1:2000", "invalid --interface item: \"127.0.0.1:2000\""),
        ("--as-client=host", "invalid --as-client address: \"host\": expected host:port"),
        ("--as-proxy=host:0", "invalid --as-proxy address: \"host:0\": invalid port"),
        ("--forward-to=rubbish --poll=x", "invalid --forward-to address: \"rubbish\": expected host:port"),
        ("--forward-to=h:99999", "invalid --forward-to address: \"h:99999\": invalid port"),
        (
            "--server-tls --server-tls-certificate=sni:/etc/certificates",
            "--server-tls-certificate=sni: is not built into this version",
        ),
        ("--pid-file=@cred/x", "invalid value for --pid-file: no credentials were passed to the program"),
    ] {
        assert_eq!(bad(line), format!("usage error: {text}"), "{line}");
    }
    let dnsbl = "error: invalid dnsbl configuration: not enough comma-sparated fields";
    assert_eq!(bad("-r --dnsbl=1.1.1.1:53,1000,1"), dnsbl);
    assert_eq!(bad("--client-interface=foo"), "error: address error: invalid network address: foo: 0");
}

#[test]
fn two_dashes_end_options_and_one_other_argument_is_allowed() {
    assert_eq!(bad("-- --log"), "error: error reading configuration file: --log");
    assert_eq!(bad("nofile extra"), "error: error reading configuration file: nofile");
    let exit = run(Program::Relay, "/dev/null extra").unwrap_err();
    assert_eq!(
        exit.stderr,
        "emailrelay: usage error: too many non-option arguments\n            \
         try \"emailrelay --help --verbose\" for more information\n"
    );
    assert_eq!(good("/dev/null --port=587").instances[0].smtp.port, 587);
}

#[test]
fn help_and_version_come_before_other_things() {
    let out = |line| {
        let exit = run(Program::Relay, line).unwrap_err();
        (exit.code, exit.stdout.lines().next().unwrap_or_default().to_owned(), exit.stderr)
    };
    let title = format!("E-MailRelay V{}", crate::VERSION);
    for line in [
        "--help",
        "-h",
        "--foo --help nofile extra",
        "-V",
        "--version nofile",
        "--version a b",
        "--version --poll=x",
    ] {
        assert_eq!(out(line), (0, title.clone(), String::new()), "{line}");
    }
    assert!(bad("--version --foo").starts_with("error: invalid option"));
    let help = run(Program::Relay, "--help -v").unwrap_err().stdout;
    assert!(help.contains("\nTLS options\n"));
}

#[test]
fn the_sample_configuration_is_a_good_configuration() {
    let text = run(Program::Relay, "--generate-sample-config").unwrap_err().stdout;
    let mut read = file::Read::default();
    read.text(Path::new("x"), text.as_bytes()).unwrap();
    assert_eq!(read.errors, Vec::<String>::new());
    assert_eq!(read.given.len(), 1);
    // Every example in it is read too.
    let examples: String = text
        .lines()
        .filter_map(|line| line.strip_prefix('#'))
        .filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase()))
        .map(|line| format!("{line}\n"))
        .collect();
    let mut read = file::Read::default();
    read.text(Path::new("x"), examples.as_bytes()).unwrap();
    assert_eq!(read.errors, Vec::<String>::new());
    assert!(read.given.len() > 80);
}

#[test]
fn old_spellings_still_work_with_a_warning() {
    let warned = |line: &str| {
        let invocation = good(line);
        assert_eq!(invocation.warnings, invocation.log_warnings);
        invocation.warnings
    };
    assert_eq!(warned("--dont-listen"), ["--dont-listen is deprecated: using --no-smtp"]);
    assert_eq!(warned("--postmaster"), ["--postmaster has no meaning any more: ignored"]);
    assert_eq!(
        warned("--hidden -H --show x"),
        [
            "--hidden is windows-only: ignored",
            "-H is windows-only: ignored",
            "--show is windows-only: ignored",
        ]
    );
    assert_eq!(warned("--test=x --test=y"), ["--test is for tests: ignored"]);
    let poll = good("--poll 0 --forward-to=h:25");
    assert_eq!(poll.warnings, ["--poll 0 is deprecated: using --forward-on-disconnect"]);
    assert!(poll.instances[0].forward.on_disconnect && poll.instances[0].forward.poll.is_none());
    let moved = good("--interface client=10.0.0.2,lo --forward-to=h:25");
    assert_eq!(moved.warnings, ["--interface client= is deprecated: using --client-interface"]);
    assert!(moved.instances[0].forward.client_interface.is_some());
    assert_eq!(moved.instances[0].interfaces.len(), 1);
    let verifier = good("--verifier=account:");
    assert_eq!(verifier.warnings, ["--verifier is deprecated: using --address-verifier"]);
    assert_eq!(good("-Z /x").instances[0].smtp.verifier.program(), Some("/x".as_ref()));
    let scanner = good("--scanner localhost:783");
    assert_eq!(scanner.warnings, ["--scanner is deprecated: using --filter=net:"]);
    let remote = scanner.instances[0].filter.server[0].remote().map(ToString::to_string);
    assert_eq!(remote.as_deref(), Some("localhost:783"));
}
