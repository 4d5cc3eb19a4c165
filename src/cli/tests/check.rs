//! `--check`: all mistakes with their places, and the units that do the same.

use std::os::unix::fs::PermissionsExt;

use super::files::directory;
use super::*;

/// Exit code, standard output and standard error for a configuration file.
fn check(conf: &str) -> (u8, String, String) {
    let (dir, env) =
        directory(&[("conf", conf.replace("SPOOL", ".").as_bytes()), ("auth", b"client plain me secret\n")]);
    std::fs::set_permissions(dir.path().join("auth"), std::fs::Permissions::from_mode(0o600)).unwrap();
    let exit = run_in(Program::Relay, "--check -t --user root conf", &env).unwrap_err();
    drop(dir);
    (exit.code, exit.stdout, exit.stderr)
}

/// What is said about systemd.
fn units(conf: &str) -> Vec<String> {
    let (code, stdout, stderr) = check(&format!("spool-dir .\n{conf}"));
    assert_eq!(code, 0, "{stderr}");
    let (_, units) = stdout.split_once("# Under systemd, with one service for each role:\n").unwrap();
    let (units, _) = units.split_once("# Note: the services read /etc/emailrelay.conf").unwrap();
    units.lines().map(|line| line.trim_start_matches(['#', ' ']).to_owned()).collect()
}

/// The lines of one drop-in.
fn drop_in(conf: &str, unit: &str) -> Vec<String> {
    let heading = format!("/etc/systemd/system/{unit}.d/emailrelay.conf:");
    let lines = units(conf).into_iter().skip_while(|line| *line != heading).skip(1);
    lines.take_while(|line| !line.starts_with("/etc/") && !line.starts_with("Note:")).collect()
}

#[test]
fn every_mistake_is_named_with_its_place() {
    let (code, stdout, stderr) = check(
        "spool-dir SPOOL\nprot 25\nport 99999\npoll x\nforward\nserver-tls\nverbose\nfilter net:x\nlog-format foo\n\
         idle-timeout soon\nadmin-terminate\n",
    );
    assert_eq!(code, 1);
    assert_eq!(
        stderr,
        "emailrelay: error: invalid option: \"--prot\" (conf:2): did you mean \"--port\"?\n\
         emailrelay: usage error: invalid value for --idle-timeout: \"soon\" (conf:10)\n\
         emailrelay: usage error: invalid --poll period: try --forward-on-disconnect (conf:4)\n\
         emailrelay: usage error: invalid value for --port: \"99999\" (conf:3)\n\
         emailrelay: usage error: the --admin-terminate option requires --admin (conf:11)\n\
         emailrelay: usage error: --forward requires --forward-to (conf:5)\n\
         emailrelay: usage error: the --verbose option must be used with --log, --help, --as-client, --as-server or --as-proxy (conf:7)\n\
         emailrelay: usage error: the --server-tls option requires --server-tls-certificate (conf:6)\n\
         emailrelay: usage error: invalid filter specification: invalid host:service format: x (conf:8)\n"
    );
    // What was understood is shown all the same.
    assert!(stdout.contains("\nspool-dir .\n") && stdout.starts_with("# from /"), "{stdout}");
}

#[test]
fn what_a_value_names_is_placed_too() {
    let (code, _, stderr) =
        check("spool-dir SPOOL\nserver-auth /nonexistent/auth\nfilter /nonexistent/f\nlog\nlog-format foo\n");
    assert_eq!(code, 1);
    assert_eq!(
        stderr,
        "emailrelay: warning: unknown --log-format item [foo] (conf:5)\n\
         emailrelay: warning: filter program does not exist: /nonexistent/f (conf:3)\n\
         emailrelay: error: cannot read secrets file: /nonexistent/auth: no such file or directory (conf:2)\n"
    );
}

