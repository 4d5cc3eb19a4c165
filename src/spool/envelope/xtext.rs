//! The xtext encoding of RFC 3461 section 4: printable ASCII but `+` and `=` stands for itself, any other byte is `+HH`.

/// Encodes bytes.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for byte in bytes {
        if matches!(byte, b'!'..=b'~') && !matches!(byte, b'+' | b'=') {
            out.push(char::from(*byte));
        } else {
            out.push('+');
            for digit in [byte >> 4, byte & 15] {
                out.extend(char::from_digit(u32::from(digit), 16).map(|digit| digit.to_ascii_uppercase()));
            }
        }
    }
    out
}

/// Decodes leniently: what should have been encoded stands for itself, and a `+` without two hexadecimal digits is
/// dropped.
#[must_use]
pub fn decode(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'+' {
            out.push(*first);
        } else if let Some((byte, tail)) = hex_pair(tail) {
            out.push(byte);
            rest = tail;
        }
    }
    out
}

/// The text as [`encode`] would have written it.
pub(super) fn normalise(text: &str) -> String {
    encode(&decode(text))
}

/// Every `+` is followed by two hexadecimal digits and there are no control or 8-bit characters.
pub(super) fn is_readable(text: &str) -> bool {
    let pairs = text.split('+').skip(1).all(|tail| hex_pair(tail.as_bytes()).is_some());
    pairs && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

fn hex_pair(text: &[u8]) -> Option<(u8, &[u8])> {
    let [high, low, rest @ ..] = text else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some((digit(*high)? << 4 | digit(*low)?, rest))
}
