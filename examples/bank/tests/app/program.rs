//! The program: arguments, standard input and exit codes.

use std::io::Write;
use std::process::{Command, Output, Stdio};

fn bank(arguments: &[&str], input: &[u8]) -> Output {
    let mut bank = Command::new(env!("CARGO_BIN_EXE_bank"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The program may exit without reading its input.
    let _ = bank.stdin.take().unwrap().write_all(input);
    bank.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn the_default_story_succeeds_in_plain_text_when_piped() {
    let output = bank(&[], b"");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(text(&output.stdout), include_str!("../../golden/story.out"));
    assert_eq!(text(&output.stderr), "");
}

/// A transfer, a refund, and a flagged withdrawal.
const SHORT: &str = "open a \"Ann\" 20000.00\nopen b \"Ben\" 0.00\ntransfer a b 30.00\n\
                     transfer a carol 1.00\nwithdraw a 10000.01\nwithdraw b 99.00\n";

#[test]
fn the_story_survives_a_crash_at_every_step() {
    let output = bank(&["-", "--crash-test"], SHORT.as_bytes());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let report = text(&output.stdout);
    let survived: usize = report.split(' ').next().unwrap().parse().unwrap();
    assert!(survived > 100, "{report}");
}

#[test]
fn the_story_survives_being_killed() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let database = runtime.block_on(cluster::Database::create());
    let output = bank(&["-", "--crash-test", "--store", &database.url()], SHORT.as_bytes());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let report = text(&output.stdout);
    let survived: usize = report.split(' ').next().unwrap().parse().unwrap();
    assert!(survived > 2, "{report}");
}

#[test]
fn a_story_can_come_from_standard_input() {
    let output = bank(&["-"], b"open a \"Ann\" 1.00\nshow\n");
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stdout).contains("Ann"));
}

#[test]
fn an_invalid_line_changes_the_exit_code_and_a_rejection_does_not() {
    assert_eq!(bank(&["-"], b"deposit carol 1.00\n").status.code(), Some(0));
    let output = bank(&["-"], b"\xff\n");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stderr), "-:1: the line is not UTF-8\n");
}

#[test]
fn an_unreadable_story_and_wrong_arguments_exit_with_2() {
    let output = bank(&["no/such/story.txt"], b"");
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).starts_with("bank: no/such/story.txt: "));
    assert_eq!(bank(&["--nonsense"], b"").status.code(), Some(2));
    assert_eq!(bank(&["a", "b"], b"").status.code(), Some(2));
}

#[test]
fn help_lists_every_operation_and_fits_the_screen() {
    let output = bank(&["--help"], b"");
    assert_eq!(output.status.code(), Some(0));
    let help = text(&output.stdout);
    for word in ["open", "deposit", "withdraw", "close", "show", "history", "balance", "time"] {
        assert!(help.contains(word), "{word} is missing in:\n{help}");
    }
    for line in help.lines() {
        assert!(line.len() <= 80, "{line:?}");
    }
}