#[test]
fn warnings_that_a_start_only_logs_are_told_with_their_places() {
    for (conf, warning) in [
        ("server-smtp-config foo", "unknown smtp-config item [foo] (conf:2)"),
        ("forward-to h:25\npoll 60\nclient-smtp-config foo", "unknown smtp-config item [foo] (conf:4)"),
        ("interface nosuchif", "no addresses bound to named network interface \"nosuchif\" (conf:2)"),
        ("immediate", "--immediate has no effect without --forward-to (conf:2)"),
        (
            "admin 10026\ninterface smtp=127.0.0.1",
            "admin server is listening on all addresses: add admin=... to --interface (conf:3)",
        ),
    ] {
        let (code, _, stderr) = check(&format!("spool-dir SPOOL\n{conf}\n"));
        assert_eq!(code, 0, "{stderr}");
        assert_eq!(
            stderr.matches(&format!("emailrelay: warning: {warning}\n")).count(),
            1,
            "{conf}: {stderr}"
        );
    }
    let tls = "spool-dir SPOOL\ntls-config foo\nclient-tls\nforward-to h:25\n";
    let (_, _, stderr) = check(tls);
    assert!(stderr.contains("foo") && stderr.contains("(conf:2)"), "{stderr}");
}

#[test]
fn credentials_of_a_service_are_not_looked_for() {
    let (code, _, stderr) = check("spool-dir SPOOL\nserver-auth @cred/server-auth\n");
    assert_eq!((code, stderr.as_str()), (0, ""));
}

#[test]
fn usual_ports_need_no_drop_in() {
    let said = units("forward-to h:25\nforward-on-disconnect\npoll 60\n");
    assert_eq!(
        said[0],
        "systemctl enable --now emailrelay-smtp.socket emailrelay-submit.socket emailrelay-forward.path emailrelay-forward.timer"
    );
    assert!(!said.iter().any(|line| line.contains(".socket.d")), "{said:?}");
}

#[test]
fn ports_and_addresses_become_streams() {
    let socket = |conf: &str| drop_in(conf, "emailrelay-smtp.socket");
    assert_eq!(socket("port 587"), ["[Socket]", "ListenStream=", "ListenStream=587"]);
    assert_eq!(
        socket("interface 127.0.0.1,::1,pop=10.0.0.1"),
        ["[Socket]", "ListenStream=", "ListenStream=127.0.0.1:25", "ListenStream=[::1]:25"]
    );
    assert_eq!(
        socket("interface 10.0.0.1"),
        ["[Socket]", "ListenStream=", "ListenStream=10.0.0.1:25", "FreeBind=yes"]
    );
    assert_eq!(
        socket("interface eth0-ipv4"),
        ["[Socket]", "ListenStream=", "ListenStream=0.0.0.0:25", "BindToDevice=eth0"]
    );
    assert_eq!(
        socket("interface /run/smtp.s"),
        [
            "[Socket]",
            "ListenStream=",
            "ListenStream=/run/smtp.s",
            "SocketGroup=emailrelay",
            "SocketMode=0660"
        ]
    );
    let admin = |conf: &str| drop_in(conf, "emailrelay-admin.socket");
    assert_eq!(
        admin("admin 10026\ninterface smtp=127.0.0.1"),
        ["[Socket]", "ListenStream=127.0.0.1:10026", "ListenStream=[::1]:10026"]
    );
    let mixed = units("interface eth0,127.0.0.1");
    assert!(mixed.iter().any(|line| line.contains("give the addresses of eth0 instead")), "{mixed:?}");
}

