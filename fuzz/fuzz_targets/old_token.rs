//! Feeds [`bodies::old_token`] with what libFuzzer makes up.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| bodies::old_token(input));
