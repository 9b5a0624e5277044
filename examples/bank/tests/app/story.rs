//! Runs stories in this process and checks what they print.

use bank::cli::{Colors, DEFAULT_STORY, Summary, run};
use example_shared::StoreArguments;

/// Returns the standard output, the standard error and the summary of a story.
fn output(story: &[u8]) -> (String, String, Summary) {
    let (mut out, mut errors) = (Vec::new(), Vec::new());
    let summary =
        run(&StoreArguments::default(), "story.txt", story, Colors::Off, &mut out, &mut errors)
            .unwrap();
    (String::from_utf8(out).unwrap(), String::from_utf8(errors).unwrap(), summary)
}

/// Returns the maximum width of a line on a terminal; a non-ASCII character may take two columns.
fn columns(line: &str) -> usize {
    line.chars().map(|c| if c.is_ascii() { 1 } else { 2 }).sum()
}

#[test]
fn the_default_story_prints_the_golden_output() {
    let (out, errors, summary) = output(DEFAULT_STORY.as_bytes());
    assert_eq!(errors, "");
    assert!(summary.is_clean() && summary.rejected > 3, "{summary:?}");
    let recorded = include_str!("../../golden/story.out");
    assert_eq!(out, recorded, "the output has changed: review it, then update golden/story.out");
    for line in out.lines() {
        assert!(columns(line) <= 80 && line.trim_end() == line, "{line:?}");
    }
}

#[test]
fn an_invalid_line_is_reported_and_the_rest_runs() {
    let story =
        b"open a \"Ann\" 1.00\r\nsteal a 5\r\n\r\ndeposit a 10.005\ndeposit a\ndeposit a 2.00";
    let (out, errors, summary) = output(story);
    assert_eq!(
        errors.lines().collect::<Vec<_>>(),
        [
            "story.txt:2: unknown operation `steal`",
            "story.txt:4: amount `10.005`: more than two decimals",
            "story.txt:5: expected `deposit ACCOUNT AMOUNT`",
        ]
    );
    assert!(out.contains("+2.00, balance 3.00"), "{out}");
    assert!(!summary.is_clean());
    assert_eq!((summary.operations, summary.invalid), (2, 3));
}

#[test]
fn bytes_that_are_not_utf8_are_an_invalid_line() {
    let (out, errors, summary) = output(b"\xff\xfe\nopen a \"Ann\" 1.00\n\"\xc3\n");
    assert_eq!(errors, "story.txt:1: the line is not UTF-8\nstory.txt:3: the line is not UTF-8\n");
    assert!(out.contains("balance 1.00"));
    assert_eq!(summary.invalid, 2);
    // A byte order mark is not part of the first line.
    assert!(output("\u{feff}show".as_bytes()).2.is_clean());
}

#[test]
fn long_lines_and_unusual_names_fit_the_screen() {
    let wide = "漢".repeat(90);
    let long = "x".repeat(1_000_000);
    let story = format!(
        "# {long}\nopen a \"{wide}\" 1.00\nopen {} \"Ann\" 92233720368547758.07\nopen b \"{long}\" 1\n\
         open c \"\u{1b}[2J\" 1\nshow\nhistory a\n{long}\ndeposit a {long}\ndeposit {long} 1\n",
        "b".repeat(36)
    );
    let (out, errors, summary) = output(story.as_bytes());
    assert_eq!((summary.rejected, summary.invalid), (2, 3), "{errors}");
    for line in out.lines().chain(errors.lines()) {
        assert!(columns(line) <= 100 && !line.contains('\u{1b}'), "{line:?}");
    }
    for line in out.lines() {
        assert!(columns(line) <= 80, "{line:?}");
    }
}

#[test]
fn long_sentences_wrap_and_lose_nothing() {
    let name = "b".repeat(36);
    let most = "92233720368547758.07";
    let story = format!(
        "open {name} \"Ann\" {most}\nopen a \"Ann\" 46116860184273879.03\nwithdraw a {most}\n\
         balance {name} at 2999-12-31T23:59:59.999999Z\nhistory {name}\n"
    );
    let (out, errors, _) = output(story.as_bytes());
    assert_eq!(errors, "");
    assert!(out.lines().all(|line| columns(line) <= 80), "{out}");
    let text = out.split_whitespace().collect::<Vec<_>>().join(" ");
    for said in [
        format!("insufficient funds: balance 46116860184273879.03, requested {most}"),
        format!("{name} at 2999-12-31T23:59:59.999999Z (version 1): {most}"),
    ] {
        assert!(text.contains(&said), "{said} is missing in:\n{out}");
    }
}

#[test]
fn ordinary_amounts_take_one_line_per_event() {
    let story = "time 2026-03-02T09:00:00.123456Z\nopen a \"Ann\" 1234567.89\nhistory a\nshow\n";
    let (out, _, _) = output(story.as_bytes());
    let event = "1   bank.account-opened   2026-03-02T09:00:00Z   1234567.89   1234567.89";
    assert!(out.contains(event), "{out}");
}

#[test]
fn past_balances_can_be_queried_and_the_clock_never_goes_back() {
    let story = "time 2026-03-02T09:00:00Z\nopen a \"Ann\" 1.00\ntime 2026-03-02T10:00:00Z\n\
        deposit a 2.00\nbalance a version 1\nbalance a at 2026-03-02T09:59:59.999999Z\n\
        balance a at 2026-03-02T10:00:00Z\nbalance a version 99\nbalance carol\n\
        time 2026-03-02T09:00:00Z\n";
    let (out, errors, summary) = output(story.as_bytes());
    for said in [
        "a at version 1: 1.00",
        "a at 2026-03-02T09:59:59.999999Z (version 1): 1.00",
        "a at 2026-03-02T10:00:00Z (version 2): 3.00",
        "a at version 2: 3.00",
        "carol now (version 0): account not found",
    ] {
        assert!(out.contains(said), "{said} is missing in:\n{out}");
    }
    assert!(errors.contains("story.txt:10: cannot set the time before 2026-03-02T10:00:00Z"));
    assert_eq!(summary.failed, 1);
}

#[test]
fn colors_are_used_only_when_enabled() {
    let mut out = Vec::new();
    let story = b"open a \"Ann\" 1.00\nclose a";
    run(&StoreArguments::default(), "-", story, Colors::On, &mut out, &mut Vec::new()).unwrap();
    let out = String::from_utf8(out).unwrap();
    assert!(out.contains("\u{1b}[32m  + v1 bank.account-opened"), "{out:?}");
    assert!(out.contains("\u{1b}[31m  x rejected"), "{out:?}");
    assert!(!output(story).0.contains('\u{1b}'));
}

proptest::proptest! {
    #[test]
    fn no_input_panics_or_overflows_the_screen(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
        let (out, _, _) = output(&bytes);
        proptest::prop_assert!(out.lines().all(|line| columns(line) <= 80));
    }

    #[test]
    fn no_operations_panic_or_overflow_the_screen(
        lines in proptest::collection::vec(
            "(open|deposit|withdraw|close|history|balance|show|time) [ab]?( (\"[^\"\n]{0,30}\"))? -?[0-9]{0,20}(\\.[0-9]{1,2})?",
            0..20,
        )
    ) {
        let (out, _, _) = output(lines.join("\n").as_bytes());
        proptest::prop_assert!(out.lines().all(|line| columns(line) <= 80));
    }
}
