//! Feeds [`bodies::sockjs_place`] with what libFuzzer makes up.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| bodies::sockjs_place(input));
