//! Reading the content of a message, block by block.

use std::fs::File;
use std::io::{self, Read as _};

use crate::pop::{BLOCK, Block};

/// An open message. All of it blocks on the disk.
#[derive(Debug)]
pub(super) struct Reader {
    file: File,
    /// Bytes when it was opened. What is appended later is not sent: the size was announced.
    size: u64,
    left: u64,
}

impl Reader {
    /// Reads the first block.
    pub(super) fn begin(file: File, size: u64) -> io::Result<(Self, Block)> {
        let mut reader = Self { file, size, left: size };
        let block = reader.next_block()?;
        Ok((reader, block))
    }

    /// Bytes of the whole message.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Reads the next block. The last one may come early: the file may have been cut.
    pub(super) fn next_block(&mut self) -> io::Result<Block> {
        let wanted = self.left.min(BLOCK as u64);
        let mut bytes = Vec::with_capacity(usize::try_from(wanted).unwrap_or(BLOCK));
        let read = (&self.file).take(wanted).read_to_end(&mut bytes)? as u64;
        self.left = self.left.saturating_sub(read);
        Ok(Block { bytes, last: self.left == 0 || read < wanted })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn blocks(size: usize, announced: u64) -> Vec<(usize, bool)> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        File::create(&path).unwrap().write_all(&vec![b'x'; size]).unwrap();
        let (mut reader, first) = Reader::begin(File::open(&path).unwrap(), announced).unwrap();
        let mut all = vec![(first.bytes.len(), first.last)];
        while !all.last().unwrap().1 {
            let block = reader.next_block().unwrap();
            all.push((block.bytes.len(), block.last));
        }
        all
    }

    #[test]
    fn a_message_comes_in_blocks_and_ends_with_its_announced_size() {
        assert_eq!(blocks(10, 10), [(10, true)]);
        assert_eq!(blocks(BLOCK, BLOCK as u64), [(BLOCK, true)]);
        assert_eq!(blocks(BLOCK + 1, BLOCK as u64 + 1), [(BLOCK, false), (1, true)]);
        assert_eq!(blocks(20, 10), [(10, true)], "grown");
        assert_eq!(blocks(10, BLOCK as u64 * 2), [(10, true)], "cut");
        assert_eq!(blocks(0, 10), [(0, true)]);
    }
}
