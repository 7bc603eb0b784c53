//! Link flags of `libeventlet.so`: its SONAME, and never unloaded once mapped (threads stand in it).

fn main() {
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libeventlet.so.1");
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    println!("cargo:rerun-if-changed=build.rs");
}
