//! An ELF file as bytes: its dynamic symbols and its segments. All are 64-bit and little-endian.

/// A file's bytes.
#[derive(Debug)]
pub struct Image(pub Vec<u8>);

const SEGMENTS: usize = 0x20;
const SEGMENT_COUNT: usize = 0x38;
const SEGMENT: usize = 56;
const SECTIONS: usize = 0x28;
const SECTION_SIZE: usize = 0x3a;
const SECTION_COUNT: usize = 0x3c;
const SECTION_TYPE: usize = 4;
const SECTION_OFFSET: usize = 0x18;
const SECTION_BYTES: usize = 0x20;
const SECTION_LINK: usize = 0x28;
const DYNSYM: u64 = 11;
const SYMBOL: usize = 24;

/// A program header.
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    pub kind: u32,
    pub flags: u32,
    /// In the file.
    pub offset: u64,
    /// Where it is linked to lie.
    pub address: u64,
    pub size: u64,
}

impl Segment {
    pub const LOAD: u32 = 1;
    pub const UNWINDING: u32 = 0x6474_e550;
    pub const EXECUTABLE: u32 = 1;
}

/// A dynamic symbol.
#[derive(Clone, Copy, Debug)]
pub struct Symbol<'a> {
    pub name: &'a str,
    /// Its own place in the file.
    pub place: usize,
    /// Where it is linked to lie; 0: defined elsewhere.
    pub address: u64,
    kind: u8,
}

impl Symbol<'_> {
    /// Whether it is a function that the file defines.
    pub fn is_function(&self) -> bool {
        const FUNCTION: u8 = 2;
        const INDIRECT: u8 = 10;
        [FUNCTION, INDIRECT].contains(&self.kind) && self.address != 0
    }
}

impl Image {
    /// The little-endian number of `size` bytes.
    pub fn word(&self, at: usize, size: usize) -> u64 {
        self.0[at..at + size].iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
    }

    fn offset(&self, at: usize) -> usize {
        self.word(at, 8) as usize
    }

    /// The file offset of a section's header.
    fn section(&self, index: usize) -> usize {
        self.offset(SECTIONS) + index * self.word(SECTION_SIZE, 2) as usize
    }

    fn name(&self, at: usize) -> &str {
        let name = self.0[at..].split(|byte| *byte == 0).next().expect("a name");
        std::str::from_utf8(name).expect("UTF-8")
    }

    /// Each dynamic symbol.
    pub fn symbols(&self) -> impl Iterator<Item = Symbol<'_>> {
        let mut sections = (0..self.word(SECTION_COUNT, 2) as usize).map(|index| self.section(index));
        let is_dynsym = |section: &usize| self.word(section + SECTION_TYPE, 4) == DYNSYM;
        let section = sections.find(is_dynsym).expect("a .dynsym");
        let names = self.section(self.word(section + SECTION_LINK, 4) as usize);
        let names = self.offset(names + SECTION_OFFSET);
        let first = self.offset(section + SECTION_OFFSET);
        let places = (first..first + self.offset(section + SECTION_BYTES)).step_by(SYMBOL);
        places.map(move |place| Symbol {
            name: self.name(names + self.word(place, 4) as usize),
            place,
            address: self.word(place + 8, 8),
            kind: self.0[place + 4] & 0xf,
        })
    }

    /// Each program header.
    pub fn segments(&self) -> impl Iterator<Item = Segment> {
        let first = self.offset(SEGMENTS);
        let places = (0..self.word(SEGMENT_COUNT, 2) as usize).map(move |number| first + number * SEGMENT);
        places.map(|at| Segment {
            kind: self.word(at, 4) as u32,
            flags: self.word(at + 4, 4) as u32,
            offset: self.word(at + 8, 8),
            address: self.word(at + 16, 8),
            size: self.word(at + 32, 8),
        })
    }

    /// Where in the file lies what is linked to lie at `address`.
    pub fn place(&self, address: u64) -> usize {
        let inside = |segment: &Segment| {
            segment.kind == Segment::LOAD
                && (segment.address..segment.address + segment.size).contains(&address)
        };
        let segment = self.segments().find(inside).expect("an address within the file");
        (address - segment.address + segment.offset) as usize
    }
}
