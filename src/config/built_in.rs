//! Options of the filters of our own: what stands behind `copy:` and its like, separated by `;`.

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
}
