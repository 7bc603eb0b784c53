//! Floor 1: structures that know no switching.

pub mod bell;
pub mod bucket;
pub mod deadline;
pub mod fdtable;
pub mod inbox;
pub mod list;
#[cfg(all(feature = "loom", test))]
mod models;
pub mod numbers;
pub mod posts;
pub mod spinlock;
pub mod stack;
pub mod timers;

pub use deadline::Deadline;
