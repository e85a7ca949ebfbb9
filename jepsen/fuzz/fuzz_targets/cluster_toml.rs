#![no_main]
//! `cluster_toml` under libFuzzer.

libfuzzer_sys::fuzz_target!(|data: &[u8]| drop(firstcome_fuzz::cluster_toml(data)));
