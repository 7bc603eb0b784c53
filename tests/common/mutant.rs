//! The library with rows removed: a copy whose dynamic symbols no longer define them, so that a program gets libc's.

use std::fs;
use std::ops::Range;
use std::path::PathBuf;

use super::build;
use super::elf::Image;
use super::table::table;

/// Of a symbol: from its section's number to the end of its value.
const DEFINITION: Range<usize> = 6..16;

fn undefine(image: &mut Image, row: &str) {
    let found = image.symbols().find(|symbol| symbol.name == row);
    let place = found.unwrap_or_else(|| panic!("the library has no row {row}")).place;
    image.0[place + DEFINITION.start..place + DEFINITION.end].fill(0);
}

/// A copy of the library without a row, under whatever name.
pub fn without(row: &str) -> PathBuf {
    let row = table().iter().find(|known| known.names().any(|name| name == row)).expect(row);
    build::product(&format!("without-{}.so", row.name()), build::changed(build::eventlet()), |aside| {
        let mut image = Image(fs::read(build::eventlet()).expect("the library"));
        row.names().for_each(|name| undefine(&mut image, name));
        fs::write(aside, &image.0).expect("a copy");
    })
}
