//! Base64 and xtext as they stand in protocol lines and in secrets files.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

/// Padding may be left out, as in secrets files that other programs made.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Base64 with padding.
pub fn base64(bytes: &[u8]) -> String {
    LENIENT.encode(bytes)
}

/// Bytes of a base64 text, padded or not; none if it is anything else.
pub fn from_base64(text: &[u8]) -> Option<Vec<u8>> {
    LENIENT.decode(text).ok()
}

/// Bytes of an xtext (RFC 3461 §4): printable ASCII, `+` only before two hexadecimal digits. A bare `=` is taken as it
/// is. None if it is anything else.
pub fn from_xtext(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match (byte, tail) {
            (b'+', [high, low, after @ ..]) => {
                out.push(digit(*high)? << 4 | digit(*low)?);
                rest = after;
            }
            (b'+', _) => return None,
            (byte, _) if byte.is_ascii_graphic() => out.push(byte),
            _ => return None,
        }
    }
    Some(out)
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let nibbles = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    nibbles.filter_map(|nibble| DIGITS.get(usize::from(nibble))).collect()
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_is_optional_and_rubbish_is_refused() {
        assert_eq!(from_base64(b"Zg").as_deref(), Some(&b"f"[..]));
        assert_eq!(from_base64(b"Zg==").as_deref(), Some(&b"f"[..]));
        assert_eq!(from_base64(b"").as_deref(), Some(&b""[..]));
        for bad in [&b"Z"[..], b"Z=g=", b"Zg==x", b"Zm 8", b"Zh==", b"=", b"Z\xc3g="] {
            assert_eq!(from_base64(bad), None, "{}", bad.escape_ascii());
        }
        assert_eq!((base64(b"f"), hex(b"\x00\xaf")), ("Zg==".to_owned(), "00af".to_owned()));
    }

    #[test]
    fn xtext_is_strict() {
        assert_eq!(from_xtext(b"pa+20s+2Bp=q+c3+BC").as_deref(), Some("pa s+p=qü".as_bytes()));
        for bad in [&b"a+"[..], b"a+2", b"a+2g", b"a b", b"\xc3\xbc", b"a\x7f"] {
            assert_eq!(from_xtext(bad), None, "{}", bad.escape_ascii());
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_upset_a_decoder(bytes: Vec<u8>) {
            let _ = (from_xtext(&bytes), from_base64(&bytes));
            proptest::prop_assert_eq!(from_base64(base64(&bytes).as_bytes()), Some(bytes));
        }
    }
}
