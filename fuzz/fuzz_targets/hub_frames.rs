//! Feeds [`bodies::hub_frames`] with the input of libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| bodies::hub_frames(input));
