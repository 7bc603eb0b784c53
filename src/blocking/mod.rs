//! Floor 3: the semantics of each call that can wait.

pub mod batch;
pub mod connection;
pub mod create;
pub mod epoll;
pub mod face;
pub mod helped;
pub mod io;
pub mod kind;
pub mod life;
pub mod lock;
pub mod nowait;
pub mod offloaded;
pub mod owner;
pub mod poll;
pub mod process;
pub mod rings;
pub mod sched;
pub mod select;
pub mod signal;
pub mod sleep;
pub mod socket;
pub mod terminal;
pub mod thread;
pub mod transfer;
pub mod turn;
pub mod vector;
mod whole;
