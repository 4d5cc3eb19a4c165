//! Configuration files: format, mistakes, precedence.

use super::*;

/// A directory with files, for one test.
pub(super) fn directory(files: &[(&str, &[u8])]) -> (tempfile::TempDir, Environment) {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    let env = Environment { cwd: dir.path().to_owned(), ..env() };
    (dir, env)
}

/// `emailrelay ARGS conf` with this configuration file.
fn with_conf(args: &str, conf: &str) -> Result<Invocation, Exit> {
    let (_dir, env) = directory(&[("conf", conf.as_bytes())]);
    run_in(Program::Relay, &format!("{args} conf"), &env)
}

fn good_conf(args: &str, conf: &str) -> Invocation {
    with_conf(args, conf).unwrap_or_else(|exit| panic!("{conf:?}: {}", exit.stderr))
}

fn errors(args: &str, conf: &str) -> Vec<String> {
    let exit = with_conf(args, conf).expect_err(conf);
    assert_eq!(exit.code, 1);
    let lines = exit.stderr.lines().filter(|line| !line.contains("for more information"));
    lines.map(|line| line.strip_prefix("emailrelay: ").unwrap_or(line).to_owned()).collect()
}

#[test]
fn lines_are_read_as_they_always_were() {
    let conf = "\u{feff}# relay.conf\r\n\nlog\n  spool-dir \"/var/my spool\"\t\r\n\tport = 587\nforward-to==smtp.example.com:25\n\
                domain \"a=b # c\" \n = # also a comment\nlog-file it's \"x\"\nsyslog local1\nverbose yes\nno-daemon";
    let Invocation { instances, process, .. } = good_conf("-v", conf);
    let one = &instances[0];
    assert_eq!(one.spool_dir, PathBuf::from("/var/my spool"));
    assert_eq!(one.smtp.port, 587);
    assert_eq!(one.forward.to.as_ref().unwrap().to_string(), "smtp.example.com:25");
    assert_eq!(one.domain.as_deref(), Some("a=b # c"));
    assert_eq!(process.log.file, Some("it's \"x\"".into()));
    assert_eq!(process.log.syslog, Some(crate::config::Facility::Local(1)));
    assert_eq!(process.log.verbosity, crate::config::Verbosity::Extra);
    assert!(!process.daemon && process.config_files.len() == 1);
}

#[test]
fn a_number_sign_behind_a_value_belongs_to_it() {
    assert_eq!(
        errors("", "port 587 # note"),
        ["usage error: invalid value for --port: \"587 # note\" (conf:1)"]
    );
}

#[test]
fn errors_name_file_and_line_and_no_values() {
    for (conf, text) in [
        ("\nfoo bar", "error: invalid option: \"--foo\" (conf:2)"),
        ("prot 25", "error: invalid option: \"--prot\" (conf:1): did you mean \"--port\"?"),
        ("p 25", "error: invalid option: \"--p\" (conf:1)"),
        ("domain", "error: no value supplied for \"--domain\" (conf:1)"),
        ("domain \"\"\ndont-serve", "error: no value supplied for \"--domain\" (conf:1)"),
        ("log secret", "error: cannot give a value with \"--log\" (conf:1)"),
        ("port 1\nport 2", "error: duplicate use of \"--port\" (conf:2)"),
        ("log\nlog no", "error: conflicting values: \"--log\" (conf:2)"),
        ("foo-port 25", "error: invalid option: \"--foo-port\" (conf:1)"),
        ("help", "error: \"--help\" is only for the command line (conf:1)"),
        ("config x", "error: \"--config\" is only for the command line (conf:1)"),
        ("MIIEvQIBADANBgkqhkiG9w0BAQEFAASC", "error: invalid option (conf:1)"),
        ("Dear Sir, my password is x", "error: invalid option (conf:1)"),
        (
            "durability maybe",
            "usage error: invalid value for --durability: \"maybe\": use full or none (conf:1)",
        ),
    ] {
        assert_eq!(errors("", conf), [text], "{conf:?}");
    }
}

#[test]
fn files_that_are_none_are_refused() {
    let (_dir, env) = directory(&[
        ("nul", b"log\0\n"),
        ("pem", b"-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n"),
    ]);
    for (name, text) in [
        ("nofile", "error reading configuration file: nofile"),
        ("nul", "invalid character in configuration file: nul"),
        ("pem", "not a configuration file but a key or certificate: pem"),
        ("@cred/x", "configuration file: no credentials were passed to the program"),
    ] {
        let exit = run_in(Program::Relay, name, &env).unwrap_err();
        assert_eq!(exit.stderr, format!("emailrelay: error: {text}\n"));
    }
}

#[test]
fn the_command_line_wins_with_a_warning() {
    let one = good_conf("--port=587 --log=no", "port 25\nlog\n");
    assert_eq!(one.instances[0].smtp.port, 587);
    assert!(!one.process.log.enabled);
    let mut warnings = one.warnings;
    warnings.sort();
    assert_eq!(
        warnings,
        ["--log: command-line value overrides conf:2", "--port: command-line value overrides conf:1",]
    );
    assert_eq!(good_conf("--port=587 --log", "port 587\nlog\nlog yes").warnings, Vec::<String>::new());
}

