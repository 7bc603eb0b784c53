//! Who hears of a descriptor by SIGIO: `fcntl` and `ioctl`, where that is one thread.
//!
//! Safety: as the C functions: pointers are NULL or lead to live structs.

use core::ffi::{c_int, c_ulong};

use crate::kernel::Result;
use crate::runtime::signals::files::{
    self, F_GETOWN_EX, F_GETSIG, F_OWNER_TID, F_SETOWN_EX, F_SETSIG, OwnerEx,
};
use crate::syscall;

use super::sched;

const FIOSETOWN: c_ulong = 0x8901;
const SIOCSPGRP: c_ulong = 0x8902;
const FIOGETOWN: c_ulong = 0x8903;
const SIOCGPGRP: c_ulong = 0x8904;

/// The commands of `fcntl` about it. None: the kernel knows what to do.
pub unsafe fn fcntl(fd: c_int, command: c_int, argument: usize) -> Option<Result<c_int>> {
    match command {
        F_SETOWN_EX => {
            // SAFETY: the C function's contract.
            let wanted = unsafe { (argument as *const OwnerEx).as_ref() }?;
            let by_tid = wanted.kind == F_OWNER_TID && wanted.pid != 0;
            match sched::by_tid(wanted.pid).filter(|_| by_tid) {
                Some(green) => return Some(files::own(fd, green).map(|()| 0)),
                None => files::disown(fd),
            }
            None
        }
        libc::F_SETOWN => set(fd, argument as c_int, |nobody| {
            // SAFETY: takes numbers.
            unsafe { syscall!(libc::SYS_fcntl, fd, command, nobody) }
        }),
        F_GETOWN_EX => {
            let pid = files::owner_of(fd)?;
            // SAFETY: the C function's contract.
            unsafe { (argument as *mut OwnerEx).write(OwnerEx { kind: F_OWNER_TID, pid }) };
            Some(Ok(0))
        }
        libc::F_GETOWN => files::owner_of(fd).map(Ok),
        F_SETSIG => files::name(fd, argument as c_int),
        F_GETSIG => files::named(fd).map(Ok),
        _ => None,
    }
}

/// The same by `ioctl`, for sockets.
pub unsafe fn ioctl(fd: c_int, request: c_ulong, argument: usize) -> Option<Result<c_int>> {
    // SAFETY: the C function's contract.
    let call = |owner: *mut c_int| unsafe { syscall!(libc::SYS_ioctl, fd, request, owner) };
    let owner = argument as *mut c_int;
    match request {
        // SAFETY: as above.
        FIOSETOWN | SIOCSPGRP => set(fd, unsafe { *owner.as_ref()? }, |mut nobody| call(&mut nobody)),
        FIOGETOWN | SIOCGPGRP => {
            let pid = files::owner_of(fd)?;
            // SAFETY: as above.
            Some(call(owner).map(|_| unsafe { *owner = pid }).map(|()| 0))
        }
        _ => None,
    }
}

/// The owner is to be a process or a group. A thread that leads no process is nobody, and no error.
fn set(fd: c_int, owner: c_int, call: impl FnOnce(c_int) -> Result<usize>) -> Option<Result<c_int>> {
    files::disown(fd);
    sched::by_tid(owner).filter(|green| owner != 0 && !green.is_first())?;
    Some(call(0).map(|answer| answer as c_int))
}
