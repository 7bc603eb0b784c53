//! The library with rows removed: a copy whose dynamic symbols no longer define them, so that a program gets libc's.

use std::fs;
use std::path::PathBuf;

use super::build;
use super::table::table;

/// The ELF words this needs; all are of a 64-bit little-endian file.
mod elf {
    pub const SECTIONS: usize = 0x28;
    pub const SECTION_SIZE: usize = 0x3a;
    pub const SECTION_COUNT: usize = 0x3c;
    pub const SECTION_TYPE: usize = 4;
    pub const SECTION_OFFSET: usize = 0x18;
    pub const SECTION_BYTES: usize = 0x20;
    pub const SECTION_LINK: usize = 0x28;
    pub const DYNSYM: u32 = 11;
    pub const SYMBOL: usize = 24;
    /// From st_shndx to the end of st_value.
    pub const DEFINITION: std::ops::Range<usize> = 6..16;
}

struct Image(Vec<u8>);

impl Image {
    fn word<const N: usize>(&self, at: usize) -> u64 {
        let mut bytes = [0; 8];
        bytes[..N].copy_from_slice(&self.0[at..at + N]);
        u64::from_le_bytes(bytes)
    }

    fn offset(&self, at: usize) -> usize {
        self.word::<8>(at) as usize
    }

    /// The file offset of a section's header.
    fn section(&self, index: usize) -> usize {
        self.offset(elf::SECTIONS) + index * self.word::<2>(elf::SECTION_SIZE) as usize
    }

    fn dynamic_symbols(&self) -> usize {
        let mut sections = (0..self.word::<2>(elf::SECTION_COUNT) as usize).map(|index| self.section(index));
        let is_dynsym = |section: &usize| self.word::<4>(section + elf::SECTION_TYPE) == elf::DYNSYM as u64;
        sections.find(is_dynsym).expect("a .dynsym")
    }

    fn name(&self, at: usize) -> &str {
        let name = self.0[at..].split(|byte| *byte == 0).next().expect("a name");
        std::str::from_utf8(name).expect("UTF-8")
    }

    /// Each dynamic symbol: its file offset and its name.
    fn symbols(&self) -> impl Iterator<Item = (usize, &str)> {
        let section = self.dynamic_symbols();
        let names = self.section(self.word::<4>(section + elf::SECTION_LINK) as usize);
        let names = self.offset(names + elf::SECTION_OFFSET);
        let first = self.offset(section + elf::SECTION_OFFSET);
        let symbols = (first..first + self.offset(section + elf::SECTION_BYTES)).step_by(elf::SYMBOL);
        symbols.map(move |symbol| (symbol, self.name(names + self.word::<4>(symbol) as usize)))
    }

    fn undefine(&mut self, row: &str) {
        let found = self.symbols().find(|(_, name)| *name == row);
        let (symbol, _) = found.unwrap_or_else(|| panic!("the library has no row {row}"));
        self.0[symbol + elf::DEFINITION.start..symbol + elf::DEFINITION.end].fill(0);
    }
}

/// A copy of the library without a row, under whatever name.
pub fn without(row: &str) -> PathBuf {
    let row = table().iter().find(|known| known.names().any(|name| name == row)).expect(row);
    build::product(&format!("without-{}.so", row.name()), build::changed(build::eventlet()), |aside| {
        let mut image = Image(fs::read(build::eventlet()).expect("the library"));
        row.names().for_each(|name| image.undefine(name));
        fs::write(aside, &image.0).expect("a copy");
    })
}
