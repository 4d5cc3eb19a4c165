//! How often a message has been handed on: servers that send it to each other in a circle would do so for ever
//! (RFC 5321 section 6.3).

/// `Received` fields that a message may have. RFC 5321 section 6.3 wants a limit of at least 100.
pub const MAX_HOPS: usize = 100;

/// The number of `Received` fields in the header of a message, of which this is the beginning.
#[must_use]
pub fn hops(head: &[u8]) -> usize {
    let lines = head.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    lines.take_while(|line| !line.is_empty()).filter(|line| is_received(line)).count()
}

fn is_received(line: &[u8]) -> bool {
    let Some((name, rest)) = line.split_at_checked(b"Received".len()) else { return false };
    name.eq_ignore_ascii_case(b"Received") && rest.trim_ascii_start().first() == Some(&b':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_fields_of_the_header_count() {
        let text = b"Received: one\r\n\tReceived: folded\r\nRECEIVED : two\r\nReceived-SPF: none\r\nX: Received: x\r\n\r\nReceived: body\r\n";
        assert_eq!(hops(text), 2);
        assert_eq!(hops(b"received: a\nreceived: b\n\nreceived: c\n"), 2);
        assert_eq!(hops(b"Receive"), 0);
        assert_eq!(hops(b"\r\nReceived: x\r\n"), 0);
        assert_eq!(hops(b""), 0);
    }
}
