#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| emailrelay_fuzz::admin(data));