#[test]
fn times_directories_networks_and_names_become_drop_ins() {
    let poll = "forward-to h:25\npoll 300";
    assert_eq!(
        drop_in(poll, "emailrelay-forward.timer"),
        ["[Timer]", "OnUnitInactiveSec=", "OnBootSec=15", "OnUnitInactiveSec=300"]
    );
    assert!(!units(poll)[0].contains(".path"));
    let spool = drop_in(poll, "emailrelay-forward.service");
    assert!(spool.iter().any(|line| line.starts_with("ReadWritePaths=/")), "{spool:?}");
    let network = drop_in("filter net:127.0.0.1:700,spam:192.0.2.7:783", "emailrelay-smtp.service");
    let end = ["IPAddressDeny=any", "IPAddressAllow=localhost", "IPAddressAllow=192.0.2.7"];
    assert_eq!(network[network.len() - 3..], end, "{network:?}");
    let at_once = drop_in("immediate\nforward-to 192.0.2.9:25\nclient-auth auth", "emailrelay-smtp.service");
    for line in ["PrivateNetwork=no", "IPAddressAllow=192.0.2.9", "LoadCredential="] {
        assert!(at_once.iter().any(|is| is.starts_with(line)), "{line}: {at_once:?}");
    }
    let known = units("server-auth @cred/server-auth\n");
    assert!(!known.iter().any(|line| line.starts_with("LoadCredential")), "{known:?}");
    let instance = units("in-spool-dir ./.\nin-port 26\n");
    assert!(instance.iter().any(|line| line.contains("emailrelay-smtp@in.socket.d")), "{instance:?}");
}

/// The lines of the drop-in for one process.
fn one_process(conf: &str) -> Vec<String> {
    let (code, stdout, stderr) = check(&format!("spool-dir .\n{conf}"));
    assert_eq!(code, 0, "{stderr}");
    let (_, after) =
        stdout.split_once("# Or all roles in one process, with the options as they are:\n").unwrap();
    after.lines().map(|line| line.trim_start_matches(['#', ' ']).to_owned()).collect()
}

#[test]
fn files_that_the_service_may_not_read_become_credentials_of_their_own_names() {
    let conf = "as-server\nforward-to h:25\nforward-on-disconnect\nclient-auth auth\nserver-auth auth\n";
    let credential = |line: &String| line.starts_with("LoadCredential=") && line.ends_with("/auth");
    for unit in ["emailrelay-smtp.service", "emailrelay-forward.service"] {
        let lines = drop_in(conf, unit);
        let line = lines.iter().find(|line| credential(line)).unwrap();
        // The path tells the name, so that nothing in the configuration changes.
        let (name, path) = line.trim_start_matches("LoadCredential=").split_once(':').unwrap();
        assert_eq!(format!("/{}", name.replace('+', "/")), path, "{lines:?}");
    }
    assert_eq!(one_process(conf).iter().filter(|line| credential(line)).count(), 1);
    assert!(!drop_in("pop\npop-auth @cred/x\n", "emailrelay-pop.service").iter().any(credential));
}

#[test]
fn logs_and_pid_files_go_where_the_user_of_the_service_may_write() {
    let log = drop_in("log-file /var/log/emailrelay-%d", "emailrelay-smtp.service");
    let lines =
        ["LogsDirectory=emailrelay", "LogsDirectoryMode=0750", "BindPaths=/var/log/emailrelay:/var/log"];
    assert_eq!(log[log.len() - 3..], lines);
    let own = drop_in("log-file /var/log/emailrelay/x/%d.log", "emailrelay-smtp.service");
    assert_eq!(own[own.len() - 2..], ["LogsDirectory=emailrelay/x", "LogsDirectoryMode=0750"]);
    let pid = one_process("pid-file /var/run/emailrelay/emailrelay.pid\ninterface /run/mail/smtp.s");
    for line in
        ["RuntimeDirectory=emailrelay", "RuntimeDirectory=mail", "RuntimeDirectoryPreserve=yes", "[Service]"]
    {
        assert_eq!(pid.iter().filter(|is| *is == line).count(), 1, "{line}: {pid:?}");
    }
    let top = one_process("pid-file /run/emailrelay.pid");
    assert!(top.iter().any(|line| line.contains("/run/emailrelay.pid is not made")), "{top:?}");
    let elsewhere = one_process("delivery-dir \"/srv/in box\"\n");
    assert!(elsewhere.contains(&"ReadWritePaths=\"/srv/in box\"".to_owned()), "{elsewhere:?}");
    let home = one_process("delivery-dir /home/100%/mail\n");
    assert!(home.contains(&"BindPaths=/home/100%%/mail".to_owned()), "{home:?}");
    assert!(home.contains(&"ProtectHome=tmpfs".to_owned()), "{home:?}");
}
