//! libFuzzer's way into the target `session`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| corecast_fuzz::targets::session::run(data));
