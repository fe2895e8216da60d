//! libFuzzer's way into the target `relay`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| corecast_fuzz::targets::relay::run(data));
