//! What options mean.

use std::time::Duration;

use super::*;
use crate::config::address::Remote;
use crate::config::keywords::BareLf;
use crate::config::{Anonymous, Compat, Durability, InDoubt};

fn only(line: &str) -> Settings {
    good(line).instances.remove(0)
}

#[test]
fn no_options_serve_smtp_on_25_in_the_background_without_log() {
    let Invocation { instances, process, warnings, log_warnings } = good("");
    let [one] = instances.as_slice() else { panic!() };
    assert!(one.smtp.enabled && one.smtp.port == 25 && one.interfaces.is_empty());
    assert_eq!(one.spool_dir, PathBuf::from("/var/spool/emailrelay"));
    assert_eq!((one.name.as_str(), one.domain.as_deref()), ("", None));
    assert_eq!((one.smtp.max_size, one.smtp.idle_timeout), (None, Some(Duration::from_secs(1800))));
    assert_eq!(
        (one.smtp.max_connections, one.smtp.max_per_address, one.smtp.max_recipients),
        (None, Some(100), 10_000)
    );
    assert_eq!((one.durability, one.anonymous), (Durability::Full, Anonymous::default()));
    assert!(
        process.daemon && !process.log.enabled && process.log.syslog.is_none() && process.user == "daemon"
    );
    assert_eq!((process.stop_timeout, process.idle_exit), (Duration::from_secs(20), None));
    assert!(warnings.is_empty() && log_warnings.is_empty());
    assert!(one.has_work() && !one.ends_after_first_run());
}

#[test]
fn forwarding_has_its_defaults() {
    let forward = only("--forward-to=smtp.example.com:smtp").forward;
    assert_eq!(forward.to, Some(Remote::Host { host: "smtp.example.com".into(), port: 25 }));
    assert!(!forward.at_start && !forward.on_disconnect && !forward.to_some && forward.poll.is_none());
    let seconds = |value: Option<Duration>| value.map(|value| value.as_secs());
    assert_eq!(seconds(forward.connection_timeout), Some(40));
    assert_eq!(seconds(forward.response_timeout), Some(1800));
    assert_eq!(seconds(forward.prompt_timeout), Some(20));
    assert_eq!((forward.connections, forward.connections_max), (4, 16));
    assert_eq!((forward.retry.first.as_secs(), forward.retry.max.as_secs()), (300, 14_400));
    assert_eq!(seconds(forward.retry.give_up), Some(432_000));
    assert_eq!((forward.in_doubt, forward.busy_timeout.as_secs()), (InDoubt::Retry, 600));
}

#[test]
fn the_old_behaviour_is_one_connection_unless_a_number_is_given() {
    let connections = |line: &str| only(&format!("--forward-to=h:25 {line}")).forward.connections;
    assert_eq!((connections(""), connections("--compat=2.6")), (4, 1));
    assert_eq!(connections("--client-smtp-config=compat26"), 1);
    assert_eq!(connections("--compat=2.6 --forward-connections=4"), 4);
}

#[test]
fn zero_means_no_limit() {
    let one = only("-U 0 -T 0 -w 0 --idle-timeout=0 --retry-give-up=0 --smtp-max-per-address=0 -M 0");
    let forward = one.forward;
    assert!(forward.connection_timeout.is_none() && forward.response_timeout.is_none());
    assert!(forward.prompt_timeout.is_none() && forward.retry.give_up.is_none());
    assert!(
        one.smtp.idle_timeout.is_none() && one.smtp.max_per_address.is_none() && one.smtp.max_size.is_none()
    );
}

#[test]
fn as_client_is_short_for_six_options() {
    let Invocation { instances, process, .. } = good("-q host:587");
    let forward = &instances[0].forward;
    assert!(!instances[0].smtp.enabled && forward.at_start && !forward.on_disconnect);
    assert_eq!(forward.to.as_ref().unwrap().to_string(), "host:587");
    assert!(instances[0].ends_after_first_run());
    assert!(
        process.log.enabled && process.log.syslog.is_none() && !process.daemon && !process.log.close_stderr
    );
    assert!(good("-q host:587 --syslog -e").process.log.syslog.is_some());
    assert!(good("-q host:587 -e").process.log.close_stderr);
    assert_eq!(only("-q a:1 -y b:2").forward.to.unwrap().to_string(), "a:1");
}

#[test]
fn as_proxy_and_as_server_imply_logging() {
    let Invocation { instances, process, .. } = good("-y host:25");
    assert!(
        instances[0].smtp.enabled && instances[0].forward.on_disconnect && !instances[0].forward.at_start
    );
    assert!(
        process.log.enabled && process.log.close_stderr && process.daemon && process.log.syslog.is_some()
    );
    let process = good("-d -t").process;
    assert!(process.log.enabled && process.log.close_stderr && !process.daemon);
}

