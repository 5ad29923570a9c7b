//! Feeds [`bodies::sockjs_inbound`] with what libFuzzer makes up.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| bodies::sockjs_inbound(input));
