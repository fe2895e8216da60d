//! libFuzzer's way into the target `srtp`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| corecast_fuzz::targets::srtp::run(data));
