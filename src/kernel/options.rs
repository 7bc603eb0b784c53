//! The options, in one table: variable, default, meaning. Read once, by the constructor.
//!
//! Safety: `getenv` is called before any green thread exists.

use core::ffi::{CStr, c_char};
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use super::log;

/// One numeric option. Its value is fixed after [`load`].
#[derive(Debug)]
pub struct Switch {
    /// The environment variable.
    pub variable: &'static CStr,
    /// One line for `--help` and the README.
    pub doc: &'static str,
    value: AtomicU64,
}

impl Switch {
    const fn new(variable: &'static CStr, default: u64, doc: &'static str) -> Switch {
        Switch { variable, doc, value: AtomicU64::new(default) }
    }

    /// The number it stands at.
    pub fn get(&self) -> u64 {
        self.value.load(Ordering::Relaxed)
    }

    /// Whether it is not zero.
    pub fn on(&self) -> bool {
        self.get() != 0
    }

    /// Sets it; for tests that link the core.
    pub fn set(&self, value: u64) {
        self.value.store(value, Ordering::Relaxed);
    }
}

/// One text option. Its value is fixed after [`load`].
#[derive(Debug)]
pub struct Text {
    variable: &'static CStr,
    value: AtomicPtr<c_char>,
}

impl Text {
    const fn new(variable: &'static CStr) -> Text {
        Text { variable, value: AtomicPtr::new(ptr::null_mut()) }
    }

    /// Its value, empty by default.
    pub fn get(&self) -> &'static [u8] {
        let value = self.value.load(Ordering::Relaxed);
        if value.is_null() {
            return &[];
        }
        // SAFETY: getenv gave a NUL-terminated string; the environment block stays.
        unsafe { CStr::from_ptr(value) }.to_bytes()
    }
}

/// EVENTLET_PREEMPT
pub static PREEMPT: Switch =
    Switch::new(c"EVENTLET_PREEMPT", 1, "0: never preempt a thread that hogs the hub");
/// EVENTLET_STACK_SIZE
pub static STACK_SIZE: Switch = Switch::new(
    c"EVENTLET_STACK_SIZE",
    0,
    "stack bytes of threads that ask for none (k, m, g allowed; 0: RLIMIT_STACK)",
);
/// EVENTLET_CHILDREN
pub static CHILDREN: Switch = Switch::new(
    c"EVENTLET_CHILDREN",
    1,
    "0: programs that this one starts, or becomes by exec, do not inherit the library",
);
/// EVENTLET_LOG
pub static LOG: Switch =
    Switch::new(c"EVENTLET_LOG", 0, "1: say on stderr what is in force and what could not be made green");
/// EVENTLET_DETECT
pub static DETECT: Switch = Switch::new(
    c"EVENTLET_DETECT",
    0,
    "1: abort when a parked thread's wait is over and nobody woke it (for tests)",
);
/// EVENTLET_STATS
pub static STATS: Switch = Switch::new(c"EVENTLET_STATS", 0, "1: print the counters on stderr at exit");
/// EVENTLET_THREADPOOL_SIZE
pub static THREADPOOL_SIZE: Switch = Switch::new(
    c"EVENTLET_THREADPOOL_SIZE",
    20,
    "real threads of eventlet_tpool_execute and of its name look-ups at most; 0: none, all in place",
);
/// EVENTLET_FAULT: test hooks, a bit mask of [`fault`].
pub static FAULT: Switch =
    Switch::new(c"EVENTLET_FAULT", 0, "test hooks that make a part fail; see src/kernel/options.rs");

/// EVENTLET_NATIVE: file names of objects (shell patterns between colons) whose threads stay real, beside the known ones.
pub static NATIVE: Text = Text::new(c"EVENTLET_NATIVE");

/// EVENTLET_PATCH: the groups that are patched from the start, words between commas.
pub static PATCH: Text = Text::new(c"EVENTLET_PATCH");

/// Bits of [`FAULT`].
pub mod fault {
    /// The self-check of glibc's thread layout fails.
    pub const LAYOUT: u64 = 1;
    /// `park` returns at once.
    pub const PARK: u64 = 2;
    /// RWF_NOWAIT is not there.
    pub const NO_NOWAIT: u64 = 4;
    /// MADV_GUARD_INSTALL is not there.
    pub const NO_GUARD_INSTALL: u64 = 8;
    /// io_uring is not there.
    pub const NO_URING: u64 = 16;
    /// Pages of code cannot be swapped.
    pub const NO_SWAP: u64 = 32;
    /// libc's code cannot be changed at all: no deep layer.
    pub const NO_DEEP: u64 = 64;
    /// Nor is the hub taken out of calls inside it.
    pub const NO_RESCUE: u64 = 128;
}

/// Every option, for the reader and for `--help`.
pub static ALL: [&Switch; 8] =
    [&PREEMPT, &STACK_SIZE, &CHILDREN, &LOG, &DETECT, &STATS, &THREADPOOL_SIZE, &FAULT];

/// Reads the environment. A value that is no number is reported and ignored.
pub fn load() {
    for option in [&NATIVE, &PATCH] {
        // SAFETY: the name is NUL-terminated; nobody changes the environment during start-up.
        option.value.store(unsafe { libc::getenv(option.variable.as_ptr()) }, Ordering::Relaxed);
    }
    for option in ALL {
        // SAFETY: the name is NUL-terminated; nobody changes the environment during start-up.
        let value = unsafe { libc::getenv(option.variable.as_ptr()) };
        if value.is_null() {
            continue;
        }
        // SAFETY: getenv gives a NUL-terminated string.
        let value = unsafe { CStr::from_ptr(value) };
        match parse(value.to_bytes()) {
            Some(number) => option.set(number),
            None => log::warn(format_args!(
                "{}={} is not a number; ignored",
                option.variable.to_str().unwrap_or("?"),
                value.to_str().unwrap_or("?")
            )),
        }
    }
}

/// A decimal number with an optional k, m or g (powers of 1024); an empty text is 0.
fn parse(text: &[u8]) -> Option<u64> {
    let (digits, shift) = match text.split_last() {
        Some((b'k' | b'K', head)) => (head, 10),
        Some((b'm' | b'M', head)) => (head, 20),
        Some((b'g' | b'G', head)) => (head, 30),
        _ => (text, 0),
    };
    if digits.is_empty() && shift != 0 {
        return None;
    }
    let mut number = 0u64;
    for digit in digits {
        let digit = digit.checked_sub(b'0').filter(|d| *d <= 9)?;
        number = number.checked_mul(10)?.checked_add(digit as u64)?;
    }
    number.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn numbers_and_suffixes() {
        assert_eq!(parse(b"0"), Some(0));
        assert_eq!(parse(b"256k"), Some(256 << 10));
        assert_eq!(parse(b"8M"), Some(8 << 20));
        assert_eq!(parse(b""), Some(0));
        for bad in [&b"k"[..], b"-1", b"1x", b"99999999999999999999", b"18446744073709551615g"] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
    }
}
