#![no_main]
//! `cluster_toml` under libFuzzer.

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    firstcome_fuzz::cluster_toml(data);
});
