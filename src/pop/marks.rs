//! Messages that are marked as deleted.

/// A set of message numbers, counted from 0. It takes no memory as long as it is empty, then one bit for each message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    words: Vec<u64>,
    count: usize,
}

const BITS: usize = u64::BITS as usize;

impl Marks {
    /// Whether the message is in the set.
    #[must_use]
    pub fn has(&self, index: usize) -> bool {
        self.words.get(index / BITS).is_some_and(|word| word >> (index % BITS) & 1 == 1)
    }

    /// Puts a message into the set.
    pub fn add(&mut self, index: usize) {
        if self.words.len() <= index / BITS {
            self.words.resize(index / BITS + 1, 0);
        }
        if !self.has(index)
            && let Some(word) = self.words.get_mut(index / BITS)
        {
            *word |= 1 << (index % BITS);
            self.count += 1;
        }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// The numbers, in order.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.words.len() * BITS).filter(|index| self.has(*index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_marked_once() {
        let mut marks = Marks::default();
        assert_eq!((marks.count(), marks.has(5), marks.iter().count()), (0, false, 0));
        for index in [70, 0, 63, 64, 70] {
            marks.add(index);
        }
        assert_eq!(marks.iter().collect::<Vec<_>>(), [0, 63, 64, 70]);
        assert_eq!((marks.count(), marks.has(64), marks.has(65), marks.has(1000)), (4, true, false, false));
    }
}
