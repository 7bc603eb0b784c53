//! Queues.

use core::ffi::{c_int, c_long, c_void};

use eventlet_core::blocking::face::queue::{Compare, Order, Queue};

use super::{INVALID, at, delete, during, exports, shared, store};
use crate::errno;

exports! {
    fn eventlet_queue_new(maxsize: c_long) -> *mut Queue {
        shared(|| Ok(Queue::new(Order::Fifo, maxsize)))
    }

    fn eventlet_lifo_queue_new(maxsize: c_long) -> *mut Queue {
        shared(|| Ok(Queue::new(Order::Lifo, maxsize)))
    }

    fn eventlet_priority_queue_new(maxsize: c_long, compare: Option<Compare>) -> *mut Queue {
        shared(|| Ok(Queue::new(Order::Priority(compare.ok_or(INVALID)?), maxsize)))
    }

    fn eventlet_queue_delete(queue: *mut Queue) {
        delete(queue, Queue::close)
    }

    fn eventlet_queue_put(queue: *mut Queue, item: *mut c_void, timeout: f64) -> c_int {
        errno::from(during(queue, |queue| queue.put(item, timeout)))
    }

    fn eventlet_queue_get(queue: *mut Queue, item: *mut *mut c_void, timeout: f64) -> c_int {
        errno::from(during(queue, |queue| queue.get(timeout)).map(|got| store(item, got)))
    }

    fn eventlet_queue_qsize(queue: *mut Queue) -> usize {
        at(queue).map_or(0, Queue::len)
    }

    fn eventlet_queue_empty(queue: *mut Queue) -> c_int {
        at(queue).is_ok_and(Queue::is_empty).into()
    }

    fn eventlet_queue_full(queue: *mut Queue) -> c_int {
        at(queue).is_ok_and(Queue::full).into()
    }

    fn eventlet_queue_putting(queue: *mut Queue) -> usize {
        at(queue).map_or(0, Queue::putting)
    }

    fn eventlet_queue_getting(queue: *mut Queue) -> usize {
        at(queue).map_or(0, Queue::getting)
    }

    fn eventlet_queue_resize(queue: *mut Queue, maxsize: c_long) -> c_int {
        errno::from(at(queue).and_then(|queue| queue.resize(maxsize)))
    }

    fn eventlet_queue_task_done(queue: *mut Queue) -> c_int {
        errno::from(at(queue).and_then(Queue::task_done))
    }

    fn eventlet_queue_join(queue: *mut Queue, timeout: f64) -> c_int {
        errno::from(during(queue, |queue| queue.join(timeout)))
    }
}
