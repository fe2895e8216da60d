//! libFuzzer's way into the target `http2`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| corecast_fuzz::targets::http2::run(data));
