//! Floor 1: structures that know no switching.

pub mod deadline;
pub mod fdtable;
pub mod list;
pub mod stack;
pub mod timers;

pub use deadline::Deadline;
