//! Rust's standard library: threads, locks, channels, sockets, children. Its locks wait in `syscall(SYS_futex)`.

mod common;

mod threads {
    use super::common;

    crate::cases!("rust_threads.rs": spawn_join, names, scope, park, panics, thread_locals, spins, sleep_order);
}

mod locks {
    use super::common;

    crate::cases!("rust_locks.rs": mutex, rwlock, condvar, bounded_buffer, barrier, once);
}

mod channels {
    use super::common;

    crate::cases!("rust_channels.rs": unbounded, bounded, rendezvous, timeout, chain);
}

mod world {
    use super::common;

    crate::cases!("rust_world.rs": tcp, udp, timeouts, shutdown, processes);

    #[test]
    fn stdio() {
        let lines: String = (0..5000).map(|i| format!("line {i}\n")).collect();
        common::Program::of("rust_world.rs").arg("stdio").input(lines).green();
    }
}
