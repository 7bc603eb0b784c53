//! The deep layer: what waits inside libc lets the others run. In each program the waiting call gets what it waits for from
//! another thread of the same process: under a library that lets it block the hub, it hangs.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crate::common::Program;

mod stdio {

    crate::cases!("deep_stdio.c": fgets_socket, fgets_pipe, line, scan, whole, one, wide, fill, contended, locked,
        all_streams, cancelled, reopened, logged, denied, quiet, many, wide_scan, ways_out, wide_out);
}

mod processes {

    crate::cases!("deep_process.c": run_system, run_popen, run_pclose, run_write, many, children, masks);
}

mod names {

    crate::cases!("deep_names.c": addrinfo, families, hostbyname, query, reentrant, reentrant2, search, state, nameinfo,
        hostbyaddr);
}

mod lookups {

    crate::cases!("lookups.c": by_handle, by_caller);
}

mod foreign {

    crate::cases!("deep_foreign.c": lines, ping, loader, cancel, before);
}

mod streams {

    crate::cases!("deep_streams.cpp": synced, unsynced, file);
}

mod without_rows {

    crate::cases!("rescued.c": reading, polling, futexes, child, aio, gai);
}

/// Where libc's text cannot be changed, the hub is taken out of what waits.
mod rescued {

    mod stdio {

        crate::cases!("deep_stdio.c", EVENTLET_FAULT = "64": fgets_socket, fgets_pipe, line, scan, whole, one, wide, fill,
            contended, locked, all_streams, cancelled, reopened, logged, quiet, many, wide_scan, ways_out);
    }

    mod processes {

        crate::cases!("deep_process.c", EVENTLET_FAULT = "64": run_system, run_popen, run_pclose, run_write, many,
            children, masks);
    }

    mod names {

        crate::cases!("deep_names.c", EVENTLET_FAULT = "64": addrinfo, families, hostbyname, query);
    }

    mod foreign {

        crate::cases!("deep_foreign.c", EVENTLET_FAULT = "64": lines, ping, loader, cancel, before);
    }

    mod streams {

        crate::cases!("deep_streams.cpp", EVENTLET_FAULT = "64": synced, unsynced, file);
    }

    mod without_preemption {

        crate::cases!("deep_stdio.c", EVENTLET_FAULT = "64", EVENTLET_PREEMPT = "0": fgets_socket, contended);
    }
}

/// Bits of EVENTLET_FAULT: see src/kernel/options.rs.
const NO_SWAP: &str = "32";
const NO_DEEP: &str = "64";
const NO_DEEP_NO_RESCUE: &str = "192";

#[test]
fn a_constructor_waits_under_the_loaders_lock() {
    let library = crate::common::shared("deep_library.c", "libdeep.so", &[]);
    let program = Program::of("deep_loader.c").arg(library);
    program.green();
    program.env("EVENTLET_FAULT", NO_DEEP).green();
}

#[test]
fn ctypes() {
    for python in crate::common::python::pythons() {
        crate::common::python::script(python, "deep").green();
        crate::common::python::script(python, "deep").env("EVENTLET_FAULT", NO_DEEP).green();
        crate::common::python::script(python, "handle").green();
    }
}

#[test]
fn the_layer_says_what_it_did() {
    let program = Program::of("deep_stdio.c").arg("fgets_pipe").env("EVENTLET_LOG", "1");
    for (fault, way) in [("0", "(Swap)"), (NO_SWAP, "(Protect)")] {
        let outcome = program.clone().env("EVENTLET_FAULT", fault).preloaded();
        assert!(outcome.errors().contains(way) && outcome.status.success(), "{outcome}");
        let left_out = outcome
            .errors()
            .lines()
            .any(|line| line.contains("stays as it is") || line.contains("not found"));
        assert!(!left_out, "this libc has all that is looked for\n{outcome}");
    }
}

#[test]
fn without_it_the_hub_blocks() {
    let program = Program::of("deep_stdio.c").arg("fgets_pipe").env("EVENTLET_FAULT", NO_DEEP_NO_RESCUE);
    let blocked = program.env("EVENTLET_PREEMPT", "0").limit(Duration::from_secs(2));
    assert!(catch_unwind(AssertUnwindSafe(|| blocked.green())).is_err());
}
