//! Time: monotonic nanoseconds. Nothing below the edge counts in milliseconds.
//!
//! Safety: the real `clock_gettime` fails only for a clock that does not exist.

use super::real::{installed, real};
use crate::syscall;

/// Nanoseconds of CLOCK_MONOTONIC.
#[inline]
pub fn now() -> u64 {
    read(libc::CLOCK_MONOTONIC).expect("CLOCK_MONOTONIC")
}

/// Nanoseconds of `clock` (any `clockid_t`), through the vDSO; None for an unknown clock.
pub fn read(clock: libc::clockid_t) -> Option<u64> {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    if !installed() {
        // SAFETY: `t` is a live timespec.
        unsafe { syscall!(libc::SYS_clock_gettime, clock, &mut t).ok()? };
        return Some(t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64);
    }
    // SAFETY: `t` is a live timespec. On success libc's function touches no TLS, so the hub may call it.
    let answer = unsafe { (real().clock_gettime)(clock, &mut t) };
    (answer == 0).then(|| t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64)
}

/// The processor's cycle counter: cheap, uncalibrated, to tell "a while" from "just now".
#[inline(always)]
pub fn cycles() -> u64 {
    // SAFETY: rdtsc is in every x86-64.
    unsafe { core::arch::x86_64::_rdtsc() }
}
