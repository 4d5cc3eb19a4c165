//! Rules between options, each with its text.

use super::*;
use crate::cli::checks::{self, Facts};
use crate::cli::given::Given;

/// The first rule that these options break, if all of them were built.
fn broken(line: &str) -> String {
    let args: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
    let lexed = lexer::arguments(&args, &|_| false);
    assert_eq!(lexed.errors, Vec::<String>::new(), "{line}");
    let given: Vec<Given> = lexed.given;
    let mut merged = merge::merge(given, None, |_| true);
    assert_eq!(merged.errors, Vec::<String>::new(), "{line}");
    let first = merged.instances.remove(0);
    let unix_next_hop = line.contains("forward-to=/");
    let log = Mode::new(Program::Relay, &merged.process, &first.entries).logs(&merged.process);
    let (entries, process, env) = (&first.entries, &merged.process, &env());
    let facts = Facts { entries, env, process, log, knows: &|_| true, unix_next_hop };
    checks::instance(&facts).err().unwrap_or_default()
}

/// Pairs are in the order of the rules: where options of two rows are given together, the earlier row is reported.
const RULES: &[(&str, &str)] = &[
    ("--pop-port=1 --admin-terminate", "pop options require --pop"),
    ("--pop-by-name", "pop options require --pop"),
    ("--pop-auth=x", "pop options require --pop"),
    ("--pop-no-delete", "pop options require --pop"),
    ("--pop --admin-terminate", "the --pop option requires --pop-auth"),
    ("--admin-terminate --forward-to=a:1 --as-client=a:1", "the --admin-terminate option requires --admin"),
    (
        "--forward-to=a:1 --as-client=a:1 --port=1",
        "--forward-to cannot be used with --as-client or --as-proxy",
    ),
    ("--forward-to=a:1 --as-proxy=a:1", "--forward-to cannot be used with --as-client or --as-proxy"),
    ("--forward --forward-on-disconnect", "--forward requires --forward-to"),
    ("--forward-on-disconnect --client-filter=x", "--forward-on-disconnect requires --forward-to"),
    ("--client-filter=x --dont-serve --port=1", "--client-filter requires --forward-to"),
    (
        "--dont-serve --filter=x --port=1",
        "the --filter option cannot be used with --as-client or --dont-serve",
    ),
    (
        "--as-client=a:1 --port=1 --server-auth=x",
        "the --port option cannot be used with --as-client or --dont-serve",
    ),
    (
        "--dont-serve --server-auth=x --pop --pop-auth=x",
        "the --server-auth option cannot be used with --as-client or --dont-serve",
    ),
    (
        "--dont-serve --pop --pop-auth=x --admin=1",
        "the --pop option cannot be used with --as-client or --dont-serve",
    ),
    (
        "--dont-serve --admin=1 --no-smtp",
        "the --admin option cannot be used with --as-client or --dont-serve",
    ),
    ("--no-smtp --filter=x --port=1", "the --filter option cannot be used with --no-smtp"),
    ("--no-smtp --port=1 --server-auth=x", "the --port option cannot be used with --no-smtp"),
    (
        "--no-smtp --server-auth=x --client-auth-config=x",
        "the --server-auth option cannot be used with --no-smtp",
    ),
    (
        "--server-auth-config=x --client-auth-config=x",
        "the --server-auth-config option requires --server-auth",
    ),
    ("--client-auth-config=x -v", "the --client-auth-config option requires --client-auth"),
    ("-v -g", "the --verbose option must be used with --log, --help, --as-client, --as-server or --as-proxy"),
    (
        "-g --client-tls --client-tls-connection",
        "the --debug option requires --log, --as-client, --as-server or --as-proxy",
    ),
    (
        "--client-tls --client-tls-connection --server-tls",
        "the --client-tls and --client-tls-connection options cannot be used together",
    ),
    (
        "--server-tls --server-tls-connection",
        "the --server-tls and --server-tls-connection options cannot be used together",
    ),
    ("--server-tls", "the --server-tls option requires --server-tls-certificate"),
    ("--server-tls-connection", "the --server-tls-connection option requires --server-tls-certificate"),
    (
        "--server-tls-certificate=x --client-tls-required",
        "the --server-tls options require either --server-tls or --server-tls-connection",
    ),
    (
        "--server-tls-verify=x",
        "the --server-tls options require either --server-tls or --server-tls-connection",
    ),
    (
        "--client-tls-certificate=x",
        "the --client-tls- options require --client-tls or --client-tls-connection",
    ),
    ("--client-tls-verify=x", "the --client-tls- options require --client-tls or --client-tls-connection"),
    ("--client-tls-required", "the --client-tls- options require --client-tls or --client-tls-connection"),
    (
        "--server-tls --server-tls-certificate=a,b,c",
        "the --server-tls-certificate option cannot be used more than twice",
    ),
    (
        "--client-tls --client-tls-certificate=a --client-tls-certificate=b,c",
        "the --client-tls-certificate option cannot be used more than twice",
    ),
    (
        "--client-tls --client-tls-verify-name=x",
        "the --client-tls-verify-name options requires --client-tls-verify",
    ),
    (
        "--server-tls-required --dnsbl=x",
        "--server-tls-required requires --server-tls or --server-tls-connection",
    ),
    (
        "--interface=lo,client=x --dnsbl=x",
        "using --interface with client= is no longer supported: use --client-interface instead",
    ),
    ("--dnsbl=x --domain=", "--dnsbl requires --remote-clients or -r"),
    (
        "--forward-to=/x --client-interface=::",
        "the --client-interface option cannot be used with a unix-domain forwarding address",
    ),
    ("--domain= --filter=exit:", "the --domain value must not be empty"),
    ("--filter=exit:", "invalid filter specification: numeric value missing"),
    (
        "--forward-to=a:1 --client-filter=net:x",
        "invalid client filter specification: invalid host:service format: x",
    ),
    ("--address-verifier=exit:x", "invalid verifier specification: not a numeric exit code: x"),
];

