#![no_main]
//! `storage_ops` under libFuzzer.

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    firstcome_fuzz::storage_ops(data);
});
