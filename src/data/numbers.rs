//! [`Numbers`]: a set of descriptor numbers, a bit each. It takes memory for what was ever in it, and a fork child has it
//! as it was. Any thread, handlers included.

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Higher numbers are never in a set.
const LIMIT: usize = 1 << 20;
const BITS: usize = u64::BITS as usize;

/// The set.
#[derive(Debug)]
pub struct Numbers {
    words: [AtomicU64; LIMIT / BITS],
    /// How many words from the first on were ever used.
    used: AtomicUsize,
}

impl Numbers {
    /// Nothing.
    #[allow(clippy::new_without_default, reason = "made in statics alone")]
    pub const fn new() -> Numbers {
        Numbers { words: [const { AtomicU64::new(0) }; LIMIT / BITS], used: AtomicUsize::new(0) }
    }

    /// Puts `fd` in.
    pub fn insert(&self, fd: i32) {
        if let Some((place, bit)) = self.place(fd) {
            self.used.fetch_max(place + 1, Ordering::Relaxed);
            self.words[place].fetch_or(bit, Ordering::Relaxed);
        }
    }

    /// Takes `fd` out.
    #[inline(always)]
    pub fn remove(&self, fd: i32) {
        if self.has(fd) {
            self.remove_all(fd as u32, fd as u32);
        }
    }

    /// Takes all of `from..=to` out.
    pub fn remove_all(&self, from: u32, to: u32) {
        let (from, to) = (from as usize, to as usize);
        let used = self.used.load(Ordering::Relaxed);
        for place in from / BITS..used.min(to / BITS + 1) {
            let below = if place == from / BITS { (1 << (from % BITS)) - 1 } else { 0 };
            let above = if place == to / BITS { (!1u64) << (to % BITS) } else { 0 };
            self.words[place].fetch_and(below | above, Ordering::Relaxed);
        }
    }

    /// Whether `fd` is in it.
    #[inline(always)]
    pub fn has(&self, fd: i32) -> bool {
        self.any()
            && self.place(fd).is_some_and(|(place, bit)| self.words[place].load(Ordering::Relaxed) & bit != 0)
    }

    /// Whether anything was ever in it.
    #[inline(always)]
    pub fn any(&self) -> bool {
        self.used.load(Ordering::Relaxed) != 0
    }

    /// Takes everything out and gives it to `each`.
    pub fn drain(&self, mut each: impl FnMut(i32)) {
        for (place, word) in self.words.iter().enumerate().take(self.used.swap(0, Ordering::Relaxed)) {
            let mut bits = word.swap(0, Ordering::Relaxed);
            while bits != 0 {
                each((place * BITS) as i32 + bits.trailing_zeros() as i32);
                bits &= bits - 1;
            }
        }
    }

    #[inline(always)]
    fn place(&self, fd: i32) -> Option<(usize, u64)> {
        let fd = fd as u32 as usize;
        (fd < LIMIT).then_some((fd / BITS, 1 << (fd % BITS)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static SET: Numbers = Numbers::new();

    #[test]
    fn in_and_out() {
        for fd in [0, 63, 64, 200, LIMIT as i32 - 1] {
            assert!(!SET.has(fd));
            SET.insert(fd);
            assert!(SET.has(fd));
        }
        SET.insert(LIMIT as i32);
        SET.insert(-1);
        assert!(!SET.has(LIMIT as i32) && !SET.has(-1));
        SET.remove(63);
        SET.remove(63);
        SET.remove_all(1, 63);
        SET.remove_all(65, 199);
        assert!(SET.has(0) && !SET.has(63) && SET.has(64) && SET.has(200));
        SET.remove_all(200, u32::MAX);
        let mut left = Vec::new();
        SET.drain(|fd| left.push(fd));
        assert_eq!((left, SET.any()), (vec![0, 64], false));
    }
}
