//! The tests are one program: what they share is compiled and linked once. `cargo test --test suite sync::` runs those of
//! a subject. Beside it stand `identity` and `hub`, which need the main thread.

#[macro_use]
mod common;

mod bites;
mod by_number;
mod capi;
mod command;
mod completeness;
mod contract;
mod cpp;
mod cpython;
mod crash;
mod credentials;
mod deep;
mod descriptors;
mod echo;
mod edges;
mod every_wait;
mod examples;
mod execs;
mod exits;
mod exports;
mod forks;
mod harness;
mod http_server;
mod inert;
mod later_libc;
mod limits;
mod masks;
mod offload;
mod preempt;
mod processes;
mod property;
mod prototypes;
mod pthread;
mod python;
mod rings;
mod rust;
mod sanitizers;
mod signals;
mod sleep;
mod start;
mod stock;
mod stock_clients;
mod stock_servers;
mod stock_sessions;
mod stock_shell;
mod storm;
mod stress;
mod sync;
mod thread_identity;
mod tls;
mod transfer;
mod valgrind;
