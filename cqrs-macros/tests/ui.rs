//! The errors that people meet, word by word.

#[test]
fn compile_errors_name_the_fix() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/ui/*.rs");
}
