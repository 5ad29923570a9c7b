//! Feeds [`bodies::http_head`] with what libFuzzer makes up.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| bodies::http_head(input));
