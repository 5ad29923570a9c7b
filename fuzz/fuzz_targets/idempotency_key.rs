//! Feeds [`bodies::idempotency_key`] with the input of libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| bodies::idempotency_key(input));
