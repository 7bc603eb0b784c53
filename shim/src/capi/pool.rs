//! Pools, iterators, piles.

use core::ffi::{c_int, c_long, c_void};
use core::ptr;

use eventlet_core::blocking::face::counted::Counted;
use eventlet_core::blocking::face::here;
use eventlet_core::blocking::face::pile::{Iter, Next, Pile};
use eventlet_core::blocking::face::pool::Pool;
use eventlet_core::blocking::face::thread::Thread;
use eventlet_core::kernel::Result;

use super::{Function, INVALID, at, delete, during, exports, handle, next, shared};
use crate::errno;

unsafe fn spawn(pool: *mut Pool, function: Function, arg: *mut c_void) -> Result<&'static Thread> {
    // SAFETY: the handle is the program's.
    unsafe { at(pool) }?.spawn(function.ok_or(INVALID)?, arg)
}

exports! {
    fn eventlet_pool_new(size: usize) -> *mut Pool {
        handle(here().and_then(|_| Pool::make(size)).map(ptr::from_ref))
    }

    fn eventlet_pool_delete(pool: *mut Pool) {
        delete(pool, Pool::close)
    }

    fn eventlet_pool_spawn(pool: *mut Pool, function: Function, arg: *mut c_void) -> *mut Thread {
        handle(spawn(pool, function, arg).map(ptr::from_ref))
    }

    fn eventlet_pool_spawn_n(pool: *mut Pool, function: Function, arg: *mut c_void) -> c_int {
        errno::from(spawn(pool, function, arg).map(Thread::let_go))
    }

    fn eventlet_pool_waitall(pool: *mut Pool) -> c_int {
        errno::from(at(pool).and_then(Pool::wait_all))
    }

    fn eventlet_pool_resize(pool: *mut Pool, size: usize) -> c_int {
        errno::from(at(pool).and_then(|pool| pool.resize(size)))
    }

    fn eventlet_pool_free(pool: *mut Pool) -> c_long {
        at(pool).map_or(0, Pool::free)
    }

    fn eventlet_pool_size(pool: *mut Pool) -> usize {
        at(pool).map_or(0, Pool::size)
    }

    fn eventlet_pool_running(pool: *mut Pool) -> usize {
        at(pool).map_or(0, Pool::running)
    }

    fn eventlet_pool_waiting(pool: *mut Pool) -> usize {
        at(pool).map_or(0, Pool::waiting)
    }

    fn eventlet_pool_imap(
        pool: *mut Pool,
        function: Function,
        next: Option<Next>,
        context: *mut c_void,
    ) -> *mut Iter {
        handle(at(pool).and_then(|pool| {
            Iter::make(pool, function.ok_or(INVALID)?, next.ok_or(INVALID)?, context).map(ptr::from_ref)
        }))
    }

    fn eventlet_iter_next(iter: *mut Iter, result: *mut *mut c_void) -> c_int {
        next(during(iter, Iter::next), result)
    }

    fn eventlet_iter_delete(iter: *mut Iter) {
        delete(iter, Iter::close)
    }

    fn eventlet_pile_new(size: usize) -> *mut Pile {
        shared(|| Pool::make(size).map(Pile::new))
    }

    fn eventlet_pile_on(pool: *mut Pool) -> *mut Pile {
        shared(|| {
            let pool = at(pool)?;
            pool.hold();
            Ok(Pile::new(pool))
        })
    }

    fn eventlet_pile_delete(pile: *mut Pile) {
        delete(pile, |_| {})
    }

    fn eventlet_pile_spawn(pile: *mut Pile, function: Function, arg: *mut c_void) -> c_int {
        errno::from(during(pile, |pile| pile.spawn(function.ok_or(INVALID)?, arg)))
    }

    fn eventlet_pile_next(pile: *mut Pile, result: *mut *mut c_void) -> c_int {
        next(during(pile, Pile::next), result)
    }
}
