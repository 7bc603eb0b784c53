//! What `pthread_create` makes: the plan of a green thread from the program's attributes, or a real thread.
//!
//! Threads of pools that spin or compute stay real: with one core among them they would only hinder each other. Whose a
//! thread is, its start routine says, by the object that it lies in.
//!
//! Safety: as the C function. glibc's attribute getters only read. `_dl_find_object` takes no lock, not even the
//! loader's; where it is missing (before glibc 2.35) no thread is left real.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::mem::MaybeUninit;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicUsize, Ordering};

use crate::kernel::{Result, options, stats};
use crate::runtime::green::{Affinity, Scheduling};
use crate::runtime::spawn::{Plan, Stack};
use crate::runtime::{Green, credentials, errand, spawn, this};
use crate::syscall;

use super::sched;

/// File names of objects whose threads stay real.
const NATIVE: [&[u8]; 9] = [
    b"libgomp.so*",
    b"libomp.so*",
    b"libiomp*",
    b"libopenblas*",
    b"libblis*",
    b"libmkl_*",
    b"libtbb*",
    b"libjvm.so",
    b"libjli.so",
];

type Start = extern "C" fn(*mut c_void) -> *mut c_void;

unsafe extern "C" {
    fn pthread_attr_getdetachstate(attributes: *const libc::pthread_attr_t, state: *mut c_int) -> c_int;
    fn pthread_attr_getinheritsched(attributes: *const libc::pthread_attr_t, inherits: *mut c_int) -> c_int;
    fn pthread_attr_getschedpolicy(attributes: *const libc::pthread_attr_t, policy: *mut c_int) -> c_int;
    fn pthread_attr_getschedparam(
        attributes: *const libc::pthread_attr_t,
        parameters: *mut libc::sched_param,
    ) -> c_int;
    fn pthread_attr_getaffinity_np(
        attributes: *const libc::pthread_attr_t,
        size: usize,
        set: *mut c_void,
    ) -> c_int;
    fn pthread_getattr_default_np(attributes: *mut libc::pthread_attr_t) -> c_int;
    fn pthread_attr_getsigmask_np(
        attributes: *const libc::pthread_attr_t,
        mask: *mut libc::sigset_t,
    ) -> c_int;
}

/// The plan of a green thread. None: it is to be a real one. EINVAL, EPERM: such scheduling is not to be had.
pub unsafe fn plan(
    attributes: *const libc::pthread_attr_t,
    start: Start,
    arg: *mut c_void,
) -> Result<Option<Plan>> {
    if is_native(start) || !spawn::ready() {
        stats::NATIVE.bump();
        return Ok(None);
    }
    let mut default = MaybeUninit::uninit();
    // SAFETY: the program's attributes, or glibc's default ones; both are initialised.
    unsafe {
        pthread_getattr_default_np(default.as_mut_ptr());
        let attributes = if attributes.is_null() { default.as_ptr() } else { attributes };
        let (mut size, mut usual, mut guard_size, mut detached) = (0, 0, 0, 0);
        libc::pthread_attr_getstacksize(attributes, &mut size);
        libc::pthread_attr_getstacksize(default.as_ptr(), &mut usual);
        libc::pthread_attr_getguardsize(attributes, &mut guard_size);
        pthread_attr_getdetachstate(attributes, &mut detached);
        let (mut address, mut given) = (null_mut(), 0);
        libc::pthread_attr_getstack(attributes, &mut address, &mut given);
        let stack = if (address as usize).wrapping_add(given) != 0 {
            guard_size = 0;
            Stack::Own { address: address as usize, size: given }
        } else {
            Stack::Size(if size == usual { chosen(usual) } else { size })
        };
        let mask = mask(attributes);
        let (scheduling, affinity) = scheduling(attributes)?;
        Ok(Some(Plan {
            start,
            arg,
            stack,
            guard_size,
            detached: detached == libc::PTHREAD_CREATE_DETACHED,
            mask,
            scheduling,
            affinity,
            nice: this().and_then(|green| green.nice.get()),
            credentials: this().and_then(credentials::of),
        }))
    }
}

/// The plan of a detached thread of which nothing is said, by `creator`, which is green.
pub fn usual(creator: &Green, start: Start, arg: *mut c_void) -> Plan {
    let (size, guard_size) = usual_stack();
    Plan {
        start,
        arg,
        stack: Stack::Size(size),
        guard_size,
        detached: true,
        mask: creator.mask.get(),
        scheduling: creator.scheduling.get(),
        affinity: creator.affinity.get(),
        nice: creator.nice.get(),
        credentials: credentials::of(creator),
    }
}

/// The size of a stack of which nothing is said, and of its guard: as it was when it was asked for first.
fn usual_stack() -> (usize, usize) {
    static KNOWN: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];
    let [size, guard] = &KNOWN;
    if size.load(Ordering::Relaxed) == 0 {
        let mut default = MaybeUninit::uninit();
        let (mut usual, mut around) = (0, 0);
        // SAFETY: glibc's default attributes, which it initialises.
        unsafe {
            pthread_getattr_default_np(default.as_mut_ptr());
            libc::pthread_attr_getstacksize(default.as_ptr(), &mut usual);
            libc::pthread_attr_getguardsize(default.as_ptr(), &mut around);
        }
        guard.store(around, Ordering::Relaxed);
        size.store(chosen(usual), Ordering::Relaxed);
    }
    (size.load(Ordering::Relaxed), guard.load(Ordering::Relaxed))
}

