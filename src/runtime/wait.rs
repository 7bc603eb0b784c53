//! [`Wait`]: what a parked thread waits for. [`Wake`]: how that ended.

/// How a wait ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wake {
    /// What it waited for may have come: try again.
    Ready,
    /// The deadline passed.
    TimedOut,
    /// Signal handlers ran, one of them without SA_RESTART (or the call never restarts): EINTR.
    Interrupted,
    /// Signal handlers ran, all with SA_RESTART: a call that restarts goes on, others give EINTR.
    Restart,
    /// pthread_cancel: the row acts on it with the real `pthread_testcancel`.
    Cancelled,
    /// The descriptor was closed under the waiter: EBADF.
    Closed,
}

/// What a parked thread waits for: said at every park, for the lost-wake-up detector and for reports.
#[derive(Clone, Copy, Debug)]
pub struct Wait {
    /// The call, as the user knows it.
    pub call: &'static str,
    /// Would the call succeed now? Asked by the detector with `a` and `b`; raw system calls only, no errno.
    pub over: fn(usize, usize) -> bool,
    /// The subject: a descriptor, an address.
    pub a: usize,
    /// More of it.
    pub b: usize,
    /// Whether signal handlers end the wait (locks and join: no, they run and the wait goes on).
    pub interruptible: bool,
    /// Whether it is a cancellation point (POSIX 2.9.5.2).
    pub cancellable: bool,
    /// No cancellation point, but what is raised ends it: a wait for a lock of the program's.
    pub raises: bool,
    /// For descriptors: woken without a reason, it looks again. (Said by `edges`.)
    pub looks: bool,
}

impl Wait {
    /// Nobody can tell from outside whether it is over (a condition variable, a sleep).
    pub const fn opaque(call: &'static str) -> Wait {
        Wait {
            call,
            over: |_, _| false,
            a: 0,
            b: 0,
            interruptible: true,
            cancellable: true,
            raises: false,
            looks: false,
        }
    }

    /// Whether what is raised ends it.
    pub fn raised_in(&self) -> bool {
        self.cancellable || self.raises
    }
}
