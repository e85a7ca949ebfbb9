#![no_main]
//! `http_request` under libFuzzer.

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    firstcome_fuzz::http_request(data);
});
