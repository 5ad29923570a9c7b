//! Feeds [`bodies::event_id`] with what libFuzzer makes up.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| bodies::event_id(input));
