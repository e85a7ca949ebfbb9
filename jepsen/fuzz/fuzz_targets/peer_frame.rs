#![no_main]
//! `peer_frame` under libFuzzer.

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    firstcome_fuzz::peer_frame(data);
});
