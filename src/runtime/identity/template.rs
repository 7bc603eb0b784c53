//! What one real thread shows of itself: the image that every green thread's `struct pthread` is copied from, and the
//! places that no descriptor names.
//!
//! The thread's stack is ours (`pthread_attr_setstack`), so that its `struct pthread` says "the program's stack", and
//! stays readable when the thread is gone: the value it returned tells where `result` lies.
//!
//! Safety: the real thread runs with all signals blocked, touches [`Sample`] alone and makes no call that takes the
//! loader's lock (its maker may hold that one, in a constructor under dlopen). Its maker touches `Sample` before and
//! after.

use core::ffi::{c_int, c_void};
use core::mem::MaybeUninit;
use core::ptr;
use core::sync::atomic::{AtomicU32, Ordering};

use crate::kernel::{fs, real::real};

use super::layout::{Layout, Link};

/// What the thread returns, and what it stores under a key: numbers found nowhere else.
const RETURNED: usize = 0x5eed_0e7e_a71e_7001;
const STORED: usize = 0x5eed_0e7e_a71e_7002;
const WORD: usize = size_of::<usize>();
const WAIT: i32 = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
const WAKE: i32 = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
/// At most so many words are kept from thread to thread.
pub const KEPT: usize = 4;
/// Stack for the thread, beside its TLS block: an odd size, so that the word that holds it is unique.
const STACK: usize = 0x2_b000;

/// What was learned.
#[derive(Debug)]
pub struct Template {
    /// The image of `struct pthread`, word by word.
    pub image: Vec<usize>,
    /// Words of the image that hold offsets into itself: to be relocated.
    pub own: Vec<usize>,
    /// The words that hold the address and the size of the stack.
    pub stack_start: usize,
    pub stack_size: usize,
    /// Offsets of the value given to pthread_exit, the resolver's state, the head of the robust list, and the flag
    /// "has thread-specific data".
    pub result: usize,
    pub resolver: usize,
    pub robust: usize,
    pub specific_used: usize,
    /// What its end set in the word that glibc keeps for cancellation.
    pub ended: i32,
    /// Offsets from the thread pointer of the words in which malloc keeps its cache and its arena: shared by all.
    pub shared: Vec<isize>,
    /// Of the words in which libc keeps what only a real thread's end gives back: the next thread takes it over. First
    /// those that hold buffers of malloc's, then (2.41) the state of getrandom.
    pub kept: Vec<isize>,
    pub buffers: usize,
}

/// What the thread writes down.
struct Sample<'a> {
    layout: &'a Layout,
    locale: libc::locale_t,
    tcb: usize,
    tid: usize,
    robust: usize,
    resolver: usize,
    linked: bool,
    data: Result<(), &'static str>,
    image: Vec<usize>,
    before: Vec<usize>,
    after: Vec<usize>,
    said: Vec<usize>,
    drew: Vec<usize>,
    done: AtomicU32,
}

/// Starts the real thread, and draws the conclusions.
pub fn learn(layout: &Layout) -> Result<Template, &'static str> {
    let size = (STACK + layout.tls_size).next_multiple_of(4096);
    let rights = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new private mapping.
    let stack = unsafe {
        crate::syscall!(libc::SYS_mmap, 0, size, rights, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0)
    }
    .map_err(|_| "no memory for the template thread")?;
    let learned = on_stack(layout, stack, size);
    // SAFETY: the thread is gone, or never was.
    let _ = unsafe { crate::syscall!(libc::SYS_munmap, stack, size) };
    learned
}

