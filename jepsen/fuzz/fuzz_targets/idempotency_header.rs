#![no_main]
//! `idempotency_header` under libFuzzer.

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    firstcome_fuzz::idempotency_header(data);
});