#[test]
fn a_process_without_server_ends_unless_it_polls() {
    assert!(only("-x -f -o h:25").ends_after_first_run());
    assert!(!only("-x -f -o h:25 -O 5").ends_after_first_run());
    assert!(!only("-x -o h:25").has_work());
    assert!(!only("-X -o h:25").has_work());
    assert!(!only("-x -O 5").has_work(), "nothing to forward to");
}

#[test]
fn anonymous_in_all_its_spellings() {
    for all in
        ["-A", "--anonymous", "--anonymous=", "--anonymous=yes", "--anonymous=vrfy,server,content,client"]
    {
        assert_eq!(only(all).anonymous, Anonymous::ALL, "{all}");
    }
    assert_eq!(only("--anonymous=no").anonymous, Anonymous::default());
    assert_eq!(only("--anonymous=content").anonymous, Anonymous { content: true, ..Anonymous::default() });
}

#[test]
fn sizes_times_and_keywords_are_read() {
    let one = only(
        "-M 10m -Z -pipelining -Z barelf=reject -c nolinger,eightbitstrict --durability=none --in-doubt=fail",
    );
    assert_eq!(one.smtp.max_size, Some(10 << 20));
    assert!(!one.smtp.keywords.pipelining && one.smtp.keywords.bare_lf == BareLf::Reject);
    assert!(
        !one.forward.keywords.linger
            && one.forward.keywords.eightbit_strict
            && one.forward.keywords.pipelining
    );
    assert_eq!((one.durability, one.forward.in_doubt), (Durability::None, InDoubt::Fail));
    assert_eq!(one.compat, Compat::default());
    let old = only("--compat=2.6");
    assert!(old.compat == Compat::V2_6 && !old.forward.keywords.pipelining);
    assert_eq!(only("-c compat26").compat, Compat { forwarding: true, ..Compat::default() });
    assert_eq!(good("--shutdown-timeout=5").process.stop_timeout, Duration::from_secs(5));
    assert_eq!(only("-o host --forward-to-default-port").forward.to.unwrap().to_string(), "host:25");
    assert_eq!(only("-o /run/x.s").forward.to.unwrap(), Remote::Unix("/run/x.s".into()));
}

#[test]
fn paths_are_absolute_for_a_daemon_only() {
    let daemon = good("-i run/pid -N @app/log -s spool");
    assert_eq!(daemon.process.pid_file, Some("/home/me/run/pid".into()));
    assert_eq!(daemon.process.log.file, Some("/opt/relay/log".into()));
    assert_eq!(daemon.instances[0].spool_dir, PathBuf::from("/home/me/spool"));
    let foreground = good("-t -i run/pid -s spool");
    assert_eq!(foreground.process.pid_file, Some("run/pid".into()));
    assert_eq!(foreground.instances[0].spool_dir, PathBuf::from("spool"));
}

#[test]
fn role_programs_log_and_stay_in_the_foreground() {
    let smtp = run(Program::Smtp, "--idle-exit=300 -v").unwrap();
    assert!(smtp.process.log.enabled && !smtp.process.daemon && smtp.process.log.syslog.is_none());
    assert_eq!(smtp.process.idle_exit, Some(Duration::from_secs(300)));
    assert!(smtp.instances[0].smtp.enabled && !smtp.instances[0].forward.at_start);
    let forward = run(Program::Forward, "--forward-to=h:25 --linger=30").unwrap();
    assert_eq!(forward.instances[0].forward.busy_timeout, Duration::ZERO);
    assert_eq!(forward.process.linger, Some(Duration::from_secs(30)));
    assert!(!forward.instances[0].smtp.enabled && forward.instances[0].forward.at_start);
    assert!(forward.instances[0].ends_after_first_run());
}

#[test]
fn role_programs_refuse_options_of_others_on_the_command_line() {
    for (program, line, text) in [
        (
            Program::Forward,
            "--port=1",
            "the --port option belongs to emailrelay-smtp, not to emailrelay-forward",
        ),
        (Program::Smtp, "-o h:25", "the -o option belongs to emailrelay-forward, not to emailrelay-smtp"),
        (Program::Smtp, "-t", "the -t option belongs to emailrelay, not to emailrelay-smtp"),
        (Program::Forward, "--poll=60", "the --poll option belongs to emailrelay, not to emailrelay-forward"),
        (
            Program::Relay,
            "--idle-exit=5",
            "the --idle-exit option belongs to emailrelay-smtp, not to emailrelay",
        ),
        (Program::Forward, "", "emailrelay-forward requires --forward-to"),
        (Program::Smtp, "--pop", "the --pop option belongs to emailrelay-pop, not to emailrelay-smtp"),
    ] {
        assert_eq!(bad_for(program, line), format!("usage error: {text}"));
    }
    assert!(bad_for(Program::Smtp, "--foo").starts_with("error: invalid option"));
}

