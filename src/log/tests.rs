//! The log as a whole. A process has one log, so most of these run in a process of their own.

use std::fs;
use std::io::Read;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use super::*;
use crate::os::tests::{is_child, rerun};

const ID: &str = "emailrelay.1234.1795170487.1";

fn protocol(kind: &'static Kind, text: &str) -> Event {
    Event::Protocol { kind, text: text.to_owned(), fields: Fields::default() }
}

fn stored() -> Event {
    ServerEvent::Stored {
        id: ID.to_owned(),
        from: "a@example.com".to_owned(),
        to: vec!["b@example.com".to_owned()],
        size: 42,
        client: "192.0.2.7".to_owned(),
        user: None,
    }
    .into()
}

/// Our lines of what a child wrote to stderr.
fn lines(output: &Output) -> Vec<String> {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    text.lines().filter(|line| line.starts_with("emailrelay: ")).map(str::to_owned).collect()
}

fn run(mut command: Command) -> Output {
    let output = command.output().expect("child");
    assert!(output.status.success(), "{output:?}");
    output
}

#[test]
fn lines_go_to_stderr_as_the_level_says() {
    if !is_child() {
        let output = run(rerun("log::tests::lines_go_to_stderr_as_the_level_says"));
        let expected = [
            "emailrelay: info: message stored [emailrelay.1234.1795170487.1]: from=<a@example.com> to=<b@example.com> \
             size=42 client=192.0.2.7",
            "emailrelay: warning: 192.0.2.7; very long line detected: 2000 > 1000",
            "emailrelay: info: 192.0.2.7; rx<<: \"QUIT\"",
        ];
        assert_eq!(lines(&output), expected);
        return;
    }
    let format = Format { address: true, ..Format::default() };
    let log = init(&LogConfig { format, ..LogConfig::default() }).expect("init");
    assert!(init(&LogConfig::default()).is_err(), "once");
    let peer = Context::default().with_peer("192.0.2.7", Some(1));
    emit(&Context::default(), &stored());
    emit(&peer, &protocol(kind::LONG_LINE, "very long line detected: 2000 > 1000"));
    assert!(is_enabled(Level::Info) && !is_enabled(Level::Verbose));
    emit(&peer, &protocol(kind::TRACE, "rx<<: \"not shown\""));
    log.set_level(Some(Level::Extra));
    emit(&peer, &protocol(kind::TRACE, "rx<<: \"QUIT\""));
    emit(&peer, &SpoolEvent::LockFailed { id: ID.to_owned() }.into());
    log.set_level(None);
    emit(&Context::default(), &stored());
    tracing::info!("events of others are not ours");
}

#[test]
fn stderr_can_be_quiet_and_closed() {
    if !is_child() {
        let output = run(rerun("log::tests::stderr_can_be_quiet_and_closed"));
        assert_eq!(lines(&output), ["emailrelay: warning: failed to save message content"]);
        return;
    }
    let log = init(&LogConfig { stderr: Stderr::Warnings, ..LogConfig::default() }).expect("init");
    let failed = ServerEvent::SaveFailed { id: ID.to_owned(), reason: "no space left on device".to_owned() };
    emit(&Context::default(), &stored());
    emit(&Context::default(), &failed.clone().into());
    log.close_stderr().expect("close");
    emit(&Context::default(), &failed.into());
}

