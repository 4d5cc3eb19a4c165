//! Sending on.

use super::{Kind, Opt, Roles, Section, opt};

const CLIENT: Section = Section::Client;
/// Who makes connections to a next hop: administration does for `flush`, and the SMTP server with `--immediate`.
pub(super) const FORWARD: Roles = Roles::FORWARD.with(Roles::ADMIN).with(Roles::RELAY).with(Roles::AT_ONCE);
const RUNS: Roles = Roles::FORWARD.with(Roles::RELAY);
const RECEIVE: Roles = Roles::SMTP.with(Roles::RELAY);

#[rustfmt::skip]
pub(super) const ROWS: &[Opt] = &[
    opt("client-smtp-config", CLIENT, 3, FORWARD,
        "Switches parts of the SMTP client on or off: pipelining, smtputf8strict, eightbitstrict, binarymimestrict, linger, size, \
         chunking, shortdot, immediatedelete, compat26.")
        .short('c').value(Kind::Text, "config").list().sample("+eightbitstrict,-pipelining"),
    opt("forward", CLIENT, 3, RUNS, "Sends the spooled messages on at start-up.").short('f'),
    opt("forward-on-disconnect", CLIENT, 3, RECEIVE,
        "Sends the spooled messages on whenever an SMTP client disconnects.").short('1'),
    opt("forward-to", CLIENT, 3, FORWARD,
        "Address of the server that the messages are sent on to, as host:port or as the path of a unix socket.")
        .short('o').value(Kind::Address, "host:port").sample("smtp.example.com:25"),
    opt("poll", CLIENT, 3, Roles::RELAY, "Sends the spooled messages on at regular intervals.")
        .short('O').value(Kind::Period, "seconds").sample("60"),
    opt("client-filter", CLIENT, 4, FORWARD, "Runs a filter on each message before it is sent on.")
        .short('Y').value(Kind::Program, "program").list().sample("/usr/local/sbin/emailrelay-client-filter"),
    opt("client-interface", CLIENT, 4, FORWARD,
        "Local address of outgoing connections. Its family is also the only one that is looked up.")
        .short('6').value(Kind::LocalAddress, "ip-address").sample("10.0.0.2"),
    opt("connection-timeout", CLIENT, 4, FORWARD.with(Roles::SMTP).with(Roles::POP),
        "Limit for lookup, connecting and TLS handshakes, those of our own clients too; 0 for none.")
        .short('U').value(Kind::Seconds, "seconds").default("40").sample("10"),
    opt("forward-connections", CLIENT, 4, FORWARD, "Connections at the same time to one destination.")
        .value(Kind::Number(1, 1_000), "number").default("4").sample("4"),
    opt("forward-connections-max", CLIENT, 4, FORWARD, "Connections at the same time to all destinations.")
        .value(Kind::Number(1, 10_000), "number").default("16").sample("16"),
    opt("forward-idle", CLIENT, 4, Roles::RELAY,
        "Keeps connections open for so long after they were last used, so that the next run need not make new ones; 0 for not at all.")
        .value(Kind::Duration, "time").default("0").sample("60"),
    opt("idle-timeout", CLIENT, 4, Roles::SMTP.with(Roles::POP).with(Roles::RELAY),
        "Limit for a client's silence, in the SMTP and POP servers; 0 for none.")
        .value(Kind::Seconds, "seconds").default("1800").sample("2"),
    opt("linger", CLIENT, 4, Roles::FORWARD,
        "Stays so long after a run, with its connections open, for messages that follow closely.")
        .value(Kind::Duration, "seconds").process_wide().default("0").sample("30"),
    opt("response-timeout", CLIENT, 4, FORWARD, "Limit for each reply of the server; 0 for none.")
        .short('T').value(Kind::Seconds, "seconds").default("1800").sample("2"),
    opt("retry-first", CLIENT, 4, FORWARD,
        "Wait before a message that failed temporarily is sent again; doubles with each failure.")
        .value(Kind::Duration, "time").default("300").sample("5m"),
    opt("retry-give-up", CLIENT, 4, FORWARD,
        "A message that still fails so long after its first attempt is given up; 0 for never.")
        .value(Kind::Duration, "time").default("5d").sample("5d"),
    opt("retry-max", CLIENT, 4, FORWARD, "Longest wait before a message is sent again.")
        .value(Kind::Duration, "time").default("14400").sample("4h"),
    opt("busy-timeout", CLIENT, 5, FORWARD,
        "A message marked as being sent, but locked by nobody for so long, is taken back. Default: 600, which protects an old version \
         that uses the same spool directory; in emailrelay-forward 0.")
        .value(Kind::Duration, "time").sample("10m"),
    opt("forward-to-all", CLIENT, 5, FORWARD,
        "Sends a message only if no recipient is refused. This is the default."),
    opt("forward-to-default-port", CLIENT, 5, FORWARD, "Lets the address of the server do without a port, which is then 25."),
    opt("forward-to-some", CLIENT, 5, FORWARD, "Sends a message even if some of its recipients are refused."),
    opt("immediate", CLIENT, 5, RECEIVE, "Sends each message on before it is acknowledged.").short('m'),
    opt("in-doubt", CLIENT, 5, FORWARD,
        "What to do with a message that was sent but never answered: retry, so that it may arrive twice, or fail.")
        .value(Kind::Choice(&["retry", "fail"]), "retry|fail").default("retry").sample("retry"),
    opt("strict-exit", CLIENT, 5, RUNS, "Ends with exit code 3 when messages failed.").process_wide(),
];
