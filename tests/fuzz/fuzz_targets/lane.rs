//! libFuzzer's way into the target `lane`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| corecast_fuzz::targets::lane::run(data));
