//! [`FdTable`]: what is known of each descriptor number, and who waits for it. One array indexed by number, 64 bytes
//! an entry, in memory that is reserved at activation and touched by use.
//!
//! An entry is about a *number*, not about what stands behind it in the kernel: that may be shared with other numbers
//! and other processes. Numbers beyond the table share one entry, [`FdTable::far`], which remembers nothing.
//!
//! Safety: entries are touched on the hub's kernel thread alone, but for [`Entry::gone`] and the reading of kind and
//! flags by foreign threads, which are atomic. An entry of zeroes is a valid one: unknown, nobody waits.

use core::cell::Cell;
use core::sync::atomic::{AtomicPtr, AtomicU8, AtomicU16, AtomicUsize, Ordering};

use crate::kernel::Result;

use super::list::List;

/// What a descriptor is, as far as waiting differs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Kind {
    /// Not seen yet.
    Unknown,
    /// A TCP socket: the only kind that a short read proves drained.
    Tcp,
    /// Another stream socket.
    Stream,
    /// A socket with message boundaries.
    Datagram,
    /// A pipe: RWF_NOWAIT both ways.
    Pipe,
    /// eventfd, timerfd and kin: RWF_NOWAIT for reading at best.
    Event,
    /// A terminal, a FIFO with a name, anything that can be polled and no more.
    Device,
    /// A regular file, a directory: never waits.
    Inline,
}

impl Kind {
    #[inline(always)]
    fn of(byte: u8) -> Kind {
        match byte & 7 {
            0 => Kind::Unknown,
            1 => Kind::Tcp,
            2 => Kind::Stream,
            3 => Kind::Datagram,
            4 => Kind::Pipe,
            5 => Kind::Event,
            6 => Kind::Device,
            _ => Kind::Inline,
        }
    }

    /// Whether it is a socket.
    #[inline(always)]
    pub fn is_socket(self) -> bool {
        matches!(self, Kind::Tcp | Kind::Stream | Kind::Datagram)
    }

    /// Whether it is a stream socket: a blocking send delivers everything.
    #[inline(always)]
    pub fn is_stream(self) -> bool {
        matches!(self, Kind::Tcp | Kind::Stream)
    }
}

/// Bits of an entry.
pub mod flag {
    /// A registration persists until close; the mode may be remembered.
    pub const PERSISTS: u16 = 1;
    /// Registered with the poller.
    pub const REGISTERED: u16 = 1 << 1;
    /// RDHUP, HUP, ERR or PRI came: a short read proves nothing any more.
    pub const SPECIAL: u16 = 1 << 2;
    /// Read empty, and no edge since: a reader may wait without asking.
    pub const DRAINED: u16 = 1 << 3;
    /// A short read never proves anything (TCP_ULP).
    pub const LAYERED: u16 = 1 << 4;
    /// SO_RCVLOWAT may be set: ask before each read.
    pub const LOWAT: u16 = 1 << 5;
    /// O_NONBLOCK of the program's own, when the mode is fresh.
    pub const NONBLOCK: u16 = 1 << 6;
    /// SO_SNDTIMEO is set, when the mode is fresh.
    pub const SNDTIMEO: u16 = 1 << 7;
    /// Other numbers or processes may change the mode behind this entry.
    pub const SHARED: u16 = 1 << 8;
    /// RWF_NOWAIT does not work here for reading.
    pub const NO_NOWAIT_READ: u16 = 1 << 9;
    /// RWF_NOWAIT does not work here for writing.
    pub const NO_NOWAIT_WRITE: u16 = 1 << 10;
    /// `write` ends a record (MSG_EOR): SOCK_SEQPACKET.
    pub const RECORDS: u16 = 1 << 11;
    /// The last read from this pipe had to wait.
    pub const WAITED: u16 = 1 << 12;
    /// A reader let the others go first, since the last read had to wait.
    pub const EXPECTED: u16 = 1 << 13;
    /// SO_LINGER may be set: ask before a close.
    pub const LINGER: u16 = 1 << 14;
    /// A terminal. The bit of what only sockets are.
    pub const TERMINAL: u16 = RECORDS;
    /// A socket that listens: DRAINED says that nobody has come. The bit of what only pipes are.
    pub const LISTENS: u16 = WAITED;
}

/// What a foreign thread or a handler says of a number, in [`Entry::gone`].
pub mod gone {
    /// Nothing.
    pub const NO: u8 = 0;
    /// It is being closed.
    pub const CLOSED: u8 = 1;
    /// It may have been closed: ask the kernel.
    pub const PERHAPS: u8 = 2;
}

