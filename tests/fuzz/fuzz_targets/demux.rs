//! libFuzzer's way into the target `demux`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| corecast_fuzz::targets::demux::run(data));
