//! The two descriptors of a pump, and what it does with them without waiting.
//!
//! Safety: a number is the pump's own while its generation is as at its start: a program that closes all numbers ends it.
//! The scratch memory is not used over a switch.

use core::cell::UnsafeCell;
use core::ffi::{c_int, c_void};

use crate::blocking::{kind, life};
use crate::data::fdtable::Kind;
use crate::kernel::{Errno, Result};
use crate::runtime::{descriptors, served};
use crate::syscall;

/// What is taken at a time: four records.
pub const TAKEN: usize = 64 << 10;
/// How often in a row something is taken away.
const TIMES: u32 = 16;

struct Scratch(UnsafeCell<[u8; TAKEN]>);

// SAFETY: on the hub's kernel thread alone.
unsafe impl Sync for Scratch {}

/// Room for [`TAKEN`] bytes, until the next switch.
pub fn scratch() -> *mut u8 {
    static SCRATCH: Scratch = Scratch(UnsafeCell::new([0; TAKEN]));
    SCRATCH.0.get().cast()
}

/// A descriptor of a pump's.
pub struct Descriptor {
    /// Its number.
    pub fd: c_int,
    generation: u32,
}

impl Descriptor {
    /// A duplicate of `fd`, out of the program's way.
    pub fn of(fd: c_int) -> Result<Descriptor> {
        let fd = served::duplicate(fd)?;
        descriptors::born(fd, Kind::Stream, 0, false);
        Ok(Descriptor { fd, generation: descriptors::entry(fd).generation.get() })
    }

    /// Whether the number still means it.
    pub fn is_ours(&self) -> bool {
        descriptors::entry(self.fd).generation.get() == self.generation
    }

    /// The context of a move from or to it.
    pub fn place(&self) -> *mut c_void {
        (&raw const self.fd).cast_mut().cast()
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        served::leaves(self.fd);
        if self.is_ours() {
            let _ = life::close_quietly(self.fd);
        }
    }
}

/// For the engine: takes from the descriptor whose place is the context.
pub unsafe extern "C" fn take(fd: *mut c_void, bytes: *mut u8, length: usize) -> isize {
    // SAFETY: a live number, and room for so many bytes.
    answer(unsafe {
        syscall!(libc::SYS_recvfrom, *fd.cast::<c_int>(), bytes, length, libc::MSG_DONTWAIT, 0, 0)
    })
}

/// For the engine: gives to the descriptor whose place is the context.
pub unsafe extern "C" fn give(fd: *mut c_void, bytes: *mut u8, length: usize) -> isize {
    const FLAGS: c_int = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: a live number, and so many bytes.
    answer(unsafe { syscall!(libc::SYS_sendto, *fd.cast::<c_int>(), bytes, length, FLAGS, 0, 0) })
}

/// For the engine: gives to nobody.
pub unsafe extern "C" fn drop_all(_: *mut c_void, _: *mut u8, length: usize) -> isize {
    length as isize
}

fn answer(result: Result<usize>) -> isize {
    result.map_or_else(|Errno(code)| -(code as isize), |count| count as isize)
}

/// Nothing could be moved.
pub const AGAIN: isize = -(libc::EAGAIN as isize);

/// O_NONBLOCK and FD_CLOEXEC of `fd`, as flags of a new socket.
pub fn flags_of(fd: c_int) -> Result<c_int> {
    // SAFETY: these take nothing.
    let (mode, flags) = unsafe {
        (syscall!(libc::SYS_fcntl, fd, libc::F_GETFL)?, syscall!(libc::SYS_fcntl, fd, libc::F_GETFD)?)
    };
    let nonblock = if mode as c_int & libc::O_NONBLOCK != 0 { libc::SOCK_NONBLOCK } else { 0 };
    Ok(nonblock | if flags as c_int & libc::FD_CLOEXEC != 0 { libc::SOCK_CLOEXEC } else { 0 })
}

/// The program's end and the pump's.
pub fn pair(flags: c_int) -> Result<(c_int, Descriptor)> {
    let mut pair = [-1; 2];
    // SAFETY: room for two.
    unsafe { life::socketpair(libc::AF_UNIX, libc::SOCK_STREAM | flags, 0, pair.as_mut_ptr())? };
    descriptors::make_green(pair[0]);
    let far = Descriptor::of(pair[1]);
    let _ = life::close_quietly(pair[1]);
    let far = far.inspect_err(|_| _ = life::close_quietly(pair[0]))?;
    Ok((pair[0], far))
}

/// A timeout that the program has set.
pub fn inherit(from: c_int, to: c_int, name: c_int) {
    let Ok(time) = kind::option::<libc::timeval>(from, libc::SOL_SOCKET, name) else { return };
    if time.tv_sec != 0 || time.tv_usec != 0 {
        // SAFETY: a live timeval.
        let _ = unsafe {
            life::setsockopt(to, libc::SOL_SOCKET, name, (&raw const time).cast(), size_of_val(&time) as u32)
        };
    }
}

/// Shuts it down.
pub fn shut(descriptor: &Descriptor, how: c_int) {
    let _ = life::shutdown(descriptor.fd, how);
}

/// Takes away what has come; whether that was all that ever will.
pub fn discard(descriptor: &Descriptor) -> bool {
    for _ in 0..TIMES {
        // SAFETY: the scratch memory is ours until the next switch.
        match unsafe { take(descriptor.place(), scratch(), TAKEN) } {
            1.. => {}
            AGAIN => return false,
            _ => return true,
        }
    }
    false
}
