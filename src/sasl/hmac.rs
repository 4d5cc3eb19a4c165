//! HMAC (RFC 2104) from a password or from its masked form.
//!
//! The masked form is the pair of chaining states after the two padded keys, so that the password itself need not be
//! stored. It serves CRAM as well as the password does, and nothing else: who has it can answer challenges.

use std::fmt;

use thiserror::Error;
use zeroize::{Zeroize, Zeroizing};

use super::digest::{Hash, State};
use super::encoding::{base64, from_base64};
use super::secret::Secret;

/// Why a text is not a masked password.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum InvalidKey {
    /// Not base64, nor the dotted form where that exists.
    #[error("invalid base64 encoding of secret")]
    Encoding,
    /// Not a pair of states.
    #[error("invalid {} hash state", .0.name())]
    Length(Hash),
}

/// A key of HMAC, ready for any number of messages.
#[derive(Clone, PartialEq, Eq)]
pub struct HmacKey {
    inner: State,
    outer: State,
}

/// Numbers in the dotted form.
const DOTTED_WORDS: usize = 8;

/// Least length of the dotted form.
const DOTTED_LEAST: usize = 15;

impl HmacKey {
    /// The key of a password.
    pub fn new(hash: Hash, password: &Secret) -> Self {
        let mut key = Zeroizing::new(if password.expose().len() > hash.block() {
            hash.digest(password.expose())
        } else {
            password.expose().to_vec()
        });
        key.resize(hash.block(), 0);
        let half = |pad: u8| {
            let mut block: Vec<u8> = key.iter().map(|byte| byte ^ pad).collect();
            let mut state = State::initial(hash);
            state.compress(&block);
            block.zeroize();
            state
        };
        Self { inner: half(0x36), outer: half(0x5c) }
    }

    /// The hash function.
    pub fn hash(&self) -> Hash {
        self.inner.hash()
    }

    /// The code of a message.
    pub fn code(&self, message: &[u8]) -> Vec<u8> {
        let block = self.hash().block();
        let inner = self.inner.clone().finish(block, message);
        self.outer.clone().finish(block, &inner)
    }

    /// The masked form: inner state, outer state, in base64.
    pub fn masked(&self) -> String {
        base64(&self.bytes())
    }

    /// The masked form of old versions: the eight words of MD5 in decimal. None with another function.
    pub fn dotted(&self) -> Option<String> {
        let bytes = self.bytes();
        let words = bytes.as_chunks().0.iter().map(|word| u32::from_le_bytes(*word).to_string());
        (self.hash() == Hash::Md5).then(|| words.collect::<Vec<_>>().join("."))
    }

    /// Reads a masked form.
    ///
    /// # Errors
    /// It is not one of this function.
    pub fn from_masked(hash: Hash, text: &[u8]) -> Result<Self, InvalidKey> {
        let dotted = if hash == Hash::Md5 { from_dotted(text) } else { None };
        let bytes = dotted.or_else(|| from_base64(text).map(Zeroizing::new)).ok_or(InvalidKey::Encoding)?;
        let halves = bytes.split_at_checked(hash.size());
        let states = halves.and_then(|(inner, outer)| {
            Some(Self { inner: State::from_stored(hash, inner)?, outer: State::from_stored(hash, outer)? })
        });
        states.ok_or(InvalidKey::Length(hash))
    }

    fn bytes(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new([self.inner.to_stored(), self.outer.to_stored()].concat())
    }
}

impl fmt::Debug for HmacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} key]", self.hash().name())
    }
}

/// Exactly eight numbers with dots between them.
fn from_dotted(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    if text.len() < DOTTED_LEAST || !text.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.') {
        return None;
    }
    let text = std::str::from_utf8(text).ok()?;
    let words: Vec<u32> = text.split('.').map(|word| word.parse().ok()).collect::<Option<_>>()?;
    (words.len() == DOTTED_WORDS)
        .then(|| Zeroizing::new(words.iter().flat_map(|word| word.to_le_bytes()).collect()))
}

#[cfg(test)]
mod tests {
    use hmac::{Hmac, KeyInit, Mac};
    use md5::Md5;
    use sha1::Sha1;
    use sha2::{Sha256, Sha512};

    use super::super::encoding::hex;
    use super::*;

    fn masked(hash: Hash, password: &str) -> String {
        HmacKey::new(hash, &Secret::from(password)).masked()
    }

