//! Feeds [`bodies::caddyfile`] with what libFuzzer makes up.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| bodies::caddyfile(input));