/// What EVENTLET_STACK_SIZE makes of the usual size.
fn chosen(usual: usize) -> usize {
    match options::STACK_SIZE.get() as usize {
        0 => usual,
        chosen => chosen,
    }
}

/// What the attributes ask for, else what the creator keeps.
unsafe fn scheduling(
    attributes: *const libc::pthread_attr_t,
) -> Result<(Option<Scheduling>, Option<Affinity>)> {
    let kept = this().map(|green| (green.scheduling.get(), green.affinity.get()));
    let (mut scheduling, mut affinity) = kept.unwrap_or((None, None));
    let (mut inherits, mut policy) = (0, 0);
    let mut parameters = libc::sched_param { sched_priority: 0 };
    let mut set: Affinity = [0; 16];
    // SAFETY: as in `plan`; a set without an answer has all bits.
    unsafe {
        pthread_attr_getinheritsched(attributes, &mut inherits);
        if inherits == libc::PTHREAD_EXPLICIT_SCHED {
            pthread_attr_getschedpolicy(attributes, &mut policy);
            pthread_attr_getschedparam(attributes, &mut parameters);
            let wanted = Scheduling { policy, priority: parameters.sched_priority };
            scheduling = Some(errand::on_hub(|| sched::acceptable(wanted))?);
        }
        pthread_attr_getaffinity_np(attributes, size_of::<Affinity>(), set.as_mut_ptr().cast());
        if set != [!0; 16] {
            let wanted = set.as_ptr().cast();
            affinity = Some(errand::on_hub(|| sched::acceptable_affinity(size_of::<Affinity>(), wanted))?);
        }
    }
    Ok((scheduling, affinity))
}

/// The mask that the attributes ask for, else the creator's.
unsafe fn mask(attributes: *const libc::pthread_attr_t) -> u64 {
    let mut set = MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: as in `plan`; the first 8 bytes of a sigset_t are the kernel's.
    unsafe {
        if pthread_attr_getsigmask_np(attributes, set.as_mut_ptr()) == 0 {
            return set.as_ptr().cast::<u64>().read();
        }
        if let Some(green) = this() {
            return green.mask.get();
        }
        let mut mask = 0u64;
        let _ = syscall!(libc::SYS_rt_sigprocmask, libc::SIG_BLOCK, 0, &mut mask, 8);
        mask
    }
}

/// glibc's `struct dl_find_object`, and of its link map what is public.
#[repr(C)]
struct Found {
    flags: u64,
    start: *mut c_void,
    end: *mut c_void,
    map: *const LinkMap,
    eh_frame: *mut c_void,
    reserved: [u64; 7],
}

#[repr(C)]
struct LinkMap {
    base: usize,
    name: *const c_char,
}

type Find = unsafe extern "C" fn(*mut c_void, *mut Found) -> c_int;

/// `_dl_find_object`, 0 where it is missing.
static FIND: AtomicUsize = AtomicUsize::new(0);

/// Tells where `_dl_find_object` is. From the constructor.
pub fn install_find(find: *mut c_void) {
    FIND.store(find as usize, Ordering::Relaxed);
}

fn is_native(start: Start) -> bool {
    let find = FIND.load(Ordering::Relaxed);
    if find == 0 {
        return false;
    }
    let mut found = MaybeUninit::<Found>::zeroed();
    // SAFETY: glibc's function of that name; the link map of a loaded object is alive, and so is its name.
    let path = unsafe {
        let find = core::mem::transmute::<usize, Find>(find);
        if find(start as *mut c_void, found.as_mut_ptr()) != 0 {
            return false;
        }
        CStr::from_ptr((*found.assume_init_ref().map).name).to_bytes()
    };
    names_native(path)
}

fn names_native(path: &[u8]) -> bool {
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
    let more = options::NATIVE.get().split(|byte| *byte == b':').filter(|part| !part.is_empty());
    NATIVE.into_iter().chain(more).any(|pattern| matches(pattern, name))
}

/// Shell patterns with `*` and `?`.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => (0..=name.len()).any(|start| matches(rest, &name[start..])),
        (Some((wanted, pattern)), Some((byte, name))) => {
            (*wanted == b'?' || wanted == byte) && matches(pattern, name)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{matches, names_native};

    #[test]
    fn pools_are_known_by_their_file_names() {
        assert!(names_native(b"/usr/lib/x86_64-linux-gnu/libgomp.so.1"));
        assert!(names_native(b"libtbb12.so"));
        assert!(!names_native(b"/opt/libgomp.so.d/libc.so.6"));
        assert!(!names_native(b""));
        assert!(matches(b"lib?x*.so*", b"libaxy.so.1") && !matches(b"lib?x", b"libx"));
    }
}
