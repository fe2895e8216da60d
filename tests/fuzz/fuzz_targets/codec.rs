//! libFuzzer's way into the target `codec`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| corecast_fuzz::targets::codec::run(data));