#[test]
fn the_writer_thread_writes_everything_before_the_end() {
    const COUNT: usize = 2000;
    if let Some(file) = std::env::var_os("LOG_FILE") {
        let file = Some(file.to_string_lossy().into_owned());
        let mut log = init(&LogConfig { file, ..LogConfig::default() }).expect("init");
        emit(&Context::default(), &stored());
        log.start_writer().expect("writer");
        for _ in 0..COUNT {
            emit(&Context::default(), &stored());
        }
        log.flush();
        for _ in 0..30 {
            emit(&Context::default().with_peer("192.0.2.7", None), &protocol(kind::LONG_LINE, "long"));
        }
        return;
    }
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("new/log");
    let mut command = rerun("log::tests::the_writer_thread_writes_everything_before_the_end");
    command.env("LOG_FILE", &path);
    let output = run(command);
    assert!(lines(&output).is_empty(), "a log file replaces stderr");
    let text = fs::read_to_string(&path).expect("log");
    assert_eq!(text.matches("message stored").count(), 1 + COUNT);
    assert_eq!(text.matches("warning: long").count(), 10);
    assert!(text.ends_with("emailrelay: warning: last message repeated 20 times\n"), "{text}");
}

#[test]
fn an_impossible_log_file_is_an_error() {
    let file = Some("/proc/nowhere/log".to_owned());
    let error = init(&LogConfig { file, ..LogConfig::default() }).expect_err("impossible").to_string();
    assert_eq!(error, "cannot open log file: /proc/nowhere/log: no such file or directory");
}

#[test]
fn lost_lines_are_reported() {
    let Ok(file) = std::env::var("LOG_FULL") else {
        // /dev/full refuses every write; the path is a link to it first, then a file.
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("log");
        std::os::unix::fs::symlink("/dev/full", &path).expect("link");
        let mut command = rerun("log::tests::lost_lines_are_reported");
        command.env("LOG_FULL", &path);
        run(command);
        let text = fs::read_to_string(&path).expect("log");
        let start = "emailrelay: warning: 2 log lines lost\nemailrelay: info: message stored ";
        assert!(text.starts_with(start) && text.lines().count() == 2, "{text}");
        return;
    };
    let log = init(&LogConfig { file: Some(file.clone()), ..LogConfig::default() }).expect("init");
    emit(&Context::default(), &stored());
    emit(&Context::default(), &stored());
    fs::remove_file(&file).expect("remove");
    log.reopen();
    emit(&Context::default(), &stored());
}

/// Needs root: journald's socket has a fixed path, so the child gets a /run of its own with a socket that stands for journald's.
#[test]
fn the_journal_gets_one_structured_entry() {
    let test = "log::tests::the_journal_gets_one_structured_entry";
    if is_child() {
        let config = LogConfig {
            identifier: "emailrelay-smtp".to_owned(),
            level: Some(Level::Extra),
            format: Format { time: true, ..Format::default() },
            syslog: Some(crate::config::Facility::Mail),
            ..LogConfig::default()
        };
        let _log = init(&config).expect("init");
        emit(&Context::unit("in").with_peer("192.0.2.7", Some(34482)), &stored());
        emit(&Context::default(), &protocol(kind::TRACE, "rx<<: \"a\nPRIORITY=0\""));
        return;
    }
    if !crate::os::identity::is_root() {
        println!("skipped: needs root");
        return;
    }
    let directory = tempfile::tempdir().expect("directory");
    let daemon = UnixDatagram::bind(directory.path().join("socket")).expect("bind");
    daemon.set_read_timeout(Some(Duration::from_secs(10))).expect("timeout");
    let (mut stderr, child_stderr) = std::io::pipe().expect("pipe");
    let itself = rerun(test);
    let script = "mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/journal && touch /run/systemd/journal/socket \
                  && mount --bind \"$0/socket\" /run/systemd/journal/socket \
                  && export JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2) && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["-m", "--propagation", "private", "sh", "-c", script]).arg(directory.path());
    command.arg(itself.get_program()).args(itself.get_args()).env("EMAILRELAY_TEST_CHILD", "1");
    let status = command.stderr(Stdio::from(child_stderr)).stdout(Stdio::null()).status();
    drop(command);
    let mut text = String::new();
    stderr.read_to_string(&mut text).expect("stderr");
    let Ok(status) = status else {
        println!("skipped: needs unshare(1)");
        return;
    };
    assert!(status.success(), "{text}");
    assert!(!text.contains("message stored"), "not to stderr as well: {text}");

    let entry = next_entry(&daemon);
    let has = |name: &str, value: &str| {
        let found: Vec<_> =
            entry.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect();
        assert_eq!(found, [value], "{name}");
    };
    has("MESSAGE_ID", kind::STORED.id);
    has("PRIORITY", "6");
    has("SYSLOG_IDENTIFIER", "emailrelay-smtp");
    has("SYSLOG_FACILITY", "2");
    has("EMAILRELAY_MSGID", ID);
    has("EMAILRELAY_PEER", "192.0.2.7");
    has("EMAILRELAY_FROM", "a@example.com");
    has("EMAILRELAY_RCPTS", "b@example.com");
    has("EMAILRELAY_SIZE", "42");
    has("EMAILRELAY_INSTANCE", "in");
    has("MESSAGE", &format!("emailrelay: info: {}", stored()));
    assert!(!entry.iter().any(|(name, _)| name == "EMAILRELAY_REASON"), "{entry:?}");
    let trace = next_entry(&daemon);
    let priority: Vec<_> = trace.iter().filter(|(name, _)| name == "PRIORITY").collect();
    assert_eq!(priority, [&("PRIORITY".to_owned(), "6".to_owned())]);
}

