//! Floor 2: the runtime. Who runs, who waits, and how a wait ends.
//!
//! One hub per process lives on the first thread; see [`hub`] for the picture. Everything that blocks does it in one
//! form: link a [`crate::data::list::Node`] of the green thread where the waker will look, then [`Green::park`];
//! whoever ends the wait calls [`hub::unpark`] (on the hub's thread) or [`inbox::push`] (from a foreign thread).

pub mod answers;
mod budget;
pub mod cancel;
pub mod cpu;
pub mod credentials;
pub mod descriptors;
pub mod detect;
pub mod edges;
pub mod entry;
pub mod errand;
pub mod everybody;
pub mod fork;
pub mod green;
pub mod hub;
pub mod identity;
pub mod inbox;
pub mod offload;
pub mod overflow;
mod parameters;
pub mod parking;
pub mod poller;
pub mod preempt;
pub mod raise;
pub mod rescue;
pub mod runqueue;
pub mod served;
pub mod signals;
pub mod spawn;
pub mod steps;
pub mod uring;
mod wait;

pub use green::{Green, Wait, Wake, current, this};
pub use hub::hub;
