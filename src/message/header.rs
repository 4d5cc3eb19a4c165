//! Header blocks (RFC 5322 sections 2.2 and 3.6): the lines in front of the empty line.
//!
//! Lines are kept exactly as they came, so that a block that is not edited is written back unchanged, also where it
//! breaks the rules. Names match in any letter case and white space is allowed in front of the colon
//! (RFC 5322 section 4.5).

use std::ops::Range;

const CRLF: &[u8] = b"\r\n";

/// A header block: its lines, without line ends, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers {
    lines: Vec<Vec<u8>>,
}

/// One field of a block with its continuation lines, or a stretch of lines that is no field.
#[derive(Debug, Clone, Copy)]
pub struct Field<'a> {
    number: usize,
    lines: &'a [Vec<u8>],
}

impl Headers {
    /// A block of these lines, which have no line ends.
    #[must_use]
    pub fn new(lines: Vec<Vec<u8>>) -> Self {
        Self { lines }
    }

    /// Adds a line at the end.
    pub fn push(&mut self, line: Vec<u8>) {
        self.lines.push(line);
    }

    /// Whether a line can be the next one of the block: a field, or the continuation of one.
    #[must_use]
    pub fn goes_on_with(&self, line: &[u8]) -> bool {
        if is_continuation(line) { !self.lines.is_empty() } else { field_name(line).is_some() }
    }

    /// Adds a line in front of all others.
    pub fn add_in_front(&mut self, line: impl Into<Vec<u8>>) {
        self.lines.insert(0, line.into());
    }

    /// The lines, without line ends.
    pub fn lines(&self) -> impl Iterator<Item = &[u8]> {
        self.lines.iter().map(Vec::as_slice)
    }

    /// The fields in order. Lines that belong to no field come as nameless ones.
    pub fn fields(&self) -> impl Iterator<Item = Field<'_>> {
        self.spans().filter_map(|span| self.field(span))
    }

    /// The fields with this name.
    pub fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = Field<'a>> {
        self.fields().filter(move |field| field.is(name))
    }

    /// Whether there is a field with this name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.named(name).next().is_some()
    }

    /// Removes every field with one of these names, together with its continuation lines, and nothing else.
    pub fn remove(&mut self, names: &[&str]) {
        let kept: Vec<Range<usize>> = self
            .spans()
            .filter(|span| !self.field(span.clone()).is_some_and(|field| names.iter().any(|n| field.is(n))))
            .collect();
        let lines = &mut self.lines;
        let mut result = Vec::with_capacity(lines.len());
        for span in kept {
            result.extend(lines.get_mut(span).into_iter().flatten().map(std::mem::take));
        }
        self.lines = result;
    }

    /// The block as it is stored, every line ended with CRLF.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.lines.iter().flat_map(|line| [line.as_slice(), CRLF]).collect::<Vec<_>>().concat()
    }

    /// As [`Headers::to_bytes`], with the given line, or nothing, in the place of every field with this name.
    #[must_use]
    pub fn to_bytes_replacing(&self, name: &str, line: Option<&str>) -> Vec<u8> {
        let replacement: &[&[u8]] = if let Some(line) = line { &[line.as_bytes(), CRLF] } else { &[] };
        let mut bytes = Vec::with_capacity(self.lines.iter().map(|line| line.len() + CRLF.len()).sum());
        for field in self.fields() {
            if field.is(name) {
                bytes.extend_from_slice(&replacement.concat());
            } else {
                bytes.extend(field.lines.iter().flat_map(|line| [line.as_slice(), CRLF]).flatten());
            }
        }
        bytes
    }

    fn field(&self, span: Range<usize>) -> Option<Field<'_>> {
        let number = span.start + 1;
        self.lines.get(span).map(|lines| Field { number, lines })
    }

    /// Line ranges, each a first line with the continuation lines behind it.
    fn spans(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        let mut next = 0;
        std::iter::from_fn(move || {
            let start = next;
            self.lines.get(start)?;
            let folded = self.lines.iter().skip(start + 1).take_while(|line| is_continuation(line)).count();
            next = start + 1 + folded;
            Some(start..next)
        })
    }
}

impl<'a> Field<'a> {
    /// The number of its first line in the block, counted from 1.
    #[must_use]
    pub fn number(&self) -> usize {
        self.number
    }

