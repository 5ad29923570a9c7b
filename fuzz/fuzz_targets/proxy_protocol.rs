//! Feeds [`bodies::proxy_protocol`] with the input of libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| bodies::proxy_protocol(input));
