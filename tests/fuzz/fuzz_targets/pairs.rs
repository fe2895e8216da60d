//! libFuzzer's way into the target `pairs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| corecast_fuzz::targets::pairs::run(data));
