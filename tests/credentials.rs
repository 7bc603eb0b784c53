//! Whose files, whose rights: of one thread, or of all.

#[macro_use]
mod common;

cases!("credentials.c": files, numbers, heirs, given_up, for_everybody);
