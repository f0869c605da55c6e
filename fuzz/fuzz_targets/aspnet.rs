#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hubgate_tests::fuzz::aspnet(bytes));