#[test]
fn lists_grow_behind_the_command_line() {
    let one = good_conf("-I lo -i /a", "interface ::1,eth0\ninterface fd#3\npid-file /b");
    let items: Vec<String> = one.instances[0].interfaces.iter().map(ToString::to_string).collect();
    assert_eq!(items, ["lo", "::1", "eth0", "fd#3"]);
    assert_eq!(one.process.pid_file, Some("/a".into()));
    assert_eq!(one.warnings, ["more than one --pid-file: using the first"]);
}

#[test]
fn dashes_in_front_of_a_key_are_dropped_with_a_warning() {
    let one = good_conf("", "--port 587\n");
    assert_eq!(one.instances[0].smtp.port, 587);
    assert_eq!(one.warnings, ["\"--port\" should be \"port\" in a configuration file (conf:1)"]);
}

#[test]
fn a_directory_gives_its_conf_files_in_order_and_files_may_be_many() {
    let (dir, env) = directory(&[
        ("10.conf", b"interface lo"),
        ("9.conf", b"interface eth0"),
        ("x.txt", b"rubbish"),
        ("last", b"interface eth1"),
    ]);
    let line = "--config=. --config=last /dev/null";
    let one = run_in(Program::Relay, line, &env).unwrap();
    let items: Vec<String> = one.instances[0].interfaces.iter().map(ToString::to_string).collect();
    assert_eq!(items, ["lo", "eth0", "eth1"]);
    assert_eq!(one.process.config_files.len(), 4);
    std::fs::write(dir.path().join("bad.conf"), "foo").unwrap();
    let exit = run_in(Program::Relay, ".", &env).unwrap_err();
    assert!(exit.stderr.contains("invalid option: \"--foo\" (./bad.conf:1)"), "{}", exit.stderr);
}

#[test]
fn role_programs_take_their_part_of_one_file() {
    let conf = "as-server\nlog\nno-daemon\npid-file /x\nport 587\nforward-to h:25\npoll 60\npop\nserver-tls\nclient-tls\nadmin 1\nlinger 5\n";
    let (_dir, env) = directory(&[("conf", conf.as_bytes()), ("bad", b"foo")]);
    let forward = run_in(Program::Forward, "conf", &env).unwrap();
    assert!(forward.instances[0].client_tls.is_some() && forward.instances[0].server_tls.is_none());
    assert_eq!(forward.instances[0].forward.to.as_ref().unwrap().to_string(), "h:25");
    assert!(forward.process.pid_file.is_none() && !forward.process.log.close_stderr);
    let smtp = run_in(Program::Smtp, "conf", &env).unwrap_err();
    assert!(
        smtp.stderr.contains("the --server-tls option requires --server-tls-certificate"),
        "{}",
        smtp.stderr
    );
    for program in [Program::Smtp, Program::Forward, Program::Relay] {
        let exit = run_in(program, "bad", &env).unwrap_err();
        assert!(exit.stderr.contains("invalid option: \"--foo\" (bad:1)"));
    }
}

#[test]
fn check_shows_what_is_in_force_and_masks_passwords() {
    let (dir, env) = directory(&[("conf", b"port 587\nverbose\n")]);
    let spool = dir.path().join("spool");
    std::fs::create_dir(&spool).unwrap();
    let exit = run_in(Program::Relay, "--check -lv -s spool -t conf", &env).unwrap_err();
    assert_eq!((exit.code, exit.stderr.as_str()), (0, ""));
    for line in [
        "port 587",
        "spool-dir spool",
        "no-daemon",
        "log",
        "verbose\nverbose",
        "# idle-timeout 1800 (default)",
    ] {
        assert!(
            exit.stdout.contains(&format!("\n{line}\n")) || exit.stdout.starts_with(line),
            "{line}: {}",
            exit.stdout
        );
    }
    std::fs::remove_dir(&spool).unwrap();
    let exit = run_in(Program::Relay, "--check -s spool -t", &env).unwrap_err();
    assert_eq!(exit.code, 1);
    assert_eq!(exit.stderr, "emailrelay: error: invalid spool directory: spool: no such file or directory\n");
    let entries = {
        let args = [OsString::from("--client-auth=plain:aWQ=:cHc=")];
        merge::merge(lexer::arguments(&args, &|_| false).given, None, |_| true)
    };
    let shown = report::effective(Program::Relay.roles(), &entries, &[]);
    assert!(shown.contains("client-auth plain:****\n") && !shown.contains("cHc"));
}

#[test]
fn credentials_are_found_where_the_service_manager_put_them() {
    let (_dir, mut env) = directory(&[("relay.conf", b"port 587")]);
    env.credentials_dir = Some(env.cwd.clone());
    let one = run_in(Program::Relay, "@cred/relay.conf -N @cred/log", &env).unwrap();
    assert_eq!(one.instances[0].smtp.port, 587);
    assert_eq!(one.process.log.file, Some(env.cwd.join("log")));
}
