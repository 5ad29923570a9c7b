//! Feeds [`bodies::websocket_hixie76`] with the input of libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| bodies::websocket_hixie76(input));
