//! What waits by `syscall()` lets the others go on, and answers as the kernel does.

cases!("by_number.c": reading, writing, connecting, polling, selecting, epolling, sleeping, children, files, modes,
    signals, uncancelled);
