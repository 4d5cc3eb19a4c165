//! `--help`: what the table says, in columns.

use super::Program;
use super::table::{self, Arity, Opt, Section};
use super::version::COPYRIGHT;
use crate::{PRODUCT, VERSION};

/// Options up to this level are in the short help.
const BASIC_LEVEL: u8 = 2;
const BASIC_COLUMN: usize = 30;
const FULL_COLUMN: usize = 42;

/// The text of `--help` for the program, called `name`, on a terminal `columns` wide; 0 is without end.
pub(super) fn text(program: Program, name: &str, verbose: bool, columns: usize) -> String {
    let mut options: Vec<&Opt> = table::all().filter(|opt| opt.is_visible() && program.has(opt)).collect();
    options.sort_by_key(|opt| (opt.level, opt.name));
    let mut text = format!("{PRODUCT} V{VERSION}\n\n");
    if verbose {
        text.push_str(&usage("usage", name, &options, columns));
        for section in Section::ALL {
            let in_section: Vec<&&Opt> = options.iter().filter(|opt| opt.section == section).collect();
            if !in_section.is_empty() {
                text.push_str(&format!("\n{}\n", section.title()));
                in_section.iter().for_each(|opt| text.push_str(&block(opt, FULL_COLUMN, columns)));
            }
        }
        text.push_str(&examples(program, name));
    } else {
        options.retain(|opt| opt.level <= BASIC_LEVEL);
        text.push_str(&usage("abbreviated usage", name, &options, columns));
        text.push('\n');
        options.iter().for_each(|opt| text.push_str(&block(opt, BASIC_COLUMN, columns)));
        text.push_str(&format!("\nFor complete usage information run \"{name} --help --verbose\"\n"));
    }
    text + &format!("\n{COPYRIGHT}\n")
}

fn usage(title: &str, name: &str, options: &[&Opt], columns: usize) -> String {
    let switch = |opt: &&&Opt| opt.kind.arity() == Arity::None;
    let letters: String = options.iter().filter(switch).filter_map(|opt| opt.short).collect();
    let mut words = vec![format!("{title}: {name}")];
    if !letters.is_empty() {
        words.push(format!("[-{letters}]"));
    }
    for opt in options.iter().filter(|opt| !(switch(opt) && opt.short.is_some())) {
        words.push(format!("[{}]", long(opt)));
    }
    words.push("[<config-file>]".to_owned());
    wrap(&words, "", "  ", columns) + "\n"
}

fn long(opt: &Opt) -> String {
    let (name, value) = (opt.name, opt.metavar);
    match opt.kind.arity() {
        Arity::None => format!("--{name}"),
        Arity::Optional => format!("--{name}[=<{value}>]"),
        Arity::Required => format!("--{name}=<{value}>"),
    }
}

/// One option: its spelling, and its description at a column, on the next line when the spelling is too long.
fn block(opt: &Opt, column: usize, columns: usize) -> String {
    let letter = opt.short.map_or_else(|| "    ".to_owned(), |letter| format!("-{letter}, "));
    let spelling = format!("  {letter}{}", long(opt));
    let indent = " ".repeat(column);
    let first =
        if spelling.len() < column { format!("{spelling:column$}") } else { format!("{spelling}\n{indent}") };
    let mut description = opt.help.to_owned();
    if !opt.default.is_empty() {
        description = format!("{description} Default: {}.", opt.default);
    }
    let words: Vec<String> = description.split(' ').map(str::to_owned).collect();
    let width = if columns == 0 { 0 } else { columns.saturating_sub(column).max(20) };
    let lines = wrap(&words, "", "", width).replace('\n', &format!("\n{indent}"));
    format!("{first}{lines}\n")
}

