//! libc's code as its file has it: the functions, what each calls, and the system calls that stand in it.
//!
//! ```text
//!   .dynsym          names and entries of the exported functions
//!   .eh_frame_hdr    where each function starts, the ones without a name too; .eh_frame says where it ends
//!   a linear sweep   direct calls and jumps from one function to another, addresses of functions that it takes,
//!                    `syscall` instructions with the number that was last moved to eax
//! ```
//! A call through a pointer leads nowhere here: of libc's own, those are the tables of stdio and of character sets, name
//! service modules, handlers. All of them end in functions that stand in the sweep under their own entries.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use iced_x86::{
    Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind,
    Register,
};

use crate::common::elf::{Image, Segment, Symbol};

/// A `syscall` instruction.
#[derive(Clone, Copy, Debug)]
pub struct Site {
    /// The call's number, if it is a constant.
    pub number: Option<u32>,
    /// Its second argument, if that is a constant; what a futex call does.
    pub second: Option<u32>,
}

/// One function: from an entry of the unwind tables to the next.
#[derive(Debug, Default)]
pub struct Function {
    /// Calls with a constant as their seventh argument, on the stack: to whom, and what stands at a [`Site`].
    handed: Vec<(u64, Site)>,
    /// Other functions that it calls or jumps to.
    pub calls: BTreeSet<u64>,
    pub sites: Vec<Site>,
}

/// The code of a libc.
#[derive(Debug)]
pub struct Code {
    /// The exported functions: each name's entries, one a version.
    pub names: BTreeMap<String, BTreeSet<u64>>,
    /// By entry.
    pub functions: BTreeMap<u64, Function>,
}

impl Code {
    /// Reads a libc's file.
    pub fn read(image: &Image) -> Code {
        let mut names = BTreeMap::<String, BTreeSet<u64>>::new();
        for symbol in image.symbols().filter(Symbol::is_function) {
            names.entry(symbol.name.to_owned()).or_default().insert(symbol.address);
        }
        let segment = |wanted: &dyn Fn(&Segment) -> bool| image.segments().find(wanted).expect("a segment");
        let code = segment(&|it| it.kind == Segment::LOAD && it.flags & Segment::EXECUTABLE != 0);
        let code = code.address..code.address + code.size;
        let header = segment(&|it| it.kind == Segment::UNWINDING).address;

        // Pairs of a function's start and its description, both relative to the header (see shim/src/deep/text.rs).
        let at = image.place(header);
        assert_eq!(image.0[at..at + 4], [1, 0x1b, 0x03, 0x3b], "the form of the unwind tables");
        let relative = |at: usize| header.wrapping_add_signed(image.word(at, 4) as u32 as i32 as i64);
        let described = (0..image.word(at + 8, 4) as usize).map(|number| {
            let pair = at + 12 + number * 8;
            let start = relative(pair);
            (start, start + image.word(image.place(relative(pair + 4)) + 12, 4))
        });
        let described: BTreeMap<u64, u64> = described.filter(|(start, _)| code.contains(start)).collect();

        // What has no description (some functions in assembly) reaches from its name, or from an end, to the next start.
        let mut starts: BTreeSet<u64> = described.keys().chain(described.values()).copied().collect();
        let free = |entry: &u64| described.range(..entry).next_back().is_none_or(|(_, end)| entry >= end);
        starts.extend(names.values().flatten().filter(|entry| free(entry)));
        starts.insert(code.start);
        starts.retain(|start| code.contains(start));
        let ends = starts.iter().skip(1).copied().chain([code.end]);
        let ranges = starts.iter().copied().zip(ends).map(|(start, end)| start..end);
        let bytes =
            |range: &Range<u64>| &image.0[image.place(range.start)..][..(range.end - range.start) as usize];
        let functions = ranges.map(|range| (range.start, sweep(bytes(&range), range, &starts))).collect();
        let mut code = Code { names, functions };
        code.resolve_funnels();
        code
    }

