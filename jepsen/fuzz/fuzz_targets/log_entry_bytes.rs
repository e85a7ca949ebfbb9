#![no_main]
//! `log_entry_bytes` under libFuzzer.

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    firstcome_fuzz::log_entry_bytes(data);
});