fn on_stack(layout: &Layout, stack: usize, size: usize) -> Result<Template, &'static str> {
    let words = layout.libc_tls.1 / WORD + layout.size / WORD;
    // SAFETY: "C" needs no file: glibc gives its built-in locale.
    let locale = unsafe { libc::newlocale(libc::LC_ALL_MASK, c"C".as_ptr(), ptr::null_mut()) };
    let mut sample = Sample {
        layout,
        locale,
        tcb: 0,
        tid: 0,
        robust: 0,
        resolver: 0,
        linked: false,
        data: Ok(()),
        image: vec![0; layout.size / WORD],
        before: vec![0; words],
        after: vec![0; words],
        said: vec![0; words],
        drew: vec![0; words],
        done: AtomicU32::new(0),
    };
    run_thread(&mut sample, stack, size)?;
    let Sample { tcb, tid, robust, resolver, linked, data, image, before, after, said, drew, .. } = sample;
    data?;
    let end = tcb + layout.size;
    if !(stack..stack + size).contains(&tcb) || end > stack + size {
        return Err("the template thread's block is not on its stack");
    }
    let inside = |address: usize| (tcb..end).contains(&address);
    if image[0] != tcb || image[2] != tcb || !linked || !inside(robust) || !inside(resolver) {
        return Err("the template thread's block is not as expected");
    }
    if image[layout.tid / WORD] as u32 != tid as u32 && (image[layout.tid / WORD] >> 32) as u32 != tid as u32
    {
        return Err("tid is not where the descriptor says");
    }
    if image[(robust - tcb) / WORD] != robust || !robust.is_multiple_of(WORD) {
        return Err("the robust list is not empty");
    }
    // SAFETY: the stack is still mapped, and the thread that wrote it has been joined.
    let dead = unsafe { core::slice::from_raw_parts(tcb as *const usize, image.len()) };
    let result = only(dead, RETURNED).ok_or("no place for a thread's result")?;
    let cancel_word = |words: &[usize]| (words[layout.cancel / WORD] >> (layout.cancel % WORD * 8)) as i32;
    let ended = cancel_word(dead) & !cancel_word(&image);
    let stack_start = only(&image, stack).ok_or("no place for a stack's address")?;
    let stack_size = only(&image, size).ok_or("no place for a stack's size")?;
    // malloc may be another one, which keeps its words elsewhere: those are not to be shared.
    let thread_locals = layout.libc_tls.1 / WORD;
    let shared = changed(layout, &before[..thread_locals], &after);
    let mut kept = changed(layout, &after, &said);
    let buffers = kept.len();
    kept.extend(changed(layout, &said, &drew));
    if shared.len() > 4 || kept.len() > KEPT {
        return Err("too many words of libc's change");
    }
    let (image, own) = generalise(image, tcb, stack, size, [stack_start, stack_size]);
    Ok(Template {
        image,
        own,
        stack_start,
        stack_size,
        result: result * WORD,
        resolver: resolver - tcb,
        robust: robust - tcb,
        specific_used: layout.specific + layout.blocks * WORD,
        ended,
        shared,
        kept,
        buffers,
    })
}

