//! libFuzzer's way into the target `config`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| corecast_fuzz::targets::config::run(data));
