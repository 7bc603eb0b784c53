//! Waiting on descriptors: the traps of edge-triggered events, and what a blocking call must still do.

use crate::common::Program;

macro_rules! programs {
    ($($name:ident),* $(,)?) => {
        $(#[test]
        fn $name() {
            Program::of(concat!(stringify!($name), ".c")).green();
        })*
    };
}

programs!(fin_with_data, fd_in_data, eight_accept, shared_listener, dup_outlives, rcvlowat, two_readers);

/// A kernel without RWF_NOWAIT on pipes (4), without cheap guards (8), without io_uring (16): see
/// src/kernel/options.rs.
#[test]
fn an_older_kernel() {
    let programs = [
        ("big_write.c", "pipe_write"),
        ("big_write.c", "atomic"),
        ("broken_pipe.c", "pipe_closes"),
        ("join.c", "chain"),
        ("modes.c", "nonblocking"),
        ("multiplex.c", "poll_state"),
        ("recv_flags.c", "peek"),
        ("signals.c", "restarted"),
    ];
    for (source, case) in programs {
        Program::of(source).arg(case).env("EVENTLET_FAULT", "28").green();
    }
    for source in ["dup_outlives.c", "eight_accept.c", "two_readers.c"] {
        Program::of(source).env("EVENTLET_FAULT", "28").green();
    }
}

/// What the kernel refuses it refuses here, also where a part of a call is our own.
mod wrong_arguments {
    cases!("wrong_arguments.c": buffers, vectors, messages, polled, epolled, connected, numbered);

    #[test]
    fn an_older_kernel() {
        for case in ["buffers", "vectors", "messages"] {
            crate::common::Program::of("wrong_arguments.c").arg(case).env("EVENTLET_FAULT", "28").green();
        }
    }
}

mod many_descriptors {
    cases!("many_descriptors.c": polled, different, again, halves, selected, beyond, masks);
}

mod own_loop {
    cases!("own_loop.c": edges, once, changed, members_close, hangups, nested, crowd, exclusive, masks, forked, copied);
}

mod out_of_band {
    cases!("out_of_band.c": plain, marked);
}

mod modes {
    cases!("modes.c": nonblocking, born, timeouts, shut);
}

mod addresses {
    cases!("addresses.c": udp, crowded_datagrams, crowded_listener);
}

mod fortified {
    use std::os::unix::process::ExitStatusExt;

    cases!("fortified.c": waits, jumps);

    #[test]
    fn too_small() {
        for case in ["too_small", "too_small_recv", "too_small_poll"] {
            let outcome = crate::common::Program::of("fortified.c").arg(case).same();
            assert_eq!(outcome.status.signal(), Some(libc::SIGABRT), "{outcome}");
        }
    }
}

mod socket_timeout {
    cases!("socket_timeout.c": receive, acceptor, sender, shared);
}

mod connecting {
    cases!("connecting.c": refused, again, nonblocking, local, unanswered);
}

mod recv_flags {
    cases!("recv_flags.c": peek, waitall, datagram, empty);
}

mod big_write {
    cases!("big_write.c": tcp_write, tcp_send, tcp_writev, tcp_sendmsg, unix_write, pipe_write, pipe_writev, atomic);
}

mod broken_pipe {
    use std::os::unix::process::ExitStatusExt;

    cases!("broken_pipe.c": closed_socket, closed_pipe, pipe_closes, unix_closes);

    #[test]
    fn kills() {
        let outcome = crate::common::Program::of("broken_pipe.c").arg("kills").same();
        assert_eq!(outcome.status.signal(), Some(libc::SIGPIPE), "{outcome}");
    }
}

mod multiplex {
    cases!("multiplex.c": poll_any, poll_time, poll_state, select_any, select_time, select_closed, epoll_modes,
        epoll_shared);
}
