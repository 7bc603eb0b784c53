//! Link flags of `libeventlet_tls.so`: its SONAME; never unloaded; its own names mean its own functions.

fn main() {
    for flag in ["-soname,libeventlet_tls.so", "-z,nodelete", "-Bsymbolic-functions"] {
        println!("cargo:rustc-cdylib-link-arg=-Wl,{flag}");
    }
    println!("cargo:rerun-if-changed=build.rs");
}