#[test]
fn every_rule_between_options_has_its_text_and_place() {
    for (line, text) in RULES {
        assert_eq!(broken(line), *text, "{line}");
    }
}

#[test]
fn what_was_no_error_is_none() {
    for line in [
        "",
        "--immediate",
        "--poll=5",
        "--client-tls-server-name=x",
        "--pop --pop-auth=x --no-smtp",
        "--client-auth=x",
        "--as-client=a:1 --as-proxy=b:1",
        "--as-client=a:1 -vvg",
        "--server-tls --server-tls-certificate=a,b --server-tls-required",
        "--dnsbl=x -r",
    ] {
        assert_eq!(broken(line), "", "{line}");
    }
}

#[test]
fn the_first_two_checks_are_on_values() {
    let facility =
        "usage error: invalid --syslog facility: use 'mail', 'user', 'daemon', or 'local0' to 'local7'";
    let poll = "usage error: invalid --poll period: try --forward-on-disconnect";
    assert_eq!(bad("--syslog=kern --poll=x"), facility);
    assert_eq!(bad("--poll=x --forward"), poll);
    assert_eq!(bad("--poll=00"), poll);
}

#[test]
fn what_is_switched_off_is_not_there() {
    assert!(good("--server-tls=no --immediate=no").instances[0].smtp.enabled);
}

#[test]
fn warnings_are_those_people_know() {
    let warnings = |line| good(line).warnings;
    let stop = |blame| {
        format!("logging will stop because {blame} closes the standard error stream soon after startup")
    };
    assert_eq!(warnings("-i /a -i /b"), ["more than one --pid-file: using the first"]);
    assert_eq!(good("-i /a -i /b").process.pid_file, Some("/a".into()));
    assert_eq!(warnings("-i /a -i /a"), Vec::<String>::new());
    assert_eq!(warnings("-l -e -n"), [stop("--close-stderr")]);
    assert_eq!(warnings("-d -n"), [stop("--as-server")]);
    assert_eq!(warnings("-y a:25 -n"), [stop("--as-proxy")]);
    assert_eq!(warnings("-y a:25 -n -N /log"), Vec::<String>::new());
    assert_eq!(
        warnings("-D bücher.example"),
        ["the domain should be printable ascii: try using \"xn--bcher-kva.example\"",]
    );
    assert_eq!(warnings("--anonymous=server,foo"), ["unknown --anonymous item [foo]"]);
    assert_eq!(warnings("--log-format=time,network"), ["unknown --log-format item [network]"]);
    assert_eq!(warnings("--interface=::1,localhost"), ["--interface names ::1 more than once"]);
    assert_eq!(
        warnings("--interface=pop=::1"),
        ["smtp server is listening on all addresses: add smtp=... to --interface",]
    );
    assert_eq!(warnings("--remote-clients").len(), 1);
    assert_eq!(good("--server-smtp-config=foo").log_warnings, ["unknown smtp-config item [foo]"]);
}
