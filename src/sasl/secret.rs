//! Passwords and what is as good as one.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::digest::Hash;

/// Bytes that nobody may see: wiped when dropped, never printed, compared in constant time.
#[derive(Clone, Default)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the bytes over.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, for the one computation that needs them.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Compares digests, so that not even the length of the stored password can be measured.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        same(&Hash::Sha256.digest(&self.0), &Hash::Sha256.digest(&other.0))
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::new(text.as_bytes().to_vec())
    }
}

/// Equality in a time that depends on the lengths only.
pub(super) fn same(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_compared_but_never_shown() {
        let secret = Secret::from("pass1");
        assert_eq!(format!("{secret:?} {:?}", Some(&secret)), "[secret] Some([secret])");
        assert!(secret == Secret::from("pass1"));
        assert!(
            secret != Secret::from("pass2") && secret != Secret::from("pass") && secret != Secret::default()
        );
    }
}
