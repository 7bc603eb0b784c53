//! [`List`]: a doubly linked FIFO whose nodes live in their owners (a green thread's slot): linking allocates nothing.
//!
//! Safety: a [`Node`] does not move and outlives its stay in a list; a list and its nodes are touched by one thread at
//! a time (the hub's, or whoever holds the bucket's lock).

use core::cell::Cell;
use core::ptr;

/// A link of a [`List`]; `T` is its owner.
#[derive(Debug)]
pub struct Node<T> {
    previous: Cell<*const Node<T>>,
    next: Cell<*const Node<T>>,
    list: Cell<*const List<T>>,
    owner: Cell<*const T>,
    /// What the waiter is about, for the list's owner (a direction, an epoch, a count).
    pub tag: Cell<usize>,
}

impl<T> Node<T> {
    /// A node in no list.
    pub const fn new() -> Node<T> {
        Node {
            previous: Cell::new(ptr::null()),
            next: Cell::new(ptr::null()),
            list: Cell::new(ptr::null()),
            owner: Cell::new(ptr::null()),
            tag: Cell::new(0),
        }
    }

    /// The list it is in, or NULL.
    pub fn list(&self) -> *const List<T> {
        self.list.get()
    }

    /// Who waits.
    pub fn owner(&self) -> *const T {
        self.owner.get()
    }

    /// In no list from now on; the list that it was in is gone (a fork child).
    pub fn forget(&self) {
        self.list.set(ptr::null());
    }

    /// Takes it out of its list; nothing if it is in none.
    pub fn unlink(&self) {
        // SAFETY: `list` is live while a node is linked in it (file header).
        if let Some(list) = unsafe { self.list.get().as_ref() } {
            list.remove(self);
        }
    }
}

impl<T> Default for Node<T> {
    fn default() -> Self {
        Node::new()
    }
}

/// A FIFO of nodes.
#[derive(Debug)]
pub struct List<T> {
    head: Cell<*const Node<T>>,
    tail: Cell<*const Node<T>>,
}

impl<T> List<T> {
    /// An empty list.
    pub const fn new() -> List<T> {
        List { head: Cell::new(ptr::null()), tail: Cell::new(ptr::null()) }
    }

    /// Whether nobody is in it.
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.head.get().is_null()
    }

    /// Appends `node` for `owner`. The node must be in no list.
    pub fn push_back(&self, node: &Node<T>, owner: *const T) {
        debug_assert!(node.list.get().is_null());
        node.owner.set(owner);
        node.list.set(self);
        node.previous.set(self.tail.get());
        node.next.set(ptr::null());
        // SAFETY: the tail is a live node of this list.
        match unsafe { self.tail.get().as_ref() } {
            Some(tail) => tail.next.set(node),
            None => self.head.set(node),
        }
        self.tail.set(node);
    }

    /// Puts `node` in front: a waiter that was woken in vain keeps its place.
    pub fn push_front(&self, node: &Node<T>, owner: *const T) {
        debug_assert!(node.list.get().is_null());
        node.owner.set(owner);
        node.list.set(self);
        node.next.set(self.head.get());
        node.previous.set(ptr::null());
        // SAFETY: the head is a live node of this list.
        match unsafe { self.head.get().as_ref() } {
            Some(head) => head.previous.set(node),
            None => self.tail.set(node),
        }
        self.head.set(node);
    }

    /// Puts `node` before `place`, which is in this list.
    pub fn insert_before(&self, place: &Node<T>, node: &Node<T>, owner: *const T) {
        debug_assert!(node.list.get().is_null() && ptr::eq(place.list.get(), self));
        // SAFETY: the neighbour of a linked node is a live node of the same list.
        let Some(previous) = (unsafe { place.previous.get().as_ref() }) else {
            return self.push_front(node, owner);
        };
        node.owner.set(owner);
        node.list.set(self);
        node.previous.set(previous);
        node.next.set(place);
        previous.next.set(node);
        place.previous.set(node);
    }

    /// The first node.
    pub fn front(&self) -> Option<&Node<T>> {
        // SAFETY: linked nodes are live.
        unsafe { self.head.get().as_ref() }
    }

    /// The node after `node`, which is in this list.
    pub fn after<'a>(&'a self, node: &'a Node<T>) -> Option<&'a Node<T>> {
        // SAFETY: linked nodes are live.
        unsafe { node.next.get().as_ref() }
    }

    /// Takes the first node out.
    pub fn pop_front(&self) -> Option<&Node<T>> {
        let node = self.front()?;
        self.remove(node);
        Some(node)
    }

    /// Empties the list without touching its nodes: their owners are gone (a fork child).
    pub fn forget(&self) {
        self.head.set(ptr::null());
        self.tail.set(ptr::null());
    }

    /// Takes `node`, which is in this list, out.
    pub fn remove(&self, node: &Node<T>) {
        debug_assert!(ptr::eq(node.list.get(), self));
        // SAFETY: the neighbours of a linked node are live nodes of the same list.
        unsafe {
            match node.previous.get().as_ref() {
                Some(previous) => previous.next.set(node.next.get()),
                None => self.head.set(node.next.get()),
            }
            match node.next.get().as_ref() {
                Some(next) => next.previous.set(node.previous.get()),
                None => self.tail.set(node.previous.get()),
            }
        }
        node.list.set(ptr::null());
    }
}

impl<T> Default for List<T> {
    fn default() -> Self {
        List::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fifo_and_removal_from_the_middle() {
        let list = List::<u32>::new();
        let owners = [10, 11, 12, 13];
        let nodes = [const { Node::new() }; 4];
        for (node, owner) in nodes.iter().zip(&owners) {
            list.push_back(node, owner);
        }
        nodes[1].unlink();
        nodes[1].unlink();
        list.push_front(&nodes[1], &owners[1]);
        nodes[2].unlink();
        list.insert_before(&nodes[3], &nodes[2], &owners[2]);
        nodes[0].unlink();
        list.insert_before(&nodes[1], &nodes[0], &owners[0]);
        nodes[1].unlink();
        list.push_front(&nodes[1], &owners[1]);
        let mut seen = Vec::new();
        while let Some(node) = list.pop_front() {
            // SAFETY: owners outlive the list.
            seen.push(unsafe { *node.owner() });
        }
        assert_eq!(seen, [11, 10, 12, 13]);
        assert!(list.is_empty());
    }
}
