//! libFuzzer's way into the target `rtp`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| corecast_fuzz::targets::rtp::run(data));
