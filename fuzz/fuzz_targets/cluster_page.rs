//! Feeds [`bodies::cluster_page`] with the input of libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| bodies::cluster_page(input));
