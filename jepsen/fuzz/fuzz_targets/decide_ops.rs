#![no_main]
//! `decide_ops` under libFuzzer.

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    firstcome_fuzz::decide_ops(data);
});
