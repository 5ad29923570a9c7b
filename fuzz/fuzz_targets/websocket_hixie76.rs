//! Feeds [`bodies::websocket_hixie76`] with what libFuzzer makes up.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| bodies::websocket_hixie76(input));
