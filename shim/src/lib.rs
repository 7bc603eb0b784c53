//! The edge: `libeventlet.so`, the only place with exports.
