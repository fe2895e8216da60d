//! libFuzzer's way into the target `rtcp`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| corecast_fuzz::targets::rtcp::run(data));
