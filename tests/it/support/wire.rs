//! What bytes of mail mean to servers of different minds, by rules of the tests' own.

/// Every CRLF, lone LF and lone CR as CRLF, and one at the end: how bytes of a spool go out.
pub(crate) fn as_lines(content: &[u8]) -> Vec<u8> {
    let (mut out, mut at) = (Vec::with_capacity(content.len() + 2), 0);
    while at < content.len() {
        match &content[at..] {
            [b'\r', b'\n', ..] => at += 2,
            [b'\r' | b'\n', ..] => at += 1,
            [byte, ..] => {
                out.push(*byte);
                at += 1;
                continue;
            }
            [] => {}
        }
        out.extend_from_slice(b"\r\n");
    }
    if !out.is_empty() && !out.ends_with(b"\r\n") {
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// True if some server could see the end of the message inside it: a lone dot with a bare line end at its side.
pub(crate) fn has_dangerous_dot(wire: &[u8]) -> bool {
    let text = [b"\r\n", wire, b".\r\n"].concat();
    (1..text.len() - 1).filter(|at| text[*at] == b'.').any(|at| {
        let (before, after) = (&text[..at], &text[at + 1..]);
        let whole = (before.ends_with(b"\r\n"), after.starts_with(b"\r\n"));
        let ends = matches!(before.last(), Some(b'\r' | b'\n')) && matches!(after[0], b'\r' | b'\n');
        ends && whole != (true, true)
    })
}

/// True if a CR or an LF stands alone.
pub(crate) fn has_bare_line_end(wire: &[u8]) -> bool {
    let pairs = wire.windows(2).any(|pair| (pair[0] == b'\r') != (pair[1] == b'\n'));
    pairs || wire.first() == Some(&b'\n') || wire.last() == Some(&b'\r')
}
