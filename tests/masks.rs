//! Signal masks, actions, waits for signals, and signals for one thread.

cases!("masks.c": masks, others, pending, directed, waits, suspended, descriptor, actions, nested, jumps, alternate, busy, realtime);
