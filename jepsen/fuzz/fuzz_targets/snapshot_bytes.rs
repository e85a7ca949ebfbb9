#![no_main]
//! `snapshot_bytes` under libFuzzer.

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    firstcome_fuzz::snapshot_bytes(data);
});