/// One descriptor number.
#[repr(C, align(64))]
pub struct Entry<T> {
    /// Who waits to read or accept.
    pub readers: List<T>,
    /// Who waits to write or connect.
    pub writers: List<T>,
    /// Who waits in poll, select or epoll_wait.
    pub pollers: List<T>,
    /// Counts the lives of the number: what began in one life does not go on in the next.
    pub generation: Cell<u32>,
    /// The mode (NONBLOCK and the timeouts) is fresh while this is the global epoch.
    pub epoch: Cell<u32>,
    /// Of a socket [`Entry::receive_ms`], else [`Entry::other_end`].
    word: Cell<u32>,
    flags: AtomicU16,
    kind: AtomicU8,
    /// See [`gone`].
    pub gone: AtomicU8,
}

const _: () = assert!(size_of::<Entry<u8>>() == 64);

impl<T> Entry<T> {
    const fn new(flags: u16) -> Entry<T> {
        Entry {
            readers: List::new(),
            writers: List::new(),
            pollers: List::new(),
            generation: Cell::new(0),
            epoch: Cell::new(0),
            word: Cell::new(0),
            flags: AtomicU16::new(flags),
            kind: AtomicU8::new(0),
            gone: AtomicU8::new(gone::NO),
        }
    }

    /// What it is.
    #[inline(always)]
    pub fn kind(&self) -> Kind {
        Kind::of(self.kind.load(Ordering::Relaxed))
    }

    /// Says what it is.
    pub fn set_kind(&self, kind: Kind) {
        self.kind.store(kind as u8, Ordering::Relaxed);
    }

    /// All flags.
    #[inline(always)]
    pub fn flags(&self) -> u16 {
        self.flags.load(Ordering::Relaxed)
    }

    /// Whether one of `flags` is set.
    #[inline(always)]
    pub fn has(&self, flags: u16) -> bool {
        self.flags() & flags != 0
    }

    /// Sets `flags`.
    #[inline(always)]
    pub fn set(&self, flags: u16) {
        self.flags.store(self.flags() | flags, Ordering::Relaxed);
    }

    /// Clears `flags`.
    #[inline(always)]
    pub fn clear(&self, flags: u16) {
        self.flags.store(self.flags() & !flags, Ordering::Relaxed);
    }

    /// A new life of the number: nothing of the old one counts. Nobody may wait.
    pub fn renew(&self, kind: Kind, flags: u16) {
        debug_assert!(!self.waited_for());
        self.generation.set(self.generation.get().wrapping_add(1));
        self.epoch.set(0);
        self.word.set(0);
        self.flags.store(flags, Ordering::Relaxed);
        self.set_kind(kind);
        self.gone.store(gone::NO, Ordering::Relaxed);
    }

    /// SO_RCVTIMEO of a socket in milliseconds, rounded up; 0: none. Means something when the mode is fresh.
    #[inline(always)]
    pub fn receive_ms(&self) -> u32 {
        if self.kind().is_socket() { self.word.get() } else { 0 }
    }

    /// Remembers a socket's SO_RCVTIMEO.
    pub fn set_receive_ms(&self, wait: u32) {
        if self.kind().is_socket() {
            self.word.set(wait);
        }
    }

    /// The number from which what is written to this pipe was read when that was found out: it may have another life by now.
    #[inline(always)]
    pub fn other_end(&self) -> Option<i32> {
        if self.kind() == Kind::Pipe { self.word.get().checked_sub(1).map(|fd| fd as i32) } else { None }
    }

    /// Remembers it.
    pub fn set_other_end(&self, fd: i32) {
        self.word.set(fd as u32 + 1);
    }

    /// Whether anybody waits.
    pub fn waited_for(&self) -> bool {
        !(self.readers.is_empty() && self.writers.is_empty() && self.pollers.is_empty())
    }

    /// A short read emptied it: true if that is proof, and then a reader may wait without asking until the next edge.
    #[inline(always)]
    pub fn short_read(&self) -> bool {
        const DOUBT: u16 = flag::SPECIAL | flag::LAYERED | flag::LOWAT;
        let proof = self.kind() == Kind::Tcp && self.flags() & (flag::REGISTERED | DOUBT) == flag::REGISTERED;
        if proof {
            self.set(flag::DRAINED);
        }
        proof
    }
}

/// The table.
pub struct FdTable<T> {
    entries: AtomicPtr<Entry<T>>,
    count: AtomicUsize,
    used: AtomicUsize,
    far: Entry<T>,
}

// SAFETY: see the file's header.
unsafe impl<T> Sync for FdTable<T> {}

impl<T> FdTable<T> {
    /// A table without entries: every number is far.
    pub const fn new() -> FdTable<T> {
        FdTable {
            entries: AtomicPtr::new(core::ptr::null_mut()),
            count: AtomicUsize::new(0),
            used: AtomicUsize::new(0),
            far: Entry::new(flag::SHARED),
        }
    }

