//! Offload: a wait that has no pollable form gets a kernel thread of its own while it lasts, and its caller parks. Each
//! wait has one: twenty of them behind one another would else be a deadlock.
//!
//! ```text
//!   one mapping, used again when its thread is gone:
//!   | stack  <-- grows | zeroes | TCB | Helper |
//!                               ^ %fs of the helper: our word below it says "foreign thread"
//! ```
//! The thread is made anew for each wait, because then it has the credentials and namespaces that its caller has now. It
//! makes one system call and ends; libc does not know of it. All signals are blocked in it but the reserved one, which ends
//! the call: if it stands before or in the system call the handler moves it on to EINTR, and if the call is done its answer
//! stands. So nothing that a call took is lost.
//!
//! Safety: the list of helpers, and of a helper all but its atomics and `answer`, belongs to the hub's kernel thread.
//! `answer` is written before `done`, and read after. The call's memory is the caller's, which does not leave before the
//! helper is done.

use core::arch::global_asm;
use core::cell::Cell;
use core::ffi::c_void;
use core::mem::offset_of;
use core::ptr;
use core::sync::atomic::{AtomicU32, Ordering};

use crate::data::Deadline;
use crate::kernel::clone::{self, Start};
use crate::kernel::fs;
use crate::kernel::signal::bit;
use crate::kernel::syscall::check;
use crate::kernel::{Errno, Result};
use crate::syscall;

use super::green::{Green, Wait, Wake};
use super::{parking, preempt};

/// A system call that may wait.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// Its name.
    pub name: &'static str,
    /// Whether it goes on after handlers with SA_RESTART.
    pub restarts: bool,
    /// Whether it is a cancellation point.
    pub cancellable: bool,
    /// Its number.
    pub number: i64,
    /// What it is given.
    pub arguments: [usize; 6],
}

impl Call {
    /// Whether what is raised ends it. Not a close: nobody could tell whether the number is free. Nor a wait at a futex.
    fn raises(&self) -> bool {
        !matches!(self.number, libc::SYS_close | libc::SYS_futex_waitv)
    }
}

#[repr(C)]
struct Helper {
    /// Number and arguments.
    call: Cell<[usize; 7]>,
    /// 1: the call is to end.
    stop: AtomicU32,
    done: AtomicU32,
    /// The thread's tid; 0 once the kernel has done with its stack.
    tid: AtomicU32,
    answer: Cell<isize>,
    /// Who waits for it; NULL: nobody.
    owner: Cell<*const Green>,
    next: Cell<*const Helper>,
    /// The mapping: where it starts, and its length.
    memory: Cell<(usize, usize)>,
}

const PAGE: usize = 4096;
const STACK: usize = 8 * PAGE;
/// Where the helper lies in the page of its TCB.
const HELPER_AT: usize = 256;

struct Helpers(Cell<*const Helper>);

// SAFETY: the hub's kernel thread alone (file header).
unsafe impl Sync for Helpers {}

static HELPERS: Helpers = Helpers(Cell::new(ptr::null()));

fn helpers() -> impl Iterator<Item = &'static Helper> {
    let mut next = HELPERS.0.get();
    core::iter::from_fn(move || {
        // SAFETY: helpers are never unmapped but in a fork child.
        let helper = unsafe { next.as_ref() }?;
        next = helper.next.get();
        Some(helper)
    })
}

/// Does `call` on a thread of its own while `green` is parked. None: no thread could be had.
///
/// # Safety
/// As of the system call.
pub unsafe fn call(green: &'static Green, call: &Call) -> Option<Result<usize>> {
    loop {
        let helper = Helper::start(green, call).ok()?;
        let ended = helper.wait(green, call);
        let answer = check(helper.answer.get());
        helper.owner.set(ptr::null());
        return Some(match (answer, ended) {
            (Err(Errno(libc::EINTR)), Some(Wake::Cancelled)) => Err(Errno::CANCELLED),
            (Err(Errno(libc::EINTR)), Some(Wake::Restart)) if call.restarts => continue,
            (answer, _) => answer,
        });
    }
}

/// Whether a call is made for `green`.
pub(super) fn serves(green: &Green) -> bool {
    helpers().any(|helper| ptr::eq(helper.owner.get(), green))
}

/// `green` has left its wait by longjmp: its call must not go on in its memory.
pub(super) fn abandon(green: &Green) {
    for helper in helpers().filter(|helper| ptr::eq(helper.owner.get(), green)) {
        helper.stop();
        while !helper.is_done() {
            // SAFETY: takes nothing; the helper is on its way out of the kernel.
            let _ = unsafe { syscall!(libc::SYS_sched_yield) };
        }
        helper.owner.set(ptr::null());
    }
}

/// In a fork child, which has none of the threads.
pub(super) fn forked() {
    for helper in helpers() {
        let (start, length) = helper.memory.get();
        HELPERS.0.set(helper.next.get());
        // SAFETY: a copy of a mapping that nobody uses; the iterator has gone past it.
        let _ = unsafe { syscall!(libc::SYS_munmap, start, length) };
    }
}

impl Helper {
    fn is_done(&self) -> bool {
        self.done.load(Ordering::SeqCst) != 0
    }

    /// Ends the call, if it has not ended.
    fn stop(&self) {
        self.stop.store(1, Ordering::SeqCst);
        // SAFETY: a signal for a thread of ours; one that is gone, or another with its number, does not mind.
        unsafe {
            let pid = syscall!(libc::SYS_getpid).unwrap_or(0);
            let _ = syscall!(libc::SYS_tgkill, pid, self.tid.load(Ordering::SeqCst), preempt::SIGNAL);
        }
    }

