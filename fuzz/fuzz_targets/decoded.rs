#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| narrowgate_fuzz_targets::decoded(data));
