#![no_main]
//! `jwks` under libFuzzer.

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    firstcome_fuzz::jwks(data);
});
