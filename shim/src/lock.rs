//! Group thread: mutexes, condition variables, read-write locks, barriers, spin locks, once, semaphores.
//!
//! Rows that only wait act for green threads; those that wake do the real thing for everybody, then look for green
//! waiters.

use core::ffi::c_int;

use eventlet_core::blocking::lock::rwlock::Side;
use eventlet_core::blocking::lock::{barrier, cond, mutex, once, rwlock, sem, spin};
use eventlet_core::runtime::hub;
use libc::{
    CLOCK_REALTIME, clockid_t, pthread_barrier_t, pthread_cond_t, pthread_mutex_t, pthread_mutexattr_t,
    pthread_rwlock_t, pthread_spinlock_t, sem_t, timespec,
};

use crate::errno;
use crate::interpose::rows;

rows! { Thread;
    #[also(__pthread_mutex_init)]
    fn pthread_mutex_init(lock: *mut pthread_mutex_t, attributes: *const pthread_mutexattr_t) -> c_int {
        let answer = real()(lock, attributes);
        if answer == 0 {
            mutex::initialised(lock.cast());
        }
        answer
    }

    #[unchecked = "not declared"]
    fn pthread_mutex_getprioceiling(lock: *const pthread_mutex_t, ceiling: *mut c_int) -> c_int {
        match mutex::ceiling(lock.cast_mut().cast()) {
            Some(found) => {
                *ceiling = found;
                0
            }
            None => real()(lock, ceiling),
        }
    }

    /// Of the real-time policies, whose priorities are 1 to 99.
    #[unchecked = "not declared"]
    fn pthread_mutex_setprioceiling(lock: *mut pthread_mutex_t, ceiling: c_int, old: *mut c_int) -> c_int {
        let Some(before) = mutex::ceiling(lock.cast()) else { return real()(lock, ceiling, old) };
        if !(1..=99).contains(&ceiling) {
            return libc::EINVAL;
        }
        let code = super::pthread_mutex_lock::body(lock);
        if code == 0 {
            mutex::set_ceiling(lock.cast(), ceiling);
            super::pthread_mutex_unlock::body(lock);
            if !old.is_null() {
                *old = before;
            }
        }
        code
    }

    #[also(__pthread_mutex_lock)]
    fn pthread_mutex_lock(lock: *mut pthread_mutex_t) -> c_int { |g| errno::code(mutex::lock(g, lock.cast())) }

    #[also(__pthread_mutex_trylock)]
    fn pthread_mutex_trylock(lock: *mut pthread_mutex_t) -> c_int {
        |g| errno::code(mutex::try_lock(g, lock.cast()))
    }

    fn pthread_mutex_timedlock(lock: *mut pthread_mutex_t, time: *const timespec) -> c_int {
        |g| errno::code(mutex::lock_until(g, lock.cast(), CLOCK_REALTIME, time))
    }

    #[unchecked = "not declared"]
    fn pthread_mutex_clocklock(lock: *mut pthread_mutex_t, clock: clockid_t, time: *const timespec) -> c_int {
        |g| errno::code(mutex::lock_until(g, lock.cast(), clock, time))
    }

    #[also(__pthread_mutex_unlock)]
    fn pthread_mutex_unlock(lock: *mut pthread_mutex_t) -> c_int {
        if !hub::active() {
            return real()(lock);
        }
        errno::code(mutex::unlock(green(), lock.cast()))
    }

    fn pthread_cond_wait(cond: *mut pthread_cond_t, lock: *mut pthread_mutex_t) -> c_int {
        |g| errno::code(cond::wait(g, cond.cast(), lock.cast()))
    }

    fn pthread_cond_timedwait(cond: *mut pthread_cond_t, lock: *mut pthread_mutex_t, time: *const timespec) -> c_int {
        |g| errno::code(cond::wait_until(g, cond.cast(), lock.cast(), time))
    }

    #[unchecked = "not declared"]
    fn pthread_cond_clockwait(
        cond: *mut pthread_cond_t, lock: *mut pthread_mutex_t, clock: clockid_t, time: *const timespec
    ) -> c_int { |g| errno::code(cond::wait_clock(g, cond.cast(), lock.cast(), clock, time)) }

    fn pthread_cond_signal(cond: *mut pthread_cond_t) -> c_int {
        if cond::signal(cond.cast()) { 0 } else { real()(cond) }
    }

    fn pthread_cond_broadcast(cond: *mut pthread_cond_t) -> c_int {
        cond::broadcast(cond.cast());
        real()(cond)
    }

    #[also(__pthread_rwlock_rdlock)]
    fn pthread_rwlock_rdlock(lock: *mut pthread_rwlock_t) -> c_int {
        |g| errno::code(rwlock::lock(g, lock.cast(), Side::Read))
    }

    #[also(__pthread_rwlock_tryrdlock)]
    fn pthread_rwlock_tryrdlock(lock: *mut pthread_rwlock_t) -> c_int {
        |g| errno::code(rwlock::try_lock(g, lock.cast(), Side::Read))
    }

    #[unchecked = "not declared"]
    fn pthread_rwlock_timedrdlock(lock: *mut pthread_rwlock_t, time: *const timespec) -> c_int {
        |g| errno::code(rwlock::lock_until(g, lock.cast(), Side::Read, CLOCK_REALTIME, time))
    }

    #[unchecked = "not declared"]
    fn pthread_rwlock_clockrdlock(lock: *mut pthread_rwlock_t, clock: clockid_t, time: *const timespec) -> c_int {
        |g| errno::code(rwlock::lock_until(g, lock.cast(), Side::Read, clock, time))
    }

    #[also(__pthread_rwlock_wrlock)]
    fn pthread_rwlock_wrlock(lock: *mut pthread_rwlock_t) -> c_int {
        |g| errno::code(rwlock::lock(g, lock.cast(), Side::Write))
    }

    #[also(__pthread_rwlock_trywrlock)]
    fn pthread_rwlock_trywrlock(lock: *mut pthread_rwlock_t) -> c_int {
        |g| errno::code(rwlock::try_lock(g, lock.cast(), Side::Write))
    }

    #[unchecked = "not declared"]
    fn pthread_rwlock_timedwrlock(lock: *mut pthread_rwlock_t, time: *const timespec) -> c_int {
        |g| errno::code(rwlock::lock_until(g, lock.cast(), Side::Write, CLOCK_REALTIME, time))
    }

    #[unchecked = "not declared"]
    fn pthread_rwlock_clockwrlock(lock: *mut pthread_rwlock_t, clock: clockid_t, time: *const timespec) -> c_int {
        |g| errno::code(rwlock::lock_until(g, lock.cast(), Side::Write, clock, time))
    }

    #[also(__pthread_rwlock_unlock)]
    fn pthread_rwlock_unlock(lock: *mut pthread_rwlock_t) -> c_int {
        let answer = real()(lock);
        if answer == 0 {
            rwlock::unlocked(lock.cast());
        }
        answer
    }

    fn pthread_barrier_wait(meeting: *mut pthread_barrier_t) -> c_int {
        match green() {
            Some(g) => match barrier::wait(g, meeting as usize) {
                Ok(true) => libc::PTHREAD_BARRIER_SERIAL_THREAD,
                other => errno::code(other.map(drop)),
            },
            None => {
                let answer = real()(meeting);
                barrier::foreign_passed(meeting as usize);
                answer
            }
        }
    }

    fn pthread_barrier_destroy(meeting: *mut pthread_barrier_t) -> c_int {
        if let Some(g) = green() {
            barrier::drain(g, meeting as usize);
        }
        real()(meeting)
    }

    fn pthread_spin_lock(lock: *mut pthread_spinlock_t) -> c_int { |g| errno::code(spin::lock(g, lock)) }

    fn pthread_spin_trylock(lock: *mut pthread_spinlock_t) -> c_int { |g| errno::code(spin::try_lock(g, lock)) }

    #[unchecked = "not declared"] #[also(__pthread_once)]
    fn pthread_once(control: *mut c_int, initialiser: extern "C" fn()) -> c_int {
        if once::done(control) {
            return 0;
        }
        match green() {
            Some(g) => errno::code(once::once(g, control, initialiser)),
            None => {
                let answer = real()(control, initialiser);
                once::ended(control);
                answer
            }
        }
    }

    fn sem_wait(sem: *mut sem_t) -> c_int { |g| errno::from(sem::wait(g, sem.cast())) }

    fn sem_timedwait(sem: *mut sem_t, time: *const timespec) -> c_int {
        |g| errno::from(sem::wait_until(g, sem.cast(), CLOCK_REALTIME, time))
    }

    #[unchecked = "not declared"]
    fn sem_clockwait(sem: *mut sem_t, clock: clockid_t, time: *const timespec) -> c_int {
        |g| errno::from(sem::wait_until(g, sem.cast(), clock, time))
    }

    fn sem_trywait(sem: *mut sem_t) -> c_int { |g| errno::from(sem::try_wait(g, sem.cast())) }

    fn sem_post(sem: *mut sem_t) -> c_int {
        let answer = real()(sem);
        if answer == 0 {
            sem::posted(sem.cast());
        }
        answer
    }
}
