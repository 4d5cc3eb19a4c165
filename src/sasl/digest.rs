//! Hash functions with their state in our hands.
//!
//! The libraries compute one block at a time; padding and length are ours (RFC 1321 §3, FIPS 180-4 §5). That is what
//! it takes to go on from a state that was stored: see [`super::HmacKey`].

use zeroize::Zeroize;

/// A hash function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hash {
    /// RFC 1321.
    Md5,
    /// FIPS 180-4.
    Sha1,
    /// FIPS 180-4.
    Sha256,
    /// FIPS 180-4.
    Sha512,
}

impl Hash {
    /// The word in secrets files, logs, and behind `--hash`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    /// The function of that name, in any case.
    pub fn by_name(name: &str) -> Option<Self> {
        [Self::Md5, Self::Sha1, Self::Sha256, Self::Sha512]
            .into_iter()
            .find(|hash| hash.name().eq_ignore_ascii_case(name))
    }

    /// Bytes in a block.
    pub(super) fn block(self) -> usize {
        if self == Self::Sha512 { 128 } else { 64 }
    }

    /// Bytes in a state, which is as long as a digest.
    pub(super) fn size(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }

    /// The digest of a message.
    pub fn digest(self, message: &[u8]) -> Vec<u8> {
        State::initial(self).finish(0, message)
    }
}

/// The chaining state between two blocks.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum State {
    Md5([u32; 4]),
    Sha1([u32; 5]),
    Sha256([u32; 8]),
    Sha512([u64; 8]),
}

impl State {
    /// RFC 1321 §3.3, FIPS 180-4 §5.3.
    pub(super) fn initial(hash: Hash) -> Self {
        match hash {
            Hash::Md5 => Self::Md5([0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476]),
            Hash::Sha1 => Self::Sha1([0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0]),
            Hash::Sha256 => Self::Sha256([
                0x6a09_e667,
                0xbb67_ae85,
                0x3c6e_f372,
                0xa54f_f53a,
                0x510e_527f,
                0x9b05_688c,
                0x1f83_d9ab,
                0x5be0_cd19,
            ]),
            Hash::Sha512 => Self::Sha512([
                0x6a09_e667_f3bc_c908,
                0xbb67_ae85_84ca_a73b,
                0x3c6e_f372_fe94_f82b,
                0xa54f_f53a_5f1d_36f1,
                0x510e_527f_ade6_82d1,
                0x9b05_688c_2b3e_6c1f,
                0x1f83_d9ab_fb41_bd6b,
                0x5be0_cd19_137e_2179,
            ]),
        }
    }

    pub(super) fn hash(&self) -> Hash {
        match self {
            Self::Md5(_) => Hash::Md5,
            Self::Sha1(_) => Hash::Sha1,
            Self::Sha256(_) => Hash::Sha256,
            Self::Sha512(_) => Hash::Sha512,
        }
    }

    /// Takes in whole blocks; what is left over at the end is not looked at.
    pub(super) fn compress(&mut self, bytes: &[u8]) {
        match self {
            Self::Md5(state) => md5::block_api::compress(state, bytes.as_chunks().0),
            Self::Sha1(state) => sha1::block_api::compress(state, bytes.as_chunks().0),
            Self::Sha256(state) => sha2::block_api::compress256(state, bytes.as_chunks().0),
            Self::Sha512(state) => sha2::block_api::compress512(state, bytes.as_chunks().0),
        }
    }

    /// The digest of a message whose first `before` bytes, whole blocks, made this state, and whose rest is `message`.
    pub(super) fn finish(mut self, before: usize, message: &[u8]) -> Vec<u8> {
        let block = self.hash().block();
        let whole = message.len() - message.len() % block;
        let (blocks, rest) = message.split_at(whole);
        self.compress(blocks);
        let mut tail = Vec::with_capacity(block * 2);
        tail.extend_from_slice(rest);
        tail.push(0x80);
        let bits = (before as u64).wrapping_add(message.len() as u64).wrapping_mul(8);
        let length = block / 8;
        tail.resize((tail.len() + length).next_multiple_of(block) - 8, 0);
        tail.extend(if self.hash() == Hash::Md5 { bits.to_le_bytes() } else { bits.to_be_bytes() });
        self.compress(&tail);
        tail.zeroize();
        self.digest()
    }