    #[test]
    fn masked_forms_are_those_of_old_secrets_files() {
        assert_eq!(masked(Hash::Md5, "pass1"), "hNtQOHXk3ILKXdDP23to/+nwgSPLCb207nxW2b7nKNk=");
        assert_eq!(masked(Hash::Sha1, "pass1"), "d/rrK7oS7aBo6Qz3gvI2cbWeehuzTf6gqwOg7R/L8CWKzyNhIVAmsQ==");
        assert_eq!(
            masked(Hash::Sha256, "pass1"),
            "ZzRGHqLKGf7NSQRk4d5Q4zCaON1zBqFXDCSt1DvNHfvDkvXDTD9o33uoa1dnFPfY179lbnCz3dQq1vWoHEm+2A=="
        );
        assert_eq!(masked(Hash::Md5, "secret"), "qeD38fvADIqBu6rDlXMbVs07p96q1uXKI0SLpC43l0c=");
        assert_eq!(masked(Hash::Sha1, "secret"), "Q3Lhrmvp8z2xD/Ckw5CktjQgnZJMDx4Jfie1bDm2vuIxCA2mza3ItQ==");
        assert_eq!(
            masked(Hash::Sha256, "secret"),
            "MU+AcmgBQrCi3tMEopHp9AaJHBuUFRa+dPsCsrPOyK8qB4RaItI3q605sXVkJan3vnT2x5l955idaG8fRVLgKQ=="
        );
        assert_eq!(masked(Hash::Md5, &"x".repeat(70)), "6+cWPf90Aa+1qhbU7c+fH4EDuzoqS5apypzOTv7MjSI=");
        assert_eq!(from_base64(masked(Hash::Sha512, "secret").as_bytes()).unwrap().len(), 128);
    }

    #[test]
    fn the_dotted_form_is_the_same_key() {
        let dotted = "944823172.2195514485.3486539210.4285037531.595718377.3032287691.3646323950.3643336638";
        let key = HmacKey::from_masked(Hash::Md5, dotted.as_bytes()).unwrap();
        assert_eq!(key, HmacKey::new(Hash::Md5, &Secret::from("pass1")));
        assert_eq!(key.dotted().as_deref(), Some(dotted));
        assert_eq!(HmacKey::new(Hash::Sha1, &Secret::from("pass1")).dotted(), None);
        assert_eq!(format!("{key:?}"), "[md5 key]");
    }

    /// RFC 2195 §2.
    #[test]
    fn the_example_of_the_standard() {
        let code = HmacKey::new(Hash::Md5, &Secret::from("tanstaaftanstaaf"))
            .code(b"<1896.697170952@postoffice.reston.mci.net>");
        assert_eq!(hex(&code), "b913a602c7eda7a495b4e6e7334d3890");
    }

    #[test]
    fn what_is_no_pair_of_states_is_refused() {
        let bad = |hash, text: &str| HmacKey::from_masked(hash, text.as_bytes()).unwrap_err();
        assert_eq!(bad(Hash::Md5, "pass"), InvalidKey::Length(Hash::Md5));
        assert_eq!(bad(Hash::Sha1, &masked(Hash::Md5, "x")), InvalidKey::Length(Hash::Sha1));
        assert_eq!(bad(Hash::Md5, "!"), InvalidKey::Encoding);
        assert_eq!(bad(Hash::Md5, "1.2.3.4.5.6.7.4294967296"), InvalidKey::Encoding);
        assert_eq!(bad(Hash::Sha1, "1.2.3.4.5.6.7.8"), InvalidKey::Encoding);
    }

    proptest::proptest! {
        #[test]
        fn codes_are_those_of_the_library_from_either_form(
            password in proptest::collection::vec(proptest::num::u8::ANY, 0..200),
            message in proptest::collection::vec(proptest::num::u8::ANY, 0..200),
        ) {
            macro_rules! check {
                ($hash:expr, $library:ty) => {
                    let mut library = Hmac::<$library>::new_from_slice(&password).unwrap();
                    library.update(&message);
                    let expected = library.finalize().into_bytes().to_vec();
                    let key = HmacKey::new($hash, &Secret::new(password.clone()));
                    proptest::prop_assert_eq!(&key.code(&message), &expected);
                    let stored = HmacKey::from_masked($hash, key.masked().as_bytes()).unwrap();
                    proptest::prop_assert_eq!(&stored.code(&message), &expected);
                };
            }
            check!(Hash::Md5, Md5);
            check!(Hash::Sha1, Sha1);
            check!(Hash::Sha256, Sha256);
            check!(Hash::Sha512, Sha512);
        }

        #[test]
        fn no_text_upsets_the_reader(text: Vec<u8>, dots in "[0-9.]{15,120}") {
            let _ = HmacKey::from_masked(Hash::Md5, &text);
            let _ = HmacKey::from_masked(Hash::Md5, dots.as_bytes());
        }
    }
}
