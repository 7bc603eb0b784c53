//! Rust's standard library: threads, locks, channels, sockets, children. Its locks wait in `syscall(SYS_futex)`.

mod threads {

    crate::cases!("rust_threads.rs": spawn_join, names, scope, park, panics, thread_locals, spins, sleep_order);
}

mod locks {

    crate::cases!("rust_locks.rs": mutex, rwlock, condvar, bounded_buffer, barrier, once);
}

mod channels {

    crate::cases!("rust_channels.rs": unbounded, bounded, rendezvous, timeout, chain);
}

mod world {

    crate::cases!("rust_world.rs": tcp, udp, timeouts, shutdown, processes);

    #[test]
    fn stdio() {
        let lines: String = (0..5000).map(|i| format!("line {i}\n")).collect();
        crate::common::Program::of("rust_world.rs").arg("stdio").input(lines).green();
    }
}
