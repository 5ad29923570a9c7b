//! Feeds [`bodies::subscribe_query`] with the input of libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| bodies::subscribe_query(input));
