//! Feeds [`bodies::key_set`] with what libFuzzer makes up.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| bodies::key_set(input));
