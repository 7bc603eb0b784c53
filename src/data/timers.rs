//! [`Timers`]: a binary heap of deadlines whose entries live in their owners. Insert and remove are O(log n); equal
//! deadlines fire in the order they were set.
//!
//! Safety: a [`Timer`] does not move and stays alive while it is set; one thread (the hub's) touches the heap.

use core::cell::Cell;

use super::Deadline;

/// One timer, part of what it wakes.
#[derive(Debug)]
pub struct Timer {
    deadline: Cell<Deadline>,
    order: Cell<u64>,
    act: Option<fn(&Timer)>,
    place: Cell<usize>,
}

const UNSET: usize = usize::MAX;

impl Timer {
    /// A timer that is not set, of a green thread that it wakes.
    pub const fn new() -> Timer {
        Timer {
            deadline: Cell::new(Deadline::NEVER),
            order: Cell::new(0),
            act: None,
            place: Cell::new(UNSET),
        }
    }

    /// A timer that calls `act` when it fires. In the hub: `act` does not park.
    pub const fn calling(act: fn(&Timer)) -> Timer {
        Timer { act: Some(act), ..Timer::new() }
    }

    /// What it calls.
    pub fn act(&self) -> Option<fn(&Timer)> {
        self.act
    }

    /// Whether it is in the heap.
    #[inline(always)]
    pub fn is_set(&self) -> bool {
        self.place.get() != UNSET
    }

    /// When it fires.
    pub fn deadline(&self) -> Deadline {
        self.deadline.get()
    }

    /// In no heap from now on; the heap that it was in is gone (a fork child).
    pub fn forget(&self) {
        self.place.set(UNSET);
    }

    fn key(&self) -> (Deadline, u64) {
        (self.deadline.get(), self.order.get())
    }
}

impl Default for Timer {
    fn default() -> Self {
        Timer::new()
    }
}

/// The heap.
#[derive(Debug, Default)]
pub struct Timers {
    heap: Vec<*const Timer>,
    order: u64,
}

impl Timers {
    /// An empty heap.
    pub const fn new() -> Timers {
        Timers { heap: Vec::new(), order: 0 }
    }

    /// The earliest deadline, `NEVER` when there is none.
    pub fn next(&self) -> Deadline {
        self.heap.first().map_or(Deadline::NEVER, |_| self.at(0).deadline.get())
    }

    /// Whether `timer` will fire. One that a fork child has from its parent does not.
    pub fn hold(&self, timer: &Timer) -> bool {
        self.heap.get(timer.place.get()).is_some_and(|known| core::ptr::eq(*known, timer))
    }

    /// Sets `timer`, which must not be set. A deadline of `NEVER` sets nothing.
    pub fn set(&mut self, timer: &Timer, deadline: Deadline) {
        debug_assert!(!timer.is_set());
        if deadline == Deadline::NEVER {
            return;
        }
        self.order += 1;
        timer.deadline.set(deadline);
        timer.order.set(self.order);
        self.heap.push(timer);
        self.up(self.heap.len() - 1);
    }

    /// Takes `timer` out; nothing if it is not set.
    pub fn unset(&mut self, timer: &Timer) {
        let held = self.hold(timer);
        let place = timer.place.replace(UNSET);
        if !held {
            return;
        }
        let last = self.heap.pop().expect("a set timer is in the heap");
        if !core::ptr::eq(last, timer) {
            self.heap[place] = last;
            let place = self.up(place);
            self.down(place);
        }
    }

    /// Takes out the earliest timer if its deadline is not after `now`.
    pub fn pop_due(&mut self, now: u64) -> Option<*const Timer> {
        let first = *self.heap.first()?;
        if self.at(0).deadline.get().0 > now {
            return None;
        }
        self.unset(self.at_pointer(first));
        Some(first)
    }

    /// Forgets all timers without touching them: their owners are gone (a fork child).
    pub fn forget(&mut self) {
        self.heap.clear();
    }

    fn at_pointer<'a>(&self, timer: *const Timer) -> &'a Timer {
        // SAFETY: a timer in the heap is alive (file header).
        unsafe { &*timer }
    }

    fn at<'a>(&self, place: usize) -> &'a Timer {
        self.at_pointer(self.heap[place])
    }

    fn up(&mut self, mut place: usize) -> usize {
        let timer = self.at(place);
        while place > 0 {
            let parent = (place - 1) / 2;
            if self.at(parent).key() <= timer.key() {
                break;
            }
            self.put(place, self.heap[parent]);
            place = parent;
        }
        self.put(place, timer);
        place
    }

    fn down(&mut self, mut place: usize) {
        let timer = self.at(place);
        loop {
            let mut child = 2 * place + 1;
            if child >= self.heap.len() {
                break;
            }
            if child + 1 < self.heap.len() && self.at(child + 1).key() < self.at(child).key() {
                child += 1;
            }
            if timer.key() <= self.at(child).key() {
                break;
            }
            self.put(place, self.heap[child]);
            place = child;
        }
        self.put(place, timer);
    }

    fn put(&mut self, place: usize, timer: *const Timer) {
        self.heap[place] = timer;
        self.at_pointer(timer).place.set(place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fires_in_order_of_deadline_then_of_setting() {
        let timers: Vec<Timer> = (0..200).map(|_| Timer::new()).collect();
        let mut heap = Timers::new();
        let mut seed = 7u64;
        let mut expected = Vec::new();
        for (index, timer) in timers.iter().enumerate() {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let deadline = (seed >> 33) % 50;
            heap.set(timer, Deadline(deadline));
            expected.push((deadline, index));
        }
        for index in (0..200).step_by(3) {
            heap.unset(&timers[index]);
            heap.unset(&timers[index]);
        }
        expected.retain(|(_, index)| index % 3 != 0);
        expected.sort();
        assert_eq!(heap.next().0, expected[0].0);
        let mut seen = Vec::new();
        while let Some(timer) = heap.pop_due(49) {
            let index = timers.iter().position(|t| core::ptr::eq(t, timer)).unwrap();
            seen.push((timers[index].deadline().0, index));
        }
        assert_eq!(seen, expected);
        assert_eq!(heap.next(), Deadline::NEVER);
    }
}
