//! xtext, the encoding of the `AUTH=` parameter of MAIL (RFC 3461 §4, RFC 4954 §5).

/// Encodes bytes: `!` to `~` except `+` and `=` stand for themselves, others are `+HH`.
pub fn encode(bytes: &[u8]) -> String {
    const HEX: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    let mut out = String::with_capacity(bytes.len());
    for &byte in bytes {
        if byte.is_ascii_graphic() && byte != b'+' && byte != b'=' {
            out.push(char::from(byte));
        } else {
            out.push('+');
            for nibble in [byte >> 4, byte & 15] {
                out.extend(HEX.get(usize::from(nibble)));
            }
        }
    }
    out
}

/// Decodes leniently: a `+` that is not followed by two hexadecimal digits is dropped, nothing is refused.
pub fn decode(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'+' {
            out.push(byte);
        } else if let [high, low, after @ ..] = tail
            && let (Some(high), Some(low)) = (digit(*high), digit(*low))
        {
            out.push(high << 4 | low);
            rest = after;
        }
    }
    out
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|d| u8::try_from(d).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_equals_space_and_lone_plus_are_normalised() {
        assert_eq!(encode(&decode(b"a=b c+")), "a+3Db+20c");
        assert_eq!(encode(&decode(b"<>")), "<>");
        assert_eq!(encode(&decode(b"e+3Dmc2@example.com")), "e+3Dmc2@example.com");
        assert_eq!(decode(b"+zz+4"), b"zz4");
    }

    proptest::proptest! {
        #[test]
        fn encoding_round_trips(bytes: Vec<u8>) {
            proptest::prop_assert_eq!(decode(encode(&bytes).as_bytes()), bytes);
        }
    }
}