    /// The name as written, or nothing when this is not a field.
    #[must_use]
    pub fn name(&self) -> Option<&'a [u8]> {
        field_name(self.lines.first()?)
    }

    /// Whether it has this name, in any letter case.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.name().is_some_and(|own| own.eq_ignore_ascii_case(name.as_bytes()))
    }

    /// The value, unfolded: continuation lines joined on without the line ends between them.
    #[must_use]
    pub fn value(&self) -> Vec<u8> {
        let first = self.lines.first().map(Vec::as_slice).unwrap_or_default();
        let colon = first.iter().position(|&byte| byte == b':');
        let mut value = colon.and_then(|colon| first.get(colon + 1..)).unwrap_or_default().to_vec();
        for line in self.lines.iter().skip(1) {
            value.extend_from_slice(line);
        }
        value
    }
}

/// The name in front of the colon (RFC 5322 section 2.2).
fn field_name(line: &[u8]) -> Option<&[u8]> {
    let colon = line.iter().position(|&byte| byte == b':')?;
    let name = line.get(..colon)?.trim_ascii_end();
    (!name.is_empty() && name.iter().all(u8::is_ascii_graphic)).then_some(name)
}

fn is_continuation(line: &[u8]) -> bool {
    line.first().is_some_and(|&byte| byte == b' ' || byte == b'\t')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(text: &str) -> Headers {
        Headers::new(text.lines().map(|line| line.as_bytes().to_vec()).collect())
    }

    fn text(headers: &Headers) -> String {
        String::from_utf8(headers.to_bytes()).unwrap().replace("\r\n", "\n")
    }

    #[test]
    fn names_match_in_any_case_and_with_blanks_before_the_colon() {
        let headers = block("Subject : one\nTO\t: a@b\nfrom:x");
        assert!(headers.has("subject") && headers.has("to") && headers.has("From"));
        assert!(!headers.has("cc"));
    }

    #[test]
    fn folded_lines_are_joined_without_the_line_end() {
        let headers = block("To: a@b,\n  c@d,\n\te@f\nSubject: s");
        let field = headers.named("to").next().unwrap();
        assert_eq!(field.value(), b" a@b,  c@d,\te@f");
        assert_eq!(field.number(), 1);
        assert_eq!(headers.named("subject").next().unwrap().number(), 4);
    }

    #[test]
    fn removing_takes_continuation_lines_and_leaves_other_headers() {
        let mut headers = block("From: old@x\nSubject: s\nSender: a,\n b\nTo: z@z");
        headers.remove(&["from", "sender"]);
        assert_eq!(text(&headers), "Subject: s\nTo: z@z\n");
    }

    #[test]
    fn lines_that_are_no_fields_are_kept() {
        let source = " lost continuation\nFrom me Thu Jan 1\nnot a field\n: no name\nA b: c\nTo: x\n";
        let mut headers = block(source);
        assert_eq!(text(&headers), source);
        assert_eq!(headers.fields().filter(|field| field.name().is_some()).count(), 1);
        headers.remove(&["to"]);
        assert_eq!(text(&headers), source.replace("To: x\n", ""));
    }

    #[test]
    fn fields_and_their_continuations_go_on_with_a_block() {
        let (none, some) = (Headers::default(), block("To: x"));
        for (line, first, behind) in [
            ("Subject: s", true, true),
            ("X-Y\t:", true, true),
            (" continued", false, true),
            ("\tcontinued: x", false, true),
            ("hello world", false, false),
            ("hello world: x", false, false),
            ("From me@x Thu Nov 26 10:00:00 2026", false, false),
            (": x", false, false),
            ("\u{fc}: x", false, false),
        ] {
            let found = (none.goes_on_with(line.as_bytes()), some.goes_on_with(line.as_bytes()));
            assert_eq!(found, (first, behind), "{line:?}");
        }
    }

    #[test]
    fn every_field_of_a_name_is_replaced() {
        let headers = block("Bcc: a@b,\n c@d\nTo: t@u\nbcc: e@f");
        let bytes = headers.to_bytes_replacing("Bcc", Some("bcc: a@b"));
        assert_eq!(bytes, b"bcc: a@b\r\nTo: t@u\r\nbcc: a@b\r\n");
        assert_eq!(headers.to_bytes_replacing("Bcc", None), b"To: t@u\r\n");
    }

    #[test]
    fn added_lines_come_first() {
        let mut headers = block("Subject: s");
        headers.add_in_front("Date: d");
        headers.add_in_front("From: f");
        assert_eq!(text(&headers), "From: f\nDate: d\nSubject: s\n");
    }
}
