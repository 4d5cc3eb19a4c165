//! Command lines: a word, in any case, and what stands behind it.

/// A command word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    User,
    Pass,
    Apop,
    Auth,
    Capa,
    Stls,
    Utf8,
    Lang,
    Stat,
    List,
    Uidl,
    Retr,
    Top,
    Dele,
    Noop,
    Rset,
    Quit,
}

const VERBS: [(&str, Verb); 17] = [
    ("USER", Verb::User),
    ("PASS", Verb::Pass),
    ("APOP", Verb::Apop),
    ("AUTH", Verb::Auth),
    ("CAPA", Verb::Capa),
    ("STLS", Verb::Stls),
    ("UTF8", Verb::Utf8),
    ("LANG", Verb::Lang),
    ("STAT", Verb::Stat),
    ("LIST", Verb::List),
    ("UIDL", Verb::Uidl),
    ("RETR", Verb::Retr),
    ("TOP", Verb::Top),
    ("DELE", Verb::Dele),
    ("NOOP", Verb::Noop),
    ("RSET", Verb::Rset),
    ("QUIT", Verb::Quit),
];

/// A command line in parts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Command<'a> {
    /// None: no command of ours.
    pub(super) verb: Option<Verb>,
    /// The word as it came.
    pub(super) word: &'a [u8],
    /// All behind the word and one white-space character.
    pub(super) rest: &'a [u8],
}

impl<'a> Command<'a> {
    /// Takes a line, without its end, apart. White space is skipped in front of the word.
    pub(super) fn parse(line: &'a [u8]) -> Self {
        let line = line.trim_ascii_start();
        let end = line.iter().position(|byte| is_blank(*byte)).unwrap_or(line.len());
        let (word, rest) = line.split_at_checked(end).unwrap_or((line, &[]));
        let found = VERBS.iter().find(|(name, _)| name.as_bytes().eq_ignore_ascii_case(word));
        Self { verb: found.map(|(_, verb)| *verb), word, rest: rest.get(1..).unwrap_or_default() }
    }

    /// The words behind the command.
    pub(super) fn words(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.rest.split(|byte| is_blank(*byte)).filter(|word| !word.is_empty())
    }
}

/// White space between words. CR and LF alone do not end a line and count as well.
pub(super) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// A number: an optional sign, digits, at most 2147483647; none if it is anything else.
pub(super) fn number(word: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(word).ok()?;
    text.parse::<i32>().ok().and_then(|number| u32::try_from(number).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_cut_at_any_white_space() {
        let command = Command::parse(b" \tretr\n 1  x ");
        assert_eq!(command.verb, Some(Verb::Retr));
        assert_eq!(command.words().collect::<Vec<_>>(), [b"1", b"x"]);
        assert_eq!(Command::parse(b"PASS  a b ").rest, b" a b ");
        assert_eq!(Command::parse(b"RETR1").verb, None);
        assert_eq!(Command::parse(b"").verb, None);
    }

    #[test]
    fn numbers_are_those_of_the_old_server() {
        for (word, expected) in [
            ("1", Some(1)),
            ("+1", Some(1)),
            ("01", Some(1)),
            ("0", Some(0)),
            ("-1", None),
            ("2147483647", Some(2_147_483_647)),
            ("2147483648", None),
            ("1x", None),
            ("x", None),
            ("", None),
            ("+", None),
        ] {
            assert_eq!(number(word.as_bytes()), expected, "{word}");
        }
    }
}
