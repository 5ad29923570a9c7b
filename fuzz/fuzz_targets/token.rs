//! Feeds [`bodies::token`] with the input of libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| bodies::token(input));
