//! Events and semaphores.

use core::ffi::{c_int, c_long, c_void};
use core::ptr;

use eventlet_core::blocking::face::event::Event;
use eventlet_core::blocking::face::semaphore::Semaphore;

use super::{INVALID, at, delete, during, ended, exports, shared};
use crate::errno;

exports! {
    fn eventlet_event_new() -> *mut Event {
        shared(|| Ok(Event::default()))
    }

    fn eventlet_event_delete(event: *mut Event) {
        delete(event, Event::close)
    }

    fn eventlet_event_send(event: *mut Event, value: *mut c_void) -> c_int {
        errno::from(at(event).and_then(|event| event.send((0, value))))
    }

    fn eventlet_event_send_error(event: *mut Event, code: c_int) -> c_int {
        let code = if code > 0 { Ok(code) } else { Err(INVALID) };
        errno::from(code.and_then(|code| at(event)?.send((code, ptr::null_mut()))))
    }

    fn eventlet_event_wait(event: *mut Event, value: *mut *mut c_void, timeout: f64) -> c_int {
        match during(event, |event| event.wait(timeout)) {
            Ok(ending) => ended(ending, value, 0),
            Err(error) => errno::from(Err::<(), _>(error)),
        }
    }

    fn eventlet_event_ready(event: *mut Event) -> c_int {
        at(event).is_ok_and(Event::ready).into()
    }

    fn eventlet_event_reset(event: *mut Event) -> c_int {
        errno::from(at(event).and_then(Event::reset))
    }

    fn eventlet_semaphore_new(value: c_long, bound: c_long) -> *mut Semaphore {
        shared(|| Semaphore::new(value, bound))
    }

    fn eventlet_semaphore_delete(semaphore: *mut Semaphore) {
        delete(semaphore, Semaphore::close)
    }

    fn eventlet_semaphore_acquire(semaphore: *mut Semaphore, timeout: f64) -> c_int {
        errno::from(during(semaphore, |semaphore| semaphore.acquire(timeout)))
    }

    fn eventlet_semaphore_release(semaphore: *mut Semaphore) -> c_int {
        errno::from(at(semaphore).and_then(Semaphore::release))
    }

    fn eventlet_semaphore_value(semaphore: *mut Semaphore) -> c_long {
        at(semaphore).map_or(0, Semaphore::value)
    }
}
