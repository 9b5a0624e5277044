use bank::domain::{InvalidMoney, Money};
use proptest::prelude::*;

use crate::eur;

#[test]
fn more_than_two_decimals_are_rejected_instead_of_rounded() {
    for text in ["10.005", "10.000", "0.001", "-1.234567"] {
        assert_eq!(text.parse::<Money>(), Err(InvalidMoney::TooPrecise), "{text:?}");
    }
}

#[test]
fn text_that_is_not_an_amount_is_rejected() {
    for text in ["", "-", ".", "1.", ".5", "1e3", "0x1", "+1", "1,00", " 1", "1.0.0", "--1", "１"]
    {
        assert_eq!(text.parse::<Money>(), Err(InvalidMoney::NotAnAmount), "{text:?}");
    }
    let long = "9".repeat(100_000);
    for text in ["92233720368547758.08", "-92233720368547758.09", &long] {
        assert_eq!(text.parse::<Money>(), Err(InvalidMoney::TooLarge), "{text:.30}");
    }
}

#[test]
fn shorter_notations_are_the_same_amount() {
    for (text, shown) in [
        ("125", "125.00"),
        ("125.5", "125.50"),
        ("007", "7.00"),
        ("-0.01", "-0.01"),
        ("-0", "0.00"),
    ] {
        assert_eq!(eur(text).to_string(), shown);
    }
    assert_eq!(format!("{:>8}|{:<8}|", eur("1"), eur("-1")), "    1.00|-1.00   |");
}

#[test]
fn ten_cents_and_twenty_are_thirty() {
    let sum = Money::ZERO.checked_add(eur("0.10")).and_then(|sum| sum.checked_add(eur("0.20")));
    assert_eq!(sum, Some(eur("0.30")));
    assert_eq!(serde_json::to_string(&sum).unwrap(), r#""0.30""#);
    // A JSON number may have been a float somewhere.
    assert!(serde_json::from_str::<Money>("0.3").is_err());
}

#[test]
fn overflowing_sums_are_none() {
    assert_eq!(Money::MAX.checked_add(Money::cents(1)), None);
    assert_eq!(Money::cents(i64::MIN).checked_sub(Money::cents(1)), None);
}

proptest! {
    #[test]
    fn displayed_amounts_parse_back(cents in any::<i64>()) {
        let money = Money::cents(cents);
        prop_assert_eq!(money.to_string().parse(), Ok(money));
        let json = serde_json::to_string(&money).unwrap();
        prop_assert_eq!(serde_json::from_str::<Money>(&json).unwrap(), money);
    }

    #[test]
    fn parsing_never_panics_on_text(text in ".{0,40}") {
        let _ = text.parse::<Money>();
    }

    #[test]
    fn parsing_never_panics_on_digits(text in "-?[0-9]{0,60}[.]?[0-9]{0,4}") {
        let _ = text.parse::<Money>();
    }
}
