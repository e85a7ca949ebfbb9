#![no_main]
//! `command_bytes` under libFuzzer.

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    firstcome_fuzz::command_bytes(data);
});
