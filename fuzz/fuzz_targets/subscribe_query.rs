//! Feeds [`bodies::subscribe_query`] with what libFuzzer makes up.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| bodies::subscribe_query(input));
