//! Feeds [`bodies::zmtp_decoder`] with the input of libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| bodies::zmtp_decoder(input));
