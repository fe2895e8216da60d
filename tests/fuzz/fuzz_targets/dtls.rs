//! libFuzzer's way into the target `dtls`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| corecast_fuzz::targets::dtls::run(data));
