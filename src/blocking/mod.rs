//! Floor 3: the semantics of each call that can wait.

pub mod sleep;
