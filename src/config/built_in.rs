//! Options of the filters of our own: what stands behind `copy:` and its like, separated by `;`.

use std::net::SocketAddr;

use super::dnsbl::name_server;
use super::number;

/// Options of `copy:` and `deliver:`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CopyWords {
    /// `h`, `hardlink`: content is linked, not copied.
    pub hardlink: bool,
    /// `n`, `nodelete`, `no_delete`: the original stays.
    pub nodelete: bool,
    /// `p`, `pop`: content stays in the spool directory, where POP finds it.
    pub pop: bool,
}

/// Options of `split:`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SplitWords {
    /// `raw`: domains that differ in case are different.
    pub raw: bool,
    /// A number: the port that is added to the domain.
    pub port: Option<u16>,
}

/// Options of `mx:`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MxWords {
    /// Name servers in the order in which they are asked; none: those of the system.
    pub servers: Vec<SocketAddr>,
    /// `public`: no addresses of private networks.
    pub public: bool,
}

/// Options of `msgid:`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MsgidWords {
    /// `date`: adds a missing Date.
    pub date: bool,
    /// `from`: adds a missing From.
    pub from: bool,
}

impl CopyWords {
    /// Reads the options; words that mean nothing go to `ignored`.
    pub fn parse(list: &str, ignored: &mut Vec<String>) -> Self {
        let mut words = Self::default();
        for word in items(list) {
            match word {
                "h" | "hardlink" => words.hardlink = true,
                "n" | "nodelete" | "no_delete" => words.nodelete = true,
                "p" | "pop" => words.pop = true,
                _ => ignored.push(word.to_owned()),
            }
        }
        words
    }
}

impl SplitWords {
    /// As [`CopyWords::parse`].
    pub fn parse(list: &str, ignored: &mut Vec<String>) -> Self {
        let mut words = Self::default();
        for word in items(list) {
            let port =
                number::digits(word).and_then(|number| u16::try_from(number).ok()).filter(|port| *port > 0);
            match (word, port) {
                ("raw", _) => words.raw = true,
                (_, Some(port)) => words.port = Some(port),
                (_, None) => ignored.push(word.to_owned()),
            }
        }
        words
    }
}

impl MxWords {
    /// As [`CopyWords::parse`]; what is no option goes to `invalid`. The times of 2.6 between questions are ignored: the
    /// resolver has its own.
    pub fn parse(list: &str, ignored: &mut Vec<String>, invalid: &mut Vec<String>) -> Self {
        let mut words = Self::default();
        for word in items(list) {
            match (word, word.parse().ok().or_else(|| name_server(word))) {
                ("public", _) => words.public = true,
                (_, Some(server)) => words.servers.push(server),
                _ if word.starts_with("nst=") || word.starts_with("rt=") => ignored.push(word.to_owned()),
                _ => invalid.push(word.to_owned()),
            }
        }
        words
    }
}

impl MsgidWords {
    /// As [`CopyWords::parse`].
    pub fn parse(list: &str, ignored: &mut Vec<String>) -> Self {
        let mut words = Self::default();
        for word in items(list) {
            match word {
                "date" => words.date = true,
                "from" => words.from = true,
                _ => ignored.push(word.to_owned()),
            }
        }
        words
    }
}

fn items(list: &str) -> impl Iterator<Item = &str> {
    list.split(';').filter(|item| !item.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_letters_mean_the_same() {
        let mut ignored = Vec::new();
        let all = CopyWords { hardlink: true, nodelete: true, pop: true };
        assert_eq!(CopyWords::parse("hardlink;nodelete;pop", &mut ignored), all);
        assert_eq!(CopyWords::parse("h;;n;p", &mut ignored), all);
        assert!(CopyWords::parse("no_delete", &mut ignored).nodelete);
        assert_eq!(SplitWords::parse("raw;2525", &mut ignored), SplitWords { raw: true, port: Some(2525) });
        assert_eq!(MsgidWords::parse("from;date", &mut ignored), MsgidWords { date: true, from: true });
        assert_eq!(ignored, Vec::<String>::new());
        CopyWords::parse("Hardlink;20-10", &mut ignored);
        SplitWords::parse("70000;0;x", &mut ignored);
        MsgidWords::parse("x", &mut ignored);
        assert_eq!(ignored, ["Hardlink", "20-10", "70000", "0", "x", "x"]);
    }

    #[test]
    fn name_servers_of_mx_have_every_form() {
        let (mut ignored, mut invalid) = (Vec::new(), Vec::new());
        let list = "1.2.3.4;1.2.3.4:5353;::1;::1.5353;[::1]:54;public;nst=1;rt=15;x;1.2.3";
        let words = MxWords::parse(list, &mut ignored, &mut invalid);
        let servers: Vec<String> = words.servers.iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["1.2.3.4:53", "1.2.3.4:5353", "[::1]:53", "[::1]:5353", "[::1]:54"]);
        assert!(words.public);
        assert_eq!(
            (ignored, invalid),
            (vec!["nst=1".to_owned(), "rt=15".to_owned()], vec!["x".to_owned(), "1.2.3".to_owned()])
        );
    }
}
