//! Floor 3: the semantics of each call that can wait.

pub mod lock;
pub mod sleep;