    /// Parks `green` until the helper is done; what else ended the wait.
    fn wait(&self, green: &Green, call: &Call) -> Option<Wake> {
        let address = ptr::from_ref(self) as usize;
        let mut ended = None;
        while !self.is_done() {
            green.expect(Wait {
                call: call.name,
                over,
                a: address,
                b: 0,
                interruptible: ended.is_none(),
                cancellable: call.cancellable && ended.is_none(),
                raises: call.raises() && ended.is_none(),
                looks: false,
            });
            let wake = parking::park(green, address, Deadline::NEVER, false, || !self.is_done());
            if matches!(wake, Some(Wake::Interrupted | Wake::Restart | Wake::Cancelled)) && ended.is_none() {
                ended = wake;
                self.stop();
            }
        }
        ended
    }

    fn start(green: &Green, call: &Call) -> Result<&'static Helper> {
        preempt::install_handler()?;
        let free = |helper: &&Helper| helper.owner.get().is_null() && helper.tid.load(Ordering::SeqCst) == 0;
        let helper = match helpers().find(free) {
            Some(helper) => helper,
            None => Helper::new()?,
        };
        let [a, b, c, d, e, f] = call.arguments;
        helper.call.set([call.number as usize, a, b, c, d, e, f]);
        helper.stop.store(0, Ordering::Relaxed);
        helper.done.store(0, Ordering::Relaxed);
        helper.clone()?;
        helper.owner.set(green);
        Ok(helper)
    }

    fn new() -> Result<&'static Helper> {
        let below = fs::this_of(0).addr().wrapping_neg().next_multiple_of(PAGE);
        let length = STACK + below + PAGE;
        // SAFETY: a fresh mapping.
        let start = unsafe {
            syscall!(
                libc::SYS_mmap,
                0,
                length,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1isize,
                0
            )?
        };
        let tcb = start + length - PAGE;
        // SAFETY: within the mapping; zeroes are a Helper, and a TCB names itself at these places.
        let helper = unsafe {
            *(tcb as *mut usize) = tcb;
            *((tcb + 16) as *mut usize) = tcb;
            &*((tcb + HELPER_AT) as *const Helper)
        };
        helper.memory.set((start, length));
        helper.next.set(HELPERS.0.replace(helper));
        Ok(helper)
    }

    /// Makes its thread.
    fn clone(&self) -> Result<()> {
        let tcb = ptr::from_ref(self) as usize - HELPER_AT;
        let start = Start {
            top: self.memory.get().0 + STACK,
            run: helper,
            argument: ptr::from_ref(self) as usize,
            mask: !bit(preempt::SIGNAL),
            own: Some((tcb, &self.tid)),
        };
        // SAFETY: a stack and a TLS block of its own, until `tid` is 0 again.
        unsafe { clone::start(&start) }.map(drop)
    }
}

/// For [`Wait::over`].
fn over(address: usize, _: usize) -> bool {
    // SAFETY: the address of a helper that is waited for.
    unsafe { &*(address as *const Helper) }.is_done()
}

extern "C" fn helper(helper: usize) -> ! {
    // SAFETY: its own Helper, and the caller's own call. The thread uses neither libc nor TLS.
    unsafe {
        let helper = &*(helper as *const Helper);
        let _ = syscall!(libc::SYS_prctl, libc::PR_SET_NAME, c"eventlet-wait".as_ptr());
        helper.answer.set(eventlet_offload_call(ptr::from_ref(helper) as usize));
        helper.done.store(1, Ordering::SeqCst);
        parking::wake(ptr::from_ref(helper) as usize, 1);
    }
    clone::end()
}

unsafe extern "C" {
    fn eventlet_offload_call(helper: usize) -> isize;
    static eventlet_offload_from: u8;
    static eventlet_offload_to: u8;
    static eventlet_offload_stopped: u8;
}

// From `from` to before `to` the call has not been made, or is to be made again: it may be stopped there.
global_asm!(
    ".pushsection .text",
    ".hidden eventlet_offload_call",
    ".hidden eventlet_offload_from",
    ".hidden eventlet_offload_to",
    ".hidden eventlet_offload_stopped",
    ".globl eventlet_offload_call, eventlet_offload_from, eventlet_offload_to, eventlet_offload_stopped",
    ".type eventlet_offload_call,@function",
    "eventlet_offload_call:",
    "push rbx",
    "mov rbx, rdi",
    "eventlet_offload_from:",
    "cmp dword ptr [rbx + {stop}], 0",
    "jne eventlet_offload_stopped",
    "mov rax, [rbx]",
    "mov rdi, [rbx + 8]",
    "mov rsi, [rbx + 16]",
    "mov rdx, [rbx + 24]",
    "mov r10, [rbx + 32]",
    "mov r8, [rbx + 40]",
    "mov r9, [rbx + 48]",
    "syscall",
    "eventlet_offload_to:",
    "pop rbx",
    "ret",
    "eventlet_offload_stopped:",
    "mov rax, {eintr}",
    "jmp eventlet_offload_to",
    ".size eventlet_offload_call, . - eventlet_offload_call",
    ".popsection",
    stop = const offset_of!(Helper, stop),
    eintr = const -libc::EINTR,
);

const _: () = assert!(offset_of!(Helper, call) == 0 && HELPER_AT + size_of::<Helper>() <= PAGE);

/// The reserved signal has come to a foreign thread: a helper that is to stop does.
pub(super) fn on_signal(context: *mut c_void) {
    let address = |place: *const u8| place as usize;
    let (from, to) = (address(&raw const eventlet_offload_from), address(&raw const eventlet_offload_to));
    // SAFETY: the kernel gives a ucontext with the interrupted registers.
    let pc = unsafe { &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs[libc::REG_RIP as usize] };
    if (from..to).contains(&(*pc as usize)) {
        *pc = address(&raw const eventlet_offload_stopped) as i64;
    }
}
