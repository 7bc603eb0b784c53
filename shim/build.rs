//! Link flags of `libeventlet.so`: its SONAME; never unloaded once mapped (threads stand in it); and its own names mean
//! its own functions wherever it stands among other preloaded libraries (the table's `export` is ours).
//!
//! libgcc_s stays a dependency, though a static unwinder would save a third of what the library costs an exec: activation
//! ends a thread by `pthread_exit`, and in a program that has called chroot libc could not load it any more.

fn main() {
    for flag in ["-soname,libeventlet.so.1", "-z,nodelete", "-Bsymbolic-functions"] {
        println!("cargo:rustc-cdylib-link-arg=-Wl,{flag}");
    }
    println!("cargo:rerun-if-changed=build.rs");
}
