//! SASLprep (RFC 4013): names and passwords that people type in different ways become the same characters.

use unicode_bidi::{BidiClass, bidi_class};
use unicode_normalization::UnicodeNormalization as _;

/// The prepared form of a name or password; none where there is none: it is not UTF-8, or has characters that may not be
/// in it.
pub fn prepared(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mapped = text.chars().map(|c| if is_space(c) { ' ' } else { c }).filter(|c| !is_nothing(*c));
    let out: String = mapped.nfkc().collect();
    (!out.is_empty() && !out.chars().any(is_prohibited) && is_one_way(&out)).then_some(out)
}

/// RFC 3454 table C.1.2: becomes a blank.
fn is_space(c: char) -> bool {
    matches!(c, '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200b}' | '\u{202f}' | '\u{205f}' | '\u{3000}')
}

/// RFC 3454 table B.1: is left out.
fn is_nothing(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{34f}' | '\u{1806}' | '\u{180b}'..='\u{180d}' | '\u{200b}'..='\u{200d}' | '\u{2060}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
    )
}

/// RFC 4013 section 2.3. Surrogates (table C.5) are no characters here.
fn is_prohibited(c: char) -> bool {
    // The last two of every plane (table C.4).
    let is_last = u32::from(c) & 0xfffe == 0xfffe;
    is_last
        || is_space(c)
        || c.is_control()
        || matches!(
            c,
            // C.2.2
            '\u{6dd}' | '\u{70f}' | '\u{180e}' | '\u{200c}' | '\u{200d}' | '\u{2028}' | '\u{2029}'
            | '\u{2060}'..='\u{2063}' | '\u{206a}'..='\u{206f}' | '\u{feff}' | '\u{1d173}'..='\u{1d17a}'
            // C.3, C.4
            | '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..='\u{ffffd}' | '\u{100000}'..='\u{10fffd}' | '\u{fdd0}'..='\u{fdef}'
            // C.6, with the rest of C.2.2, and C.7
            | '\u{fff9}'..='\u{fffd}' | '\u{2ff0}'..='\u{2ffb}'
            // C.8, C.9
            | '\u{340}' | '\u{341}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{e0001}' | '\u{e0020}'..='\u{e007f}'
        )
}

/// RFC 3454 section 6: what is written from right to left is so from its first character to its last.
fn is_one_way(text: &str) -> bool {
    let class = |c| bidi_class(c);
    let is_right = |c: char| matches!(class(c), BidiClass::R | BidiClass::AL);
    if !text.chars().any(is_right) {
        return true;
    }
    let left = text.chars().any(|c| class(c) == BidiClass::L);
    !left && text.chars().next().is_some_and(is_right) && text.chars().next_back().is_some_and(is_right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_rfc_and_others() {
        for (text, expected) in [
            ("I\u{ad}X", Some("IX")),
            ("user", Some("user")),
            ("USER", Some("USER")),
            ("\u{aa}", Some("a")),
            ("\u{2168}", Some("IX")),
            ("\u{7}", None),
            ("\u{627}1", None),
            ("\u{627}1\u{628}", Some("\u{627}1\u{628}")),
            ("\u{627}a\u{628}", None),
            ("a\u{a0}b\u{3000}", Some("a b ")),
            // An accent of its own, and half-width letters.
            ("cafe\u{301}", Some("caf\u{e9}")),
            ("\u{ff21}\u{ff76}", Some("A\u{30ab}")),
            ("\u{ad}", None),
            ("x\u{e000}", None),
            ("x\u{1fffe}", None),
            ("x\u{fffd}", None),
            ("x\u{200e}", None),
            ("x\u{e0020}", None),
        ] {
            assert_eq!(prepared(text.as_bytes()).as_deref(), expected, "{text:?}");
        }
        assert_eq!(prepared(b"\xff"), None);
    }
}
