//! The process and its log.

use super::{Kind, Old, Opt, Roles, Section, opt};

const PROCESS: Section = Section::Process;
const LOGGING: Section = Section::Logging;
const RELAY: Roles = Roles::RELAY;
const ALL: Roles = Roles::ALL;
const HIDDEN: u8 = super::HIDDEN;
const WINDOWS: Old = Old::Ignored("is windows-only");

#[rustfmt::skip]
pub(super) const ROWS: &[Opt] = &[
    opt("dont-serve", PROCESS, 3, RELAY, "Serves neither SMTP nor POP nor administration.").short('x'),
    opt("localedir", PROCESS, 3, ALL, "Directory of message catalogues.")
        .value(Kind::Path, "dir").process_wide().sample("/opt/share/locale")
        .old(Old::Ignored("has no effect, as there are no message catalogues")),
    opt("no-daemon", PROCESS, 3, RELAY, "Stays in the foreground.").short('t').process_wide(),
    opt("no-smtp", PROCESS, 3, RELAY, "Serves no SMTP.").short('X'),
    opt("pid-file", PROCESS, 3, RELAY, "File to write the process number to.")
        .short('i').value(Kind::Path, "path").list().process_wide().sample("/run/emailrelay/emailrelay.pid"),
    opt("user", PROCESS, 3, RELAY, "User to become when started as root; root to stay what it is.")
        .short('u').value(Kind::Text, "username").process_wide().default("daemon").sample("nobody"),
    opt("compat", PROCESS, 4, ALL, "Behaves as the old version did where a site may depend on it. Forwarding: a temporary refusal is final, no pipelining, \
         no SIZE=, one connection unless --forward-connections is given, its words for the reason of a failure. Servers: silent clients are closed \
         without a word, only protocol errors count, no SCRAM, POP without TLS whatever --server-tls-required says.")
        .value(Kind::Choice(&["2.6"]), "version").sample("2.6"),
    opt("durability", PROCESS, 4, ALL,
        "What is done before a message is acknowledged: full, everything is safe on disk; none, the system writes when it likes.")
        .value(Kind::Choice(&["full", "none"]), "full|none").default("full").sample("none"),
    opt("idle-exit", PROCESS, 4, Roles::SERVERS,
        "Ends the program after so long without a client, for the service manager to start it again; 0 for never.")
        .value(Kind::Duration, "time").process_wide().default("0").sample("300"),
    opt("no-sweep", PROCESS, 4, Roles::SMTP.with(Roles::FORWARD).with(RELAY),
        "Only reports files in the spool directory that belong to no message; otherwise those older than a day are removed."),
    opt("stop-timeout", PROCESS, 4, ALL, "How long messages in transfer may take to finish when the program is stopped.")
        .alias("shutdown-timeout").value(Kind::Duration, "time").process_wide().default("20").sample("20"),
    opt("dont-listen", PROCESS, HIDDEN, RELAY, "").old(Old::Renamed("no-smtp")),
    opt("hidden", PROCESS, HIDDEN, RELAY, "").short('H').old(WINDOWS),
    opt("icon", PROCESS, HIDDEN, RELAY, "").value(Kind::Text, "icon").old(WINDOWS),
    opt("peer-lookup", PROCESS, HIDDEN, RELAY, "").old(WINDOWS),
    opt("postmaster", PROCESS, HIDDEN, RELAY, "").old(Old::Ignored("has no meaning any more")),
    opt("show", PROCESS, HIDDEN, RELAY, "").value(Kind::Text, "style").old(WINDOWS),
    opt("test", PROCESS, HIDDEN, RELAY, "").value(Kind::Text, "flag").old(Old::Ignored("is for tests")),

    opt("verbose", LOGGING, 1, ALL, "Logs more, or shows more help; given twice, logs still more.")
        .short('v').value(Kind::Count, "").process_wide(),
    opt("log", LOGGING, 2, ALL, "Logs to standard error and syslog.").short('l').process_wide(),
    opt("debug", LOGGING, 3, ALL, "Logs debug lines.").short('g').process_wide(),
    opt("log-address", LOGGING, 3, ALL, "Adds the client's address to log lines.").process_wide(),
    opt("log-file", LOGGING, 3, ALL,
        "Logs to a file instead of standard error. %d in its name becomes the day, %h the hour.")
        .short('N').value(Kind::Path, "file").process_wide().sample("/var/log/emailrelay-%d"),
    opt("log-format", LOGGING, 3, ALL, "Adds to log lines what is listed of: time, unit, address, port, msgid.")
        .value(Kind::Text, "list").list().process_wide().sample("time,address"),
    opt("log-time", LOGGING, 3, ALL, "Adds the time to log lines.").short('L').process_wide(),
    opt("no-syslog", LOGGING, 3, ALL, "Does not log to syslog.").short('n').process_wide(),
    opt("syslog", LOGGING, 3, ALL,
        "Logs to syslog whatever else is said, under a facility: mail, user, daemon, or local0 to local7.")
        .short('k').value(Kind::Facility, "facility").process_wide(),
    opt("close-stderr", LOGGING, 4, RELAY, "Closes standard error soon after start-up.").short('e').process_wide(),
];
