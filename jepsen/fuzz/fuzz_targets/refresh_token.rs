#![no_main]
//! `refresh_token` under libFuzzer.

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    firstcome_fuzz::refresh_token(data);
});
