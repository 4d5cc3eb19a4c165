//! Receiving, POP, administration.

use super::{Kind, Old, Opt, Roles, Section, opt};

const SERVER: Section = Section::Server;
const POP: Section = Section::Pop;
const ADMIN: Section = Section::Admin;
const SMTP_ROLE: Roles = Roles::SMTP.with(Roles::RELAY);
const POP_ROLE: Roles = Roles::POP.with(Roles::RELAY);
const ADMIN_ROLE: Roles = Roles::ADMIN.with(Roles::RELAY);
const SERVERS: Roles = Roles::SERVERS.with(Roles::RELAY);
const BOTH: Roles = SMTP_ROLE.with(Roles::FORWARD).with(Roles::ADMIN);

#[rustfmt::skip]
pub(super) const ROWS: &[Opt] = &[
    opt("port", SERVER, 2, SMTP_ROLE, "Port of the SMTP server; 0 lets the system choose.")
        .short('p').value(Kind::Port, "port").default("25").sample("587"),
    opt("remote-clients", SERVER, 2, SERVERS,
        "Allows clients from everywhere. Without it only this host and private networks may connect.").short('r'),
    opt("address-verifier", SERVER, 3, SMTP_ROLE,
        "Checks each recipient: a program, net:host:port for a server, or account: for the accounts of this machine.")
        .value(Kind::Program, "program").sample("/usr/local/sbin/emailrelay-verifier"),
    opt("anonymous", SERVER, 3, BOTH,
        "Hides all, or what is listed of: vrfy (the command), server (its name and version), content (the Received line), \
         client (who submitted a message, from the next server).")
        .short('A').value(Kind::Scopes, "scope"),
    opt("delivery-dir", SERVER, 3, BOTH.with(Roles::POP),
        "Directory for the mailboxes of local recipients, which the filter deliver: writes to. The default is the spool directory.")
        .value(Kind::Path, "dir").sample("/var/spool/emailrelay/in"),
    opt("dnsbl", SERVER, 3, SMTP_ROLE, "Refuses clients that are in DNS block lists.")
        .value(Kind::Text, "config").list().sample("spam.dnsbl.example.com,block.dnsbl.example.com,1,1000,1.1.1.1:53"),
    opt("domain", SERVER, 3, BOTH.with(Roles::POP),
        "Name of this host in greetings, EHLO and Received lines. The default comes from the host's own name.")
        .short('D').value(Kind::Text, "fqdn").sample("smtp.example.com"),
    opt("filter", SERVER, 3, SMTP_ROLE, "Runs a filter on each message before it is acknowledged; several run one after another.")
        .short('z').value(Kind::Program, "program").list().sample("/usr/local/sbin/emailrelay-filter"),
    opt("filter-timeout", SERVER, 3, BOTH, "Limit for each filter and verifier; 0 for none.")
        .short('W').value(Kind::Seconds, "seconds").default("60").sample("10"),
    opt("interface", SERVER, 3, SERVERS,
        "Where to listen: addresses, names of network interfaces (eth0, eth0-ipv4), unix sockets (/path, @abstract), inherited sockets \
         (fd#3, fd:name) or * for all. A prefix smtp=, pop= or admin= restricts an item to that server.")
        .short('I').value(Kind::Interfaces, "ip-address-list").list().sample("127.0.0.1,smtp=eth0"),
    opt("prompt-timeout", SERVER, 3, super::forward::FORWARD,
        "Limit for the greeting of the server that messages are sent on to, after which it is done without; 0 for none.")
        .short('w').value(Kind::Seconds, "seconds").default("20").sample("3"),
    opt("server-smtp-config", SERVER, 3, SMTP_ROLE,
        "Switches parts of the SMTP server on or off: pipelining, chunking, smtputf8, smtputf8strict, strictparsing, strictaddress, \
         enhancedstatuscodes, alabels, linger, dnsblreply, dnsbldefer; and barelf=accept, barelf=smuggling or barelf=reject for bare line ends.")
        .short('Z').value(Kind::Text, "config").list().sample("+chunking,+smtputf8"),
    opt("size", SERVER, 3, SMTP_ROLE, "Largest message in bytes, or with k, m or g behind the number; 0 for no limit.")
        .short('M').value(Kind::Size, "bytes").default("0").sample("10000000"),
    opt("smtp-auth-delay", SERVER, 4, SMTP_ROLE,
        "How long the first refused login waits for its reply; later ones wait longer, the fifth ends the connection, and an address \
         with many of them is turned away for a while. 0 for none of this.")
        .value(Kind::Duration, "time").default("1").sample("1"),
    opt("smtp-max-connections", SERVER, 4, SMTP_ROLE,
        "SMTP connections at the same time. The default is 1000, or less when the system allows fewer open files.")
        .value(Kind::Number(1, 1_000_000), "number").sample("1000"),
    opt("smtp-max-per-address", SERVER, 4, SMTP_ROLE,
        "SMTP connections at the same time from one address other than this host; 0 for no limit.")
        .value(Kind::Number(0, 1_000_000), "number").default("100").sample("100"),
    opt("smtp-max-recipients", SERVER, 4, SMTP_ROLE, "Recipients of one message.")
        .value(Kind::Number(1, 1_000_000), "number").default("10000").sample("10000"),
    opt("verifier-parallel", SERVER, 4, SMTP_ROLE, "Recipients that are checked at the same time; others wait for their turn.")
        .value(Kind::Number(1, 1_000), "number").default("10").sample("10"),
    opt("filter-max", SERVER, 5, BOTH,
        "Filter programs that run at the same time. Default: four for each processor, at least 8.")
        .value(Kind::Number(1, 10_000), "number").sample("16"),
    opt("filter-queue-timeout", SERVER, 5, BOTH,
        "How long a message may wait for its turn when so many filters run; after that its client is told to try again.")
        .value(Kind::Duration, "time").default("30").sample("30"),
    opt("scanner", SERVER, super::HIDDEN, SMTP_ROLE, "").value(Kind::Text, "address").old(Old::Filter("net:")),
    opt("verifier", SERVER, super::HIDDEN, SMTP_ROLE, "")
        .value(Kind::Program, "program").old(Old::Renamed("address-verifier")),

    opt("pop", POP, 3, POP_ROLE, "Serves the spooled messages to POP clients. Always on in emailrelay-pop.").short('B'),
    opt("pop-by-name", POP, 3, POP_ROLE, "Gives each POP user a sub-directory of the spool directory.").short('J'),
    opt("pop-no-delete", POP, 3, POP_ROLE, "Keeps messages that POP clients delete.").short('G'),
    opt("pop-port", POP, 3, POP_ROLE, "Port of the POP server.")
        .short('E').value(Kind::Port, "port").default("110").sample("995"),
    opt("pop-tls-connection", POP, 3, POP_ROLE,
        "Encrypts connections of POP clients from their start, on the port of --pop-port. With sockets of the service manager the name of \
         the socket decides: pops is encrypted."),
    opt("pop-auth-delay", POP, 4, POP_ROLE,
        "How long the first refused login of an address waits for its reply; later ones wait longer, up to sixteen times, and an address \
         with twenty of them in ten minutes is not served for ten minutes. 0 for none of this.")
        .value(Kind::Duration, "time").default("1").sample("1"),
    opt("pop-max-connections", POP, 4, POP_ROLE, "POP connections at the same time.")
        .value(Kind::Number(1, 1_000_000), "number").default("200").sample("200"),
    opt("pop-max-per-address", POP, 4, POP_ROLE,
        "POP connections at the same time from one address other than this host; 0 for no limit.")
        .value(Kind::Number(0, 1_000_000), "number").default("20").sample("20"),

    opt("admin", ADMIN, 3, ADMIN_ROLE, "TCP port of the administration server; without it there is none, but for sockets of the service manager.")
        .short('a').value(Kind::Port, "port").sample("10026"),
    opt("admin-terminate", ADMIN, 3, ADMIN_ROLE, "Enables the terminate command.").short('Q'),
    opt("admin-tcp-role", ADMIN, 4, ADMIN_ROLE,
        "What administrators may do over TCP: full, everything; operator, see to it that mail moves; read-only, look. On unix sockets user and groups decide.")
        .value(Kind::Choice(&["full", "operator", "read-only"]), "role").default("full").sample("read-only"),
];
