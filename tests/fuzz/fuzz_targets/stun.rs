//! libFuzzer's way into the target `stun`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| corecast_fuzz::targets::stun::run(data));
