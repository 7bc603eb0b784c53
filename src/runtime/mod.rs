//! Floor 2: the runtime.
