#![no_main]
//! `history_jsonl` under libFuzzer.

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    firstcome_fuzz::history_jsonl(data);
});
