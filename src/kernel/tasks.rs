//! The other kernel threads of this process, and where they stand.
//!
//! Safety: raw system calls on descriptors and buffers of our own.

use core::ffi::c_int;

use crate::syscall;

use super::Result;

/// Where another kernel thread stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// In a system call, made just before this address.
    Waits {
        /// The call.
        number: i64,
        /// The address.
        at: usize,
    },
    /// Nobody can tell.
    Runs,
}

/// Tells `each` about every kernel thread but the calling one: its tid, and where it stands.
pub fn others(mut each: impl FnMut(c_int, Place)) -> Result<()> {
    // SAFETY: takes nothing.
    let own = unsafe { syscall!(libc::SYS_gettid)? };
    let tasks = Directory::open()?;
    let mut entries = [0u64; 512];
    loop {
        // SAFETY: the buffer is ours.
        let length =
            unsafe { syscall!(libc::SYS_getdents64, tasks.0, entries.as_mut_ptr(), size_of_val(&entries))? };
        if length == 0 {
            return Ok(());
        }
        // SAFETY: the kernel has filled so many bytes.
        let mut rest = unsafe { core::slice::from_raw_parts(entries.as_ptr().cast::<u8>(), length) };
        // An entry: inode and offset (8 bytes each), its length (2), its type, its name with a NUL.
        while rest.len() > 19 {
            let size = u16::from_ne_bytes([rest[16], rest[17]]) as usize;
            let name = rest[19..size].split(|byte| *byte == 0).next().unwrap_or(&[]);
            if let Some(tid) = number(name, 10)
                && tid != own
                && let Some(place) = tasks.place(tid as c_int)
            {
                each(tid as c_int, place);
            }
            rest = &rest[size..];
        }
    }
}

/// Where the kernel thread `tid` stands; None: it is gone.
pub fn of(tid: c_int) -> Option<Place> {
    Directory::open().ok()?.place(tid)
}

/// Whether the kernel thread `tid` is on a processor or wants one, and does not sleep in a system call.
pub fn computes(tid: c_int) -> bool {
    let state = |text: &[u8]| {
        let name = text.iter().rposition(|byte| *byte == b')')?;
        text.get(name + 2).copied()
    };
    let told = Directory::open().ok().and_then(|tasks| tasks.read(tid, b"/stat", state));
    told == Some(b'R')
}

/// For how many numbers the kernel's table of this process's descriptors has room.
pub fn descriptor_room() -> Option<usize> {
    let (path, flags) = (c"/proc/self/status".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
    let mut text = [0u8; 1024];
    // SAFETY: path and buffer are ours, the descriptor is closed at once.
    let length = unsafe {
        let fd = syscall!(libc::SYS_openat, libc::AT_FDCWD, path, flags).ok()?;
        let length = syscall!(libc::SYS_read, fd, text.as_mut_ptr(), text.len());
        let _ = syscall!(libc::SYS_close, fd);
        length.ok()?
    };
    let mut lines = text[..length].split(|byte| *byte == b'\n');
    lines.find_map(|line| number(line.strip_prefix(b"FDSize:")?.trim_ascii(), 10))
}

struct Directory(c_int);

impl Directory {
    fn open() -> Result<Directory> {
        let path = c"/proc/self/task".as_ptr();
        let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC;
        // SAFETY: the path is NUL-terminated.
        Ok(Directory(unsafe { syscall!(libc::SYS_openat, libc::AT_FDCWD, path, flags)? } as c_int))
    }

    /// None: it is gone.
    fn place(&self, tid: c_int) -> Option<Place> {
        self.read(tid, b"/syscall", |text| {
            // "running", or numbers: the call's (-1: none), its arguments, the stack pointer, the program counter.
            let mut words = text.trim_ascii_end().split(|byte| *byte == b' ');
            let call = number(words.next()?, 10).map_or(-1, |call| call as i64);
            Some(match words.next_back().and_then(|last| number(last.strip_prefix(b"0x")?, 16)) {
                Some(at) => Place::Waits { number: call, at },
                None => Place::Runs,
            })
        })
    }

    /// What `told` makes of the first bytes of a kernel thread's file.
    fn read<T>(&self, tid: c_int, file: &[u8], told: impl Fn(&[u8]) -> Option<T>) -> Option<T> {
        // The number's digits end in the middle; the path begins at the first of them.
        let (mut path, mut start, mut rest) = ([0u8; 32], 16, tid);
        while rest > 0 {
            start -= 1;
            path[start] = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        path[16..][..file.len()].copy_from_slice(file);
        let mut text = [0u8; 256];
        // SAFETY: path and buffer are ours, the descriptor is closed at once.
        let length = unsafe {
            let fd =
                syscall!(libc::SYS_openat, self.0, path[start..].as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC)
                    .ok()?;
            let length = syscall!(libc::SYS_read, fd, text.as_mut_ptr(), text.len());
            let _ = syscall!(libc::SYS_close, fd);
            length.ok()?
        };
        told(&text[..length])
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // SAFETY: our own descriptor.
        let _ = unsafe { syscall!(libc::SYS_close, self.0) };
    }
}

fn number(digits: &[u8], base: usize) -> Option<usize> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0usize, |number, digit| {
        let digit = (*digit as char).to_digit(base as u32)?;
        number.checked_mul(base)?.checked_add(digit as usize)
    })
}
