//! Builds the binary anew when a page is added or removed; what is in a page is watched by the
//! compiler itself.

fn main() {
    println!("cargo::rerun-if-changed=../../pages");
}
