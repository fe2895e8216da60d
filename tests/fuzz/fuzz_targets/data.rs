//! libFuzzer's way into the target `data`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| corecast_fuzz::targets::data::run(data));
