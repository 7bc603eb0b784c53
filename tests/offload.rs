//! Waits without a pollable form: file locks, queues and semaphores, FIFOs, what libc's helper threads do.

#[macro_use]
mod common;

mod queues {
    use super::common;
    cases!("queues.c": received, sent, wrong, notify, interrupted);
}

cases!("helped.c": suspended, listed, ended, resolved);
cases!("offload.c": flocked, ofd, posix, lockfed, fifo_reader, fifo_writer, fifo_stream, received, sent, removed, semaphore,
    many, interrupted, restarted, cancelled, jumped, forked, timed, fifo_openat, fifo_creat, fifo_open_2,
    fifo_open64_2, fifo_openat_2, fifo_openat64_2);