#[test]
fn a_forwarder_that_a_service_manager_starts_may_have_nobody_to_send_to() {
    let managed = Environment { managed: true, ..env() };
    assert_eq!(run_in(Program::Forward, "", &managed).unwrap().instances[0].forward.to, None);
    assert!(run_in(Program::Forward, "--client-filter=x", &managed).is_err());
}

#[test]
fn spool_directories_are_made_out_in_spite_of_mistakes() {
    let (dir, env) = super::files::directory(&[("conf", b"foo\nspool-dir one\nin-spool-dir in\nport x\n")]);
    let argv = |line: &str| line.split(' ').map(OsString::from).collect::<Vec<_>>();
    let found = |line| spools(Program::Forward, &argv(line), &env);
    assert_eq!(found("x conf"), [dir.path().join("one"), dir.path().join("in")]);
    assert_eq!(found("x --instance in conf"), [dir.path().join("in")]);
    assert_eq!(found("x missing"), [PathBuf::from("/var/spool/emailrelay")]);
}

#[test]
fn administration_is_there_when_its_port_is_given_and_in_its_own_program() {
    use crate::config::Reach;
    let admin = |line| good(line).instances[0].admin.clone();
    assert!(!admin("").enabled);
    let plain = admin("-a 10026");
    assert_eq!(
        (plain.enabled, plain.port, plain.terminate, plain.reach),
        (true, Some(10026), false, Reach::ThisHost)
    );
    assert!(admin("-a 1 -Q").terminate);
    for (line, reach) in [
        ("-a 1 -I admin=127.0.0.1,192.0.2.1", Reach::ThisHost),
        ("-a 1 -I admin=/run/admin.s", Reach::ThisHost),
        ("-a 1 -I admin=0.0.0.0", Reach::LocalNetworks),
        ("-a 1 -I admin=eth0", Reach::LocalNetworks),
        ("-a 1 -I admin=::1 -r", Reach::Everywhere),
    ] {
        assert_eq!(admin(line).reach, reach, "{line}");
    }
    let own = run(Program::Admin, "--forward-to=h:25 --admin-terminate").unwrap().instances.remove(0);
    assert!(own.admin.enabled && own.admin.port.is_none() && own.admin.terminate);
    assert!(!own.smtp.enabled && !own.forward.at_start && own.forward.busy_timeout.is_zero());
    assert!(run(Program::Smtp, "").is_ok_and(|smtp| !smtp.instances[0].admin.enabled));
    let everywhere = "admin server is listening on all addresses: add admin=... to --interface";
    assert!(good("-a 1").warnings.contains(&everywhere.to_owned()));
    assert!(good("-a 1 -I 127.0.0.1").warnings.is_empty());
}

#[test]
fn the_smtp_server_has_the_options_of_forwarding_when_it_sends_on_at_once() {
    let line = "--forward-to=h:25 --client-auth=/x --client-tls --forward-connections-max=3";
    assert_eq!(
        bad_for(Program::Smtp, line),
        "usage error: the --forward-to option belongs to emailrelay-forward, not to emailrelay-smtp"
    );
    let smtp = run(Program::Smtp, &format!("--immediate {line}")).unwrap();
    let forward = &smtp.instances[0].forward;
    assert!(forward.immediate && forward.auth.is_some() && smtp.instances[0].client_tls.is_some());
    assert_eq!((forward.to.as_ref().unwrap().to_string(), forward.connections_max), ("h:25".to_owned(), 3));
    // What no client waits for stays with the forwarder.
    assert_eq!(
        bad_for(Program::Smtp, &format!("--immediate {line} --poll=5")),
        "usage error: the --poll option belongs to emailrelay, not to emailrelay-smtp"
    );
    assert!(good("--immediate=no --forward-to=h:25").instances[0].forward.to.is_some());
    assert!(!good("--immediate=no").instances[0].forward.immediate);
}

#[test]
fn whoever_sends_on_at_once_is_told_what_to_expect() {
    let timeouts =
        "using --immediate can result in client timeout errors: try --forward-on-disconnect instead";
    let said = |line| good(line).log_warnings;
    assert_eq!(said("--immediate"), ["--immediate has no effect without --forward-to"]);
    assert_eq!(said("--immediate --as-proxy=h:25"), [timeouts]);
    assert_eq!(said("--immediate --forward-to=h:25 --poll=60"), [timeouts]);
    let alone = said("--immediate --forward-to=h:25");
    assert_eq!(alone[0], timeouts);
    assert!(alone[1].contains("--forward-on-disconnect"), "{alone:?}");
}
