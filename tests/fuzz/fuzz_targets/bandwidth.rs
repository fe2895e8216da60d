//! libFuzzer's way into the target `bandwidth`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| corecast_fuzz::targets::bandwidth::run(data));