    /// From glibc 2.41 on, calls that can be cancelled are made in one nameless function, which is handed the number. They
    /// count as made where a constant is handed over.
    fn resolve_funnels(&mut self) {
        let named: BTreeSet<u64> = self.names.values().flatten().copied().collect();
        let unknown = |function: &Function| function.sites.iter().any(|site| site.number.is_none());
        let mut funnels: BTreeSet<u64> = BTreeSet::new();
        for _ in 0..3 {
            let more = self.functions.iter().filter(|(entry, function)| {
                !named.contains(entry)
                    && (unknown(function) || function.calls.iter().any(|called| funnels.contains(called)))
            });
            let more = more.map(|(entry, _)| *entry).collect::<Vec<_>>();
            funnels.extend(more);
        }
        let handed: BTreeSet<u64> = self
            .functions
            .values()
            .flat_map(|function| function.handed.iter().map(|(called, _)| *called))
            .collect();
        funnels.retain(|entry| handed.contains(entry));
        for function in self.functions.values_mut() {
            let sites: Vec<Site> = function
                .handed
                .iter()
                .filter(|(called, _)| funnels.contains(called))
                .map(|(_, site)| *site)
                .collect();
            if !sites.is_empty() {
                function.calls.retain(|called| !funnels.contains(called));
                function.sites.extend(sites);
            }
        }
    }

    /// Every function that is reached from `entries` without passing one for which `stop` holds.
    pub fn reached(&self, entries: &BTreeSet<u64>, mut stop: impl FnMut(u64) -> bool) -> BTreeSet<u64> {
        let mut rest: Vec<u64> = entries.iter().copied().collect();
        let mut reached = BTreeSet::new();
        while let Some(entry) = rest.pop() {
            if !stop(entry) && reached.insert(entry) {
                rest.extend(
                    self.functions.get(&entry).into_iter().flat_map(|function| function.calls.iter()),
                );
            }
        }
        reached
    }
}

/// Decodes one function.
fn sweep(bytes: &[u8], range: Range<u64>, starts: &BTreeSet<u64>) -> Function {
    let mut function = Function::default();
    let mut decoder = Decoder::with_ip(64, bytes, range.start, DecoderOptions::NONE);
    let instructions: Vec<Instruction> = decoder.iter().collect();
    for (number, instruction) in instructions.iter().enumerate() {
        if instruction.mnemonic() == Mnemonic::Syscall {
            let before = &instructions[..number];
            function.sites.push(Site {
                number: constant(before, Register::RAX),
                second: constant(before, Register::RSI),
            });
        }
        let direct = matches!(instruction.op0_kind(), OpKind::NearBranch64)
            && instruction.flow_control() != FlowControl::XbeginXabortXend;
        let taken = instruction.mnemonic() == Mnemonic::Lea && instruction.is_ip_rel_memory_operand();
        let target = match (direct, taken) {
            (true, _) => instruction.near_branch64(),
            (_, true) => instruction.ip_rel_memory_address(),
            _ => continue,
        };
        // A jump into another one's middle (from its cold part, say) leads there as well.
        if !range.contains(&target)
            && let Some(entry) = starts.range(..=target).next_back()
            && (direct || *entry == target)
        {
            function.calls.insert(*entry);
            if direct && let Some(pushed) = pushed(&instructions[..number]) {
                let second = constant(&instructions[..number], Register::RSI);
                function.handed.push((*entry, Site { number: Some(pushed), second }));
            }
        }
    }
    function
}

/// The constant that was pushed last, since the last call.
fn pushed(before: &[Instruction]) -> Option<u32> {
    let mut since = before.iter().rev().take_while(|instruction| instruction.mnemonic() != Mnemonic::Call);
    let last = since.find(|instruction| instruction.mnemonic() == Mnemonic::Push)?;
    matches!(last.op0_kind(), OpKind::Immediate8to64 | OpKind::Immediate32to64)
        .then(|| last.immediate(0) as u32)
}

/// What the last instruction that writes `register` puts there, if that is a constant.
fn constant(before: &[Instruction], register: Register) -> Option<u32> {
    let mut factory = InstructionInfoFactory::new();
    let writes = |instruction: &Instruction| {
        let info = factory.info(instruction);
        info.used_registers().iter().any(|used| {
            used.register().full_register() == register
                && !matches!(used.access(), OpAccess::Read | OpAccess::CondRead | OpAccess::NoMemAccess)
        })
    };
    let place = before.iter().rposition(writes)?;
    let last = &before[place];
    match (last.mnemonic(), last.op1_kind()) {
        (Mnemonic::Mov, OpKind::Immediate32 | OpKind::Immediate32to64) => Some(last.immediate32()),
        (Mnemonic::Mov, OpKind::Register) => constant(&before[..place], last.op1_register().full_register()),
        // A futex operation, turned private or not.
        (Mnemonic::Xor, OpKind::Immediate8 | OpKind::Immediate32 | OpKind::Immediate8to32) => {
            Some(last.immediate(1) as u32)
        }
        (Mnemonic::Xor | Mnemonic::Sub, OpKind::Register) if last.op0_register() == last.op1_register() => {
            Some(0)
        }
        _ => None,
    }
}