    fn digest(&self) -> Vec<u8> {
        match self {
            Self::Md5(state) => state.iter().flat_map(|word| word.to_le_bytes()).collect(),
            Self::Sha1(state) => state.iter().flat_map(|word| word.to_be_bytes()).collect(),
            Self::Sha256(state) => state.iter().flat_map(|word| word.to_be_bytes()).collect(),
            Self::Sha512(state) => state.iter().flat_map(|word| word.to_be_bytes()).collect(),
        }
    }

    /// As it is stored: each word least significant byte first, whatever the function.
    pub(super) fn to_stored(&self) -> Vec<u8> {
        match self {
            Self::Md5(state) => state.iter().flat_map(|word| word.to_le_bytes()).collect(),
            Self::Sha1(state) => state.iter().flat_map(|word| word.to_le_bytes()).collect(),
            Self::Sha256(state) => state.iter().flat_map(|word| word.to_le_bytes()).collect(),
            Self::Sha512(state) => state.iter().flat_map(|word| word.to_le_bytes()).collect(),
        }
    }

    /// From [`State::to_stored`]; none if the length is not that of the function's state.
    pub(super) fn from_stored(hash: Hash, bytes: &[u8]) -> Option<Self> {
        if bytes.len() != hash.size() {
            return None;
        }
        let mut state = Self::initial(hash);
        let narrow = |state: &mut [u32]| {
            for (word, bytes) in state.iter_mut().zip(bytes.as_chunks().0) {
                *word = u32::from_le_bytes(*bytes);
            }
        };
        match &mut state {
            Self::Md5(state) => narrow(state),
            Self::Sha1(state) => narrow(state),
            Self::Sha256(state) => narrow(state),
            Self::Sha512(state) => {
                for (word, bytes) in state.iter_mut().zip(bytes.as_chunks().0) {
                    *word = u64::from_le_bytes(*bytes);
                }
            }
        }
        Some(state)
    }
}

impl Drop for State {
    fn drop(&mut self) {
        match self {
            Self::Md5(state) => state.zeroize(),
            Self::Sha1(state) => state.zeroize(),
            Self::Sha256(state) => state.zeroize(),
            Self::Sha512(state) => state.zeroize(),
        }
    }
}

#[cfg(test)]
mod tests {
    use md5::{Digest, Md5};
    use sha1::Sha1;
    use sha2::{Sha256, Sha512};

    use super::*;

    proptest::proptest! {
        #[test]
        fn digests_are_those_of_the_libraries(message in proptest::collection::vec(proptest::num::u8::ANY, 0..400)) {
            proptest::prop_assert_eq!(Hash::Md5.digest(&message), Md5::digest(&message).to_vec());
            proptest::prop_assert_eq!(Hash::Sha1.digest(&message), Sha1::digest(&message).to_vec());
            proptest::prop_assert_eq!(Hash::Sha256.digest(&message), Sha256::digest(&message).to_vec());
            proptest::prop_assert_eq!(Hash::Sha512.digest(&message), Sha512::digest(&message).to_vec());
        }
    }

    #[test]
    fn every_length_around_a_block_is_padded_right() {
        for length in 0..=260 {
            let message = vec![b'x'; length];
            assert_eq!(Hash::Md5.digest(&message), Md5::digest(&message).to_vec(), "{length}");
            assert_eq!(Hash::Sha512.digest(&message), Sha512::digest(&message).to_vec(), "{length}");
        }
    }
}
