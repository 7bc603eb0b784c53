//! From descriptor to descriptor, with io_uring and RWF_NOWAIT and without; a close that waits; what else is read.

use crate::common::Program;

cases!("transfer.c": sendfile_tcp, sendfile_unix, sendfile_pipe, sendfile_wrong, splice_tcp, splice_unix, splice_to_tcp,
    splice_to_unix, splice_pipes, splice_file, nowait, teed, vmspliced, vectors, events, watched, interrupted, cancelled,
    timeouts);

#[test]
fn an_older_kernel() {
    for case in ["splice_to_tcp", "splice_pipes", "vectors"] {
        Program::of("transfer.c").arg(case).env("EVENTLET_FAULT", "28").green();
    }
}

mod lingering {
    cases!("lingering.c": closes, replaced, resets, interrupted, opens, opens_late);
}

mod readable {
    cases!("readable.c": timers, signals, changes, terminal, master_side);
}

mod other_kinds {
    cases!("other_kinds.c": refused, errors, lengths, multicast, netlink, raw, sctp, process, marked, pipes);
}

/// Calls that a signal ends with a part of it done.
mod parts {
    cases!("parts.c": restarting, ending);
}

/// Numbers that come back out of sight.
mod stale {
    cases!("stale.c": netlink);
}