/// Runs the real thread to its end.
fn run_thread(sample: &mut Sample<'_>, stack: usize, size: usize) -> Result<(), &'static str> {
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    let mut thread = 0;
    let all = !0u64;
    let mut mask = 0u64;
    // SAFETY: the attributes are initialised first; the stack is ours; the sample outlives the thread, which is joined
    // here; the mask is put back as it was.
    unsafe {
        libc::pthread_attr_init(attributes.as_mut_ptr());
        if libc::pthread_attr_setstack(attributes.as_mut_ptr(), stack as *mut c_void, size) != 0 {
            return Err("the template thread's stack was refused");
        }
        let _ =
            crate::syscall!(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const all, &raw mut mask, 8);
        let made =
            (real().pthread_create)(&mut thread, attributes.as_ptr().cast(), body, (&raw mut *sample).cast());
        let _ = crate::syscall!(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const mask, 0, 8);
        libc::pthread_attr_destroy(attributes.as_mut_ptr());
        if made != 0 {
            return Err("the template thread could not be made");
        }
        // pthread_join writes into the joined thread's struct: not before the image has been taken.
        while sample.done.load(Ordering::Acquire) == 0 {
            let _ = crate::syscall!(libc::SYS_futex, &raw const sample.done, WAIT, 0, 0);
        }
        (real().pthread_join)(thread, ptr::null_mut());
    }
    Ok(())
}

extern "C" fn body(sample: *mut c_void) -> *mut c_void {
    // SAFETY: the maker waits for `done` before it looks.
    let sample = unsafe { &mut *sample.cast::<Sample<'_>>() };
    let layout = sample.layout;
    let tcb = fs::get();
    sample.tcb = tcb;
    let (mut head, mut length) = (0usize, 0usize);
    // SAFETY: the thread's own struct, of that size; system calls that write into our variables; offsets that
    // `Layout` has checked.
    unsafe {
        ptr::copy_nonoverlapping(tcb as *const usize, sample.image.as_mut_ptr(), sample.image.len());
        sample.tid = crate::syscall!(libc::SYS_gettid).unwrap_or(0);
        let _ = crate::syscall!(libc::SYS_get_robust_list, 0, &raw mut head, &raw mut length);
        sample.robust = head;
        sample.resolver = *(tcb.wrapping_add_signed(layout.resp) as *const usize);
        sample.linked = is_linked(layout.stack_user, (tcb + layout.list) as *mut Link);
        // No translations: they could make libc load a converter.
        libc::uselocale(sample.locale);
    }
    watch(layout, tcb, &mut sample.before);
    let (malloc, free) = core::hint::black_box((
        libc::malloc as unsafe extern "C" fn(usize) -> *mut c_void,
        libc::free as unsafe extern "C" fn(*mut c_void),
    ));
    for size in [24, 1000, 40_000] {
        // SAFETY: freed at once.
        unsafe { free(malloc(size)) };
    }
    watch(layout, tcb, &mut sample.after);
    // SAFETY: both give a text in a buffer of the thread's.
    unsafe {
        libc::strerror(0x5eed_5eed);
        strsignal(0x5eed_5eed);
    }
    watch(layout, tcb, &mut sample.said);
    // SAFETY: one byte of our own.
    unsafe { libc::getrandom((&raw mut head).cast(), 1, 0) };
    watch(layout, tcb, &mut sample.drew);
    sample.data = check_data(layout, tcb, &sample.image);
    let done = &raw const sample.done;
    sample.done.store(1, Ordering::Release);
    // SAFETY: a wake on an address touches no memory.
    let _ = unsafe { crate::syscall!(libc::SYS_futex, done, WAKE, 1) };
    RETURNED as *mut c_void
}

unsafe extern "C" {
    fn strsignal(signal: c_int) -> *mut core::ffi::c_char;
}

/// Takes down what is libc's own in the running thread's block: its thread-locals, then `struct pthread`.
fn watch(layout: &Layout, tcb: usize, words: &mut [usize]) {
    let (thread_locals, fields) = words.split_at_mut(layout.libc_tls.1 / WORD);
    let start = tcb.wrapping_add_signed(layout.libc_tls.0) as *const usize;
    // SAFETY: the running thread's own block, of those sizes.
    unsafe {
        ptr::copy_nonoverlapping(start, thread_locals.as_mut_ptr(), thread_locals.len());
        ptr::copy_nonoverlapping(tcb as *const usize, fields.as_mut_ptr(), fields.len());
    }
}

/// Offsets from the thread pointer of the words that changed, but for errno and what the kernel writes (rseq).
fn changed(layout: &Layout, before: &[usize], after: &[usize]) -> Vec<isize> {
    let (start, bytes) = layout.libc_tls;
    let thread_locals = bytes / WORD;
    let place = |index: usize| match index.checked_sub(thread_locals) {
        None => start + (index * WORD) as isize,
        Some(field) => (field * WORD) as isize,
    };
    let errno = layout.errno & !(WORD as isize - 1);
    let known =
        |place: &isize| *place == errno || layout.rseq.is_some_and(|rseq| (rseq..rseq + 32).contains(place));
    let changes = before.iter().zip(after).enumerate().filter(|(_, (before, after))| before != after);
    changes.map(|(index, _)| place(index)).filter(|place| !known(place)).collect()
}

/// Whether `node` is in the list, and its neighbours know it.
unsafe fn is_linked(list: *mut Link, node: *mut Link) -> bool {
    // SAFETY: the caller's promise: a list of glibc's and a node of that kind.
    unsafe {
        let mut link = (*list).next;
        while link != node && link != list {
            link = (*link).next;
        }
        link == node && (*(*link).next).previous == node && (*(*link).previous).next == node
    }
}

/// Whether thread-specific data lies where the descriptors say, and the flag beside it: not set in the image (another
/// malloc may have set it since), set by now.
fn check_data(layout: &Layout, tcb: usize, image: &[usize]) -> Result<(), &'static str> {
    extern "C" fn destroy(_: *mut c_void) {}
    let mut key = 0;
    let used = layout.specific + layout.blocks * WORD;
    let before = image[used / WORD].to_ne_bytes()[used % WORD];
    // SAFETY: the key is ours; reads inside the struct, the global array of keys and the block that holds the value.
    unsafe {
        if libc::pthread_key_create(&mut key, Some(destroy_of(destroy))) != 0 {
            return Err("no key is left");
        }
        let set = libc::pthread_setspecific(key, STORED as *const c_void);
        let after = *((tcb + used) as *const u8);
        let key = key as usize;
        let block = *((tcb + layout.specific) as *const usize).add(key / layout.entries);
        let global = layout.keys as usize + key * layout.key.size;
        let mut right = set == 0 && before == 0 && after == 1 && block != 0;
        if right {
            let entry = block + key % layout.entries * layout.data.size;
            let seq = *((entry + layout.data.seq) as *const usize);
            right = *((entry + layout.data.word) as *const usize) == STORED
                && *((global + layout.key.seq) as *const usize) == seq
                && *((global + layout.key.word) as *const usize) == destroy as *const () as usize;
        }
        libc::pthread_setspecific(key as libc::pthread_key_t, ptr::null());
        libc::pthread_key_delete(key as libc::pthread_key_t);
        if right { Ok(()) } else { Err("thread-specific data is not as the descriptors say") }
    }
}

fn destroy_of(destroy: extern "C" fn(*mut c_void)) -> unsafe extern "C" fn(*mut c_void) {
    destroy
}

/// The index of the one word that is `value`.
fn only(words: &[usize], value: usize) -> Option<usize> {
    let mut places = words.iter().enumerate().filter(|(_, word)| **word == value).map(|(index, _)| index);
    let first = places.next()?;
    places.next().is_none().then_some(first)
}

/// Makes an image without a place of its own: words into the struct become offsets (their indices are returned),
/// others into the thread's stack NULL.
fn generalise(
    mut image: Vec<usize>,
    tcb: usize,
    stack: usize,
    size: usize,
    except: [usize; 2],
) -> (Vec<usize>, Vec<usize>) {
    let end = tcb + image.len() * WORD;
    let mut own = Vec::new();
    for (index, word) in image.iter_mut().enumerate() {
        if (tcb..end).contains(word) {
            *word -= tcb;
            own.push(index);
        } else if (stack..=stack + size).contains(word) && !except.contains(&index) {
            *word = 0;
        }
    }
    (image, own)
}