/// The next entry that is not the empty probe of the journal layer; systemd.io/JOURNAL_NATIVE_PROTOCOL.
fn next_entry(daemon: &UnixDatagram) -> Vec<(String, String)> {
    let mut buffer = vec![0; 65536];
    let mut size = 0;
    while size == 0 {
        size = daemon.recv(&mut buffer).expect("entry");
    }
    let mut rest = &buffer[..size];
    let mut fields = Vec::new();
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let name = String::from_utf8_lossy(&rest[..end]).into_owned();
        rest = &rest[end + 1..];
        if let Some((name, value)) = name.split_once('=') {
            fields.push((name.to_owned(), value.to_owned()));
            continue;
        }
        let length = u64::from_le_bytes(rest[..8].try_into().expect("length")) as usize;
        fields.push((name, String::from_utf8_lossy(&rest[8..8 + length]).into_owned()));
        rest = &rest[8 + length + 1..];
    }
    fields
}

#[test]
fn lines_reach_syslog_complete() {
    use super::text::{Style, SyslogLayer};
    use crate::config::Facility;
    use crate::os::syslog::Syslog;
    use tracing_subscriber::layer::SubscriberExt;

    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("log");
    let daemon = UnixDatagram::bind(&path).expect("bind");
    daemon.set_read_timeout(Some(Duration::from_secs(5))).expect("timeout");
    let style = Style { program: "emailrelay".to_owned(), time: true, prefixed: false };
    let layer = SyslogLayer::new(style, Syslog::at(&path, "emailrelay", Facility::Mail));
    let subscriber = tracing_subscriber::Registry::default().with(layer);
    let emitted = [
        stored(),
        protocol(kind::TRACE, "rx<<: \"QUIT\""),
        SpoolEvent::LockFailed { id: ID.to_owned() }.into(),
        ServerEvent::SaveFailed { id: ID.to_owned(), reason: String::new() }.into(),
    ];
    tracing::subscriber::with_default(subscriber, || {
        for event in &emitted {
            super::carrier::Record::new(Format::default(), &Context::default(), event).dispatch();
        }
    });
    let next = || {
        let mut buffer = [0; 2048];
        let size = daemon.recv(&mut buffer).expect("line");
        String::from_utf8_lossy(&buffer[..size]).into_owned()
    };
    let pid = std::process::id();
    let line = next();
    assert!(line.starts_with("<22>"), "{line}");
    assert!(line.ends_with(&format!(" emailrelay[{pid}]: emailrelay: info: {}", stored())), "{line}");
    assert!(next().starts_with("<22>"));
    let last = next();
    assert!(
        last.starts_with("<20>") && last.ends_with("warning: failed to save message content"),
        "no debug: {last}"
    );
}
