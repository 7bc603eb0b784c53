//! libc's code as libc describes it: where its functions start and end (`.eh_frame_hdr`), so that nothing is changed that
//! was not understood.
//!
//! Safety: code and unwind tables of a loaded libc are readable and stay as they are.

use core::ffi::{c_int, c_void};
use core::ops::Range;
use core::slice;

/// A jump with a 32-bit displacement.
pub const JUMP: usize = 5;
const ENDBR64: [u8; 4] = [0xf3, 0x0f, 0x1e, 0xfa];

/// The executable segment of libc and its table of functions.
pub struct Text {
    /// Where the code lies.
    pub code: Range<usize>,
    header: usize,
    /// Sorted: a function's start and its description, both relative to the header.
    functions: &'static [[i32; 2]],
}

impl Text {
    /// The object in which `address` lies.
    pub fn around(address: usize) -> Option<Text> {
        let mut found = (address, None);
        // SAFETY: the callback has the prototype, and its data outlives the call.
        unsafe { libc::dl_iterate_phdr(Some(look), (&raw mut found).cast()) };
        found.1
    }

    fn new(object: &libc::dl_phdr_info, address: usize) -> Option<Text> {
        // SAFETY: the loader gives as many headers as it says.
        let headers = unsafe { slice::from_raw_parts(object.dlpi_phdr, object.dlpi_phnum.into()) };
        let place = |header: &libc::Elf64_Phdr| {
            let start = (object.dlpi_addr + header.p_vaddr) as usize;
            start..start + header.p_memsz as usize
        };
        let code = headers
            .iter()
            .filter(|header| header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_X != 0)
            .map(place)
            .find(|code| code.contains(&address))?;
        let header = place(headers.iter().find(|header| header.p_type == libc::PT_GNU_EH_FRAME)?).start;
        /// Version 1; the frame's address, 4 bytes relative to here; a count of 4 bytes; a sorted table of pairs of 4
        /// bytes, relative to the header.
        const FORM: [u8; 4] = [1, 0x1b, 0x03, 0x3b];
        // SAFETY: the header of the unwind tables, mapped; the table of so many pairs follows it.
        unsafe {
            if *(header as *const [u8; 4]) != FORM {
                return None;
            }
            let count = *((header + 8) as *const u32) as usize;
            let functions = slice::from_raw_parts((header + 12) as *const [i32; 2], count);
            Some(Text { code, header, functions })
        }
    }

    /// The code of the function that starts at `address`.
    pub fn function(&self, address: usize) -> Option<&'static [u8]> {
        let relative = i32::try_from(address as isize - self.header as isize).ok()?;
        let place = self.functions.binary_search_by_key(&relative, |function| function[0]).ok()?;
        let description = self.header.wrapping_add_signed(self.functions[place][1] as isize);
        // SAFETY: a frame description of that table: length, parent, start relative to its own place, size.
        let (start, size) = unsafe {
            let [_, _, start, size] = *(description as *const [i32; 4]);
            ((description + 8).wrapping_add_signed(start as isize), size as u32 as usize)
        };
        let inside = self.code.contains(&address) && self.code.end - address >= size;
        // SAFETY: within the code.
        (start == address && inside).then(|| unsafe { slice::from_raw_parts(address as *const u8, size) })
    }

    /// The one function within `room` after `base` that `caller` calls, itself or in a function that it calls.
    pub fn callee(&self, caller: usize, base: usize, room: usize) -> Option<usize> {
        let wanted = |target: &usize| (base + 1..=base + room).contains(target);
        let own = self.callees(caller).filter(wanted);
        let next = self.callees(caller).flat_map(|function| self.callees(function)).filter(wanted);
        let mut found = own.chain(next);
        let first = found.next()?;
        found.all(|other| other == first).then_some(first)
    }

    /// The functions that the code of `caller` calls or goes on to.
    fn callees(&self, caller: usize) -> impl Iterator<Item = usize> {
        branches(self.function(caller).unwrap_or(&[]))
            .filter(|branch| branch.size == JUMP)
            .map(move |branch| caller.wrapping_add_signed(branch.target))
            .filter(move |target| *target != caller && target.is_multiple_of(16))
            .filter(|target| self.function(*target).is_some())
    }
}

unsafe extern "C" fn look(object: *mut libc::dl_phdr_info, _: usize, data: *mut c_void) -> c_int {
    // SAFETY: the loader's entry, and the pair of `around`.
    let (object, (address, found)) = unsafe { (&*object, &mut *data.cast::<(usize, Option<Text>)>()) };
    *found = Text::new(object, *address);
    found.is_some() as c_int
}

/// Bytes that may be a relative jump or call: its length, and its target from the start of the code.
struct Branch {
    size: usize,
    target: isize,
}

/// Every place in `code` that could be one. Without a decoder some are none; of true ones only `loop` and `jrcxz` are
/// missing, which compilers do not use.
fn branches(code: &[u8]) -> impl Iterator<Item = Branch> {
    (0..code.len()).filter_map(|at| {
        let (head, size) = match &code[at..] {
            [0x70..=0x7f | 0xeb, ..] => (1, 2),
            [0xe8 | 0xe9, ..] => (1, JUMP),
            [0x0f, 0x80..=0x8f, ..] => (2, JUMP + 1),
            _ => return None,
        };
        let operand = code.get(at + head..at + size)?;
        let distance = match operand {
            [near] => *near as i8 as isize,
            far => i32::from_le_bytes(far.try_into().ok()?) as isize,
        };
        Some(Branch { size, target: (at + size) as isize + distance })
    })
}

/// Where in the function `code` the jump goes: at its start, or behind a landing pad. The error says why it cannot be
/// changed.
pub fn entry(code: &[u8]) -> Result<usize, &'static str> {
    let at = if code.starts_with(&ENDBR64) { ENDBR64.len() } else { 0 };
    match &code[at..] {
        [0xe9 | 0xeb | 0xcc, ..] | [0xff, 0x25, ..] => return Err("somebody else has changed it"),
        first if first.len() < JUMP => return Err("it is too short"),
        _ => {}
    }
    let within = (at + 1) as isize..(at + JUMP) as isize;
    if branches(code).any(|branch| within.contains(&branch.target)) {
        return Err("something jumps into its first bytes");
    }
    Ok(at)
}
