//! Stack slots.

use corosensei::stack::{Stack, StackPointer};

/// One green thread's stack.
#[derive(Debug)]
pub struct StackSlot {
    base: StackPointer,
    limit: StackPointer,
}

// SAFETY: base and limit delimit one slot's memory.
unsafe impl Stack for StackSlot {
    fn base(&self) -> StackPointer {
        self.base
    }

    fn limit(&self) -> StackPointer {
        self.limit
    }
}