/// Words in lines of at most `columns`, if that is not 0; a word is never cut.
fn wrap(words: &[String], first: &str, next: &str, columns: usize) -> String {
    let mut text = String::new();
    let mut line = first.to_owned();
    let mut empty = true;
    for word in words {
        let length = line.chars().count() + usize::from(!empty) + word.chars().count();
        if !empty && columns != 0 && length > columns {
            text.push_str(&line);
            text.push('\n');
            next.clone_into(&mut line);
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    text + &line
}

fn examples(program: Program, name: &str) -> String {
    let examples: [(&str, &str); 3] = match program {
        Program::Relay => [
            (
                "Take mail in on port 587, in the background:",
                "--as-server --port=587 --spool-dir=/var/spool/emailrelay",
            ),
            ("Send the spooled mail on, and end:", "--as-client=smtp.example.com:25"),
            (
                "Send mail on as soon as it has come in:",
                "--as-proxy=smtp.example.com:25 --domain=relay.example.com",
            ),
        ],
        Program::Smtp => [
            ("On the sockets the service manager holds:", "/etc/emailrelay.conf"),
            ("On a port of this host only:", "--interface=localhost --port=2525 --spool-dir=./spool"),
            ("See what a configuration file means:", "--check /etc/emailrelay.conf"),
        ],
        Program::Pop => [
            ("On the sockets the service manager holds:", "/etc/emailrelay.conf"),
            (
                "On a port of this host only:",
                "--interface=localhost --pop-port=1110 --pop-auth=./pop.auth --spool-dir=./spool",
            ),
            ("See what a configuration file means:", "--check /etc/emailrelay.conf"),
        ],
        Program::Forward => [
            ("Send the spooled mail on, and end:", "--forward-to=smtp.example.com:25"),
            ("As configured, and stay for half a minute:", "--linger=30 /etc/emailrelay.conf"),
            ("See what a configuration file means:", "--check /etc/emailrelay.conf"),
        ],
        Program::Admin => [
            ("On the socket the service manager holds:", "/etc/emailrelay.conf"),
            ("On a socket of one's own:", "--interface=admin=/run/admin.s --spool-dir=./spool"),
            ("On a TCP port of this host only:", "--admin=10026 --interface=127.0.0.1 --spool-dir=./spool"),
        ],
    };
    let lines = examples.map(|(what, how)| format!("\n{what}\n  {name} {how}\n"));
    lines.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_options_are_those_people_know_in_their_order() {
        let text = text(Program::Relay, "emailrelay", false, 79);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], format!("E-MailRelay V{VERSION}"));
        assert_eq!(lines[1], "");
        assert!(lines[2].starts_with("abbreviated usage: emailrelay [-dvhlrV] [--as-client=<host:port>]"));
        assert!(lines[3].starts_with("  ["), "{}", lines[3]);
        let shown: Vec<&str> = lines
            .iter()
            .filter(|line| line.starts_with("  -"))
            .map(|line| line.get(6..).unwrap_or(""))
            .collect();
        let names: Vec<&str> =
            shown.iter().map(|line| line.trim_start_matches('-').split(['=', ' ']).next().unwrap()).collect();
        assert_eq!(
            names,
            [
                "as-client",
                "as-proxy",
                "as-server",
                "spool-dir",
                "verbose",
                "help",
                "log",
                "port",
                "remote-clients",
                "version"
            ]
        );
        assert!(text.contains("\nFor complete usage information run \"emailrelay --help --verbose\"\n"));
        assert!(text.ends_with(&format!("\n\n{COPYRIGHT}\n")));
    }

    #[test]
    fn the_full_help_has_all_sections_and_columns() {
        let text = text(Program::Relay, "emailrelay", true, 79);
        let mut rest = text.as_str();
        for section in Section::ALL {
            let heading = format!("\n\n{}\n", section.title());
            rest = rest.split_once(&heading).unwrap_or_else(|| panic!("{heading}")).1;
        }
        assert!(text.contains("      --idle-timeout=<seconds>            Limit for"), "column 42");
        assert!(text.contains("--syslog[=<facility>]"));
        assert!(text.contains("Default: 1800."));
        assert!(!text.contains("--hidden") && !text.contains("--generate-sample"));
        assert!(text.lines().all(|line| line.len() <= 79 || line.contains("  emailrelay ")), "width");
    }

    #[test]
    fn width_zero_does_not_wrap() {
        let text = text(Program::Relay, "emailrelay", true, 0);
        assert!(text.lines().filter(|line| line.contains("--interface=")).count() >= 2);
        assert!(!text.lines().any(|line| line.starts_with("                                          ")
            && line.len() < 80
            && line.trim().split(' ').count() == 1));
    }

    #[test]
    fn role_programs_show_their_own_options() {
        let smtp = text(Program::Smtp, "emailrelay-smtp", true, 79);
        assert!(
            smtp.contains("--idle-exit=") && !smtp.contains("--forward-to=") && !smtp.contains("--pid-file")
        );
        let forward = text(Program::Forward, "emailrelay-forward", true, 79);
        assert!(forward.contains("--linger=") && !forward.contains("--port="));
        assert!(!forward.contains("Admin server options"));
    }
}