    /// Reserves room for the numbers below `count`. For an empty table.
    pub fn reserve(&self, count: usize) -> Result<()> {
        // SAFETY: a fresh private mapping of zeroes.
        let memory = unsafe {
            crate::syscall!(
                libc::SYS_mmap,
                0,
                count * size_of::<Entry<T>>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1isize,
                0
            )?
        };
        self.entries.store(memory as *mut Entry<T>, Ordering::Relaxed);
        self.count.store(count, Ordering::Release);
        Ok(())
    }

    /// As new (a fork child, where nobody waits): the memory is given back.
    pub fn forget(&self) {
        let count = self.count.swap(0, Ordering::Relaxed);
        let entries = self.entries.swap(core::ptr::null_mut(), Ordering::Relaxed);
        self.used.store(0, Ordering::Relaxed);
        if count > 0 {
            // SAFETY: the mapping of `reserve`; nobody holds one of its entries.
            let _ = unsafe { crate::syscall!(libc::SYS_munmap, entries, count * size_of::<Entry<T>>()) };
        }
        for list in [&self.far.readers, &self.far.writers, &self.far.pollers] {
            list.forget();
        }
    }

    /// The entry of `fd`; of a number that is negative or beyond the table, the far one.
    #[inline(always)]
    pub fn get(&self, fd: i32) -> &Entry<T> {
        let place = fd as u32 as usize;
        if place < self.count.load(Ordering::Acquire) {
            // SAFETY: inside the mapping, which stays (but in a fork child).
            unsafe { &*self.entries.load(Ordering::Relaxed).add(place) }
        } else {
            &self.far
        }
    }

    /// Whether `entry` is the one of all numbers beyond the table.
    #[inline(always)]
    pub fn is_far(&self, entry: &Entry<T>) -> bool {
        core::ptr::eq(entry, &self.far)
    }

    /// Notes that the entry of `fd` holds something.
    pub fn note(&self, fd: i32) {
        let place = fd as u32 as usize;
        if place >= self.used.load(Ordering::Relaxed) && place < self.count.load(Ordering::Relaxed) {
            self.used.store(place + 1, Ordering::Relaxed);
        }
    }

    /// The end of the numbers whose entries may hold something.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Every number whose entry may hold something, within `from..to`.
    pub fn each(&self, from: usize, to: usize) -> impl Iterator<Item = (i32, &Entry<T>)> {
        (from..to.min(self.used())).map(|fd| (fd as i32, self.get(fd as i32)))
    }
}

impl<T> Default for FdTable<T> {
    fn default() -> Self {
        FdTable::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_within_and_beyond() {
        let table = FdTable::<u32>::new();
        assert!(table.is_far(table.get(0)));
        table.reserve(100).unwrap();
        assert!(!table.is_far(table.get(99)));
        assert!(table.is_far(table.get(100)) && table.is_far(table.get(-1)));
        assert_eq!(table.get(7).kind(), Kind::Unknown);
        table.get(7).renew(Kind::Inline, flag::SHARED);
        table.note(7);
        assert_eq!(table.get(7).kind(), Kind::Inline);
        assert_eq!(table.each(0, usize::MAX).count(), 8);
        assert_eq!(table.each(5, 7).map(|(fd, _)| fd).collect::<Vec<_>>(), [5, 6]);
    }

    #[test]
    fn a_short_read_proves_only_a_plain_registered_tcp_socket_empty() {
        let table = FdTable::<u32>::new();
        table.reserve(8).unwrap();
        let entry = table.get(3);
        entry.renew(Kind::Tcp, flag::PERSISTS);
        assert!(!entry.short_read());
        entry.set(flag::REGISTERED);
        assert!(entry.short_read() && entry.has(flag::DRAINED));
        for doubt in [flag::SPECIAL, flag::LAYERED, flag::LOWAT] {
            entry.renew(Kind::Tcp, flag::REGISTERED | doubt);
            assert!(!entry.short_read() && !entry.has(flag::DRAINED));
        }
        for kind in [Kind::Stream, Kind::Datagram, Kind::Pipe, Kind::Device] {
            entry.renew(kind, flag::REGISTERED);
            assert!(!entry.short_read());
        }
    }

    #[test]
    fn a_new_life_forgets_the_old_one() {
        let table = FdTable::<u32>::new();
        table.reserve(8).unwrap();
        let entry = table.get(1);
        entry.renew(Kind::Tcp, flag::REGISTERED | flag::DRAINED);
        let first = entry.generation.get();
        entry.renew(Kind::Pipe, 0);
        assert_ne!(first, entry.generation.get());
        assert_eq!((entry.kind(), entry.flags()), (Kind::Pipe, 0));
    }
}
