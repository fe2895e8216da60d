//! libFuzzer's way into the target `turn`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| corecast_fuzz::targets::turn::run(data));
