//! scrypt (RFC 7914): a hash that takes as much memory as time. With the parts that we have it is less than a crate.

use std::mem::swap;

use zeroize::Zeroizing;

use super::digest::Hash;
use super::hmac::HmacKey;
use super::secret::Secret;

/// A block of Salsa20 (RFC 7914 section 3).
type Block = [u32; 16];

/// Bytes of one.
const BLOCK: usize = 64;

/// Fills `out` with the hash at N = 2^`log_n`, `r` and `p`. Takes 128 * N * r bytes.
pub(super) fn scrypt(password: &Secret, salt: &[u8], log_n: u8, r: usize, p: usize, out: &mut [u8]) {
    let key = HmacKey::new(Hash::Sha256, password);
    let mut bytes = Zeroizing::new(vec![0; p * 2 * r * BLOCK]);
    derive(&key, salt, &mut bytes);
    let mut table = Zeroizing::new(vec![[0; 16]; (2 * r) << log_n]);
    for lane in bytes.chunks_exact_mut(2 * r * BLOCK) {
        mix(lane, &mut table, 2 * r);
    }
    derive(&key, &bytes, out);
}

/// PBKDF2 with one round (RFC 8018 section 5.2).
fn derive(key: &HmacKey, salt: &[u8], out: &mut [u8]) {
    for (number, part) in (1_u32..).zip(out.chunks_mut(32)) {
        let code = Zeroizing::new(key.code(&[salt, &number.to_be_bytes()].concat()));
        part.iter_mut().zip(code.iter()).for_each(|(to, from)| *to = *from);
    }
}

/// scryptROMix (section 5): fills the table with `wide` blocks a row, and goes through it in an order that the blocks say.
fn mix(lane: &mut [u8], table: &mut [Block], wide: usize) {
    let rows = table.len() / wide;
    let mut blocks = Zeroizing::new(vec![[0; 16]; wide]);
    let mut next = Zeroizing::new(vec![[0; 16]; wide]);
    let (words, _) = lane.as_chunks::<4>();
    blocks.as_flattened_mut().iter_mut().zip(words).for_each(|(to, from)| *to = u32::from_le_bytes(*from));
    for row in table.chunks_exact_mut(wide) {
        row.copy_from_slice(&blocks);
        shuffle(&blocks, &mut next);
        swap(&mut blocks, &mut next);
    }
    for _ in 0..rows {
        // The number of rows is a power of two, and much less than a word holds.
        let at = blocks.last().map_or(0, |[word, ..]| *word as usize) & (rows - 1);
        if let Some(row) = table.chunks_exact(wide).nth(at) {
            blocks.iter_mut().zip(row).for_each(|(to, from)| add(to, from));
        }
        shuffle(&blocks, &mut next);
        swap(&mut blocks, &mut next);
    }
    let (words, _) = lane.as_chunks_mut::<4>();
    words.iter_mut().zip(blocks.as_flattened()).for_each(|(to, from)| *to = from.to_le_bytes());
}

/// scryptBlockMix (section 4): the even ones come first, then the odd ones.
fn shuffle(from: &[Block], to: &mut [Block]) {
    let (even, odd) = to.split_at_mut(from.len() / 2);
    let mut block = from.last().copied().unwrap_or_default();
    for (([one, other], even), odd) in from.as_chunks::<2>().0.iter().zip(even).zip(odd) {
        add(&mut block, one);
        salsa(&mut block);
        *even = block;
        add(&mut block, other);
        salsa(&mut block);
        *odd = block;
    }
}

fn add(to: &mut Block, from: &Block) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to ^= from);
}

/// Salsa20/8 (section 3).
fn salsa(block: &mut Block) {
    let before = *block;
    for _ in 0..4 {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = block;
        quarter(a, e, i, m);
        quarter(f, j, n, b);
        quarter(k, o, c, g);
        quarter(p, d, h, l);
        quarter(a, b, c, d);
        quarter(f, g, h, e);
        quarter(k, l, i, j);
        quarter(p, m, n, o);
    }
    block.iter_mut().zip(before).for_each(|(word, before)| *word = word.wrapping_add(before));
}

fn quarter(a: &mut u32, b: &mut u32, c: &mut u32, d: &mut u32) {
    *b ^= a.wrapping_add(*d).rotate_left(7);
    *c ^= b.wrapping_add(*a).rotate_left(9);
    *d ^= c.wrapping_add(*b).rotate_left(13);
    *a ^= d.wrapping_add(*c).rotate_left(18);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sasl::encoding::hex;

    #[test]
    fn the_vectors_of_the_rfc() {
        let hash = |password: &str, salt: &str, log_n, r, p| {
            let mut out = [0; 64];
            scrypt(&Secret::from(password), salt.as_bytes(), log_n, r, p, &mut out);
            hex(&out)
        };
        assert_eq!(
            hash("", "", 4, 1, 1),
            "77d6576238657b203b19ca42c18a0497f16b4844e3074ae8dfdffa3fede21442\
             fcd0069ded0948f8326a753a0fc81f17e8d3e0fb2e0d3628cf35e20c38d18906"
        );
        assert_eq!(
            hash("password", "NaCl", 10, 8, 16),
            "fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b373162\
             2eaf30d92e22a3886ff109279d9830dac727afb94a83ee6d8360cbdfa2cc0640"
        );
    }
}
