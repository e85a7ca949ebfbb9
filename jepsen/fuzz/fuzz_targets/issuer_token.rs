#![no_main]
//! `issuer_token` under libFuzzer.

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    firstcome_fuzz::issuer_token(data);
});
