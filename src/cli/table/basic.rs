//! Modes, help, and what is read at all.

use super::{Kind, Opt, Roles, Section, opt};

const BASIC: Section = Section::Basic;

#[rustfmt::skip]
pub(super) const ROWS: &[Opt] = &[
    opt("as-client", BASIC, 1, Roles::FORWARD.with(Roles::RELAY),
        "Sends the spooled messages to the given server and ends. Short for --log, --no-syslog, --no-daemon, --dont-serve, \
         --forward and --forward-to.")
        .short('q').value(Kind::Address, "host:port").sample("smtp.example.com:25"),
    opt("as-proxy", BASIC, 1, Roles::FORWARD.with(Roles::SMTP).with(Roles::RELAY),
        "Takes messages in and sends them on to the given server when the client disconnects. Short for --log, \
         --close-stderr, --forward-on-disconnect and --forward-to.")
        .short('y').value(Kind::Address, "host:port").sample("smtp.example.com:25"),
    opt("as-server", BASIC, 1, Roles::RELAY,
        "Takes messages in and spools them, in the background. Short for --log and --close-stderr.")
        .short('d').process_wide(),
    opt("spool-dir", BASIC, 1, Roles::ALL,
        "Directory for the messages that have been received and not yet sent on.")
        .short('s').value(Kind::Path, "dir").default("/var/spool/emailrelay").sample("/var/spool/emailrelay"),
    opt("help", BASIC, 2, Roles::ALL, "Shows this text, all of it together with --verbose, and ends.")
        .short('h').process_wide().command_line_only(),
    opt("version", BASIC, 2, Roles::ALL, "Shows the version, and what is built in together with --verbose, and ends.")
        .short('V').process_wide().command_line_only(),
    opt("check", BASIC, 3, Roles::ALL,
        "Reads all options, checks them, shows what is in force, and ends without serving or sending anything.")
        .alias("check-config").process_wide().command_line_only(),
    opt("config", BASIC, 3, Roles::ALL,
        "Configuration file, as if named behind the options; or a directory, whose *.conf files are read in the order of their names.")
        .value(Kind::Text, "path").list().process_wide().command_line_only(),
    opt("instance", BASIC, 3, Roles::ALL,
        "Serves only the instance of this name, that is, the options with this prefix.")
        .value(Kind::Text, "name").process_wide().command_line_only(),
    opt("generate-sample-config", BASIC, super::HIDDEN, Roles::RELAY,
        "Prints a configuration file with every option, commented out.")
        .process_wide().command_line_only(),
];
