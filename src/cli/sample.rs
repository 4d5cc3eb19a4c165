//! The sample configuration file, made from the option table.

use super::table::{self, Opt, Section};
use crate::PRODUCT;

/// The option that is not commented out in the sample.
const ACTIVE: &str = "spool-dir";

/// A configuration file with every option that can be in one, all commented out but the spool directory.
#[must_use]
pub fn emailrelay_conf() -> String {
    let mut text = format!(
        "#\n# {PRODUCT} configuration\n#\n\
         # One option per line: its name without dashes, then its value. Lines that start with # are comments.\n\
         # All programs read this file: each takes what concerns it and skips what concerns another one.\n\
         # See what it means with: emailrelay --check <this file>\n#\n"
    );
    for section in Section::ALL {
        let rows = || table::all().filter(|opt| opt.section == section && opt.is_visible() && opt.in_file);
        if rows().next().is_some() {
            text.push_str(&format!("\n#\n# {}\n#\n", section.title()));
            rows().for_each(|opt| text.push_str(&entry(opt)));
        }
    }
    text
}

fn entry(opt: &Opt) -> String {
    let name = opt.name;
    let format = if opt.metavar.is_empty() { name.to_owned() } else { format!("{name} <{}>", opt.metavar) };
    let example = if opt.sample.is_empty() { name.to_owned() } else { format!("{name} {}", opt.sample) };
    let hash = if name == ACTIVE { "" } else { "#" };
    let default =
        if opt.default.is_empty() { String::new() } else { format!("# Default: {}\n", opt.default) };
    format!(
        "\n# Name: {name}\n# Format: {format}\n# Description: {}\n{default}#\n{hash}{example}\n",
        opt.help.replace("--", "")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_spool_directory_is_active() {
        let text = emailrelay_conf();
        let active: Vec<&str> =
            text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
        assert_eq!(active, ["spool-dir /var/spool/emailrelay"]);
        assert!(
            text.contains("\n# Name: port\n# Format: port <port>\n# Description: Port of the SMTP server;")
        );
        assert!(text.contains("\n#\n#port 587\n"));
        assert!(!text.contains("# Name: help\n") && !text.contains("# Name: hidden\n"));
    }
}
