//! The rules of products and orders, without a runtime or a store.

#![allow(clippy::unwrap_used, missing_docs)]

use cqrs_core::{Event, event::Payload};
use cqrs_testing::{given, given_nothing};
use warehouse::domain::order::{AddLine, Line, Order, OrderError, OrderEvent, RemoveLine};
use warehouse::domain::product::{
    IncreaseProductQuantity, NotifyLowProductQuantity, ShipProductQuantity,
};
use warehouse::domain::{Product, ProductError, ProductEvent, Quantity, Sku};

fn sku() -> Sku {
    "abc123".parse().unwrap()
}

fn pieces(count: u64) -> Quantity {
    count.try_into().unwrap()
}

fn increase(count: u64) -> IncreaseProductQuantity {
    IncreaseProductQuantity { sku: sku(), quantity: pieces(count) }
}

fn ship(count: u64) -> ShipProductQuantity {
    ShipProductQuantity { sku: sku(), quantity: pieces(count) }
}

fn increased(count: u64, on_hand_after: u64) -> ProductEvent {
    ProductEvent::ProductQuantityIncreased { sku: sku(), quantity: pieces(count), on_hand_after }
}

fn shipped(count: u64, on_hand_after: u64) -> ProductEvent {
    ProductEvent::ProductQuantityShipped { sku: sku(), quantity: pieces(count), on_hand_after }
}

fn insufficient(requested: u64, on_hand: u64) -> ProductError {
    ProductError::InsufficientQuantityOnHand { requested, on_hand }
}

#[test]
fn arriving_pieces_increase_the_quantity() {
    given_nothing::<Product>().when(increase(50)).then([increased(50, 50)]);
    given::<Product>([increased(50, 50)]).when(increase(9)).then([increased(9, 59)]);
}

#[test]
fn the_storyboard_follows_the_rules() {
    given_nothing::<Product>()
        .when(increase(50))
        .then([increased(50, 50)])
        .and_when(ship(49))
        .then([shipped(49, 1)])
        .and_when(ship(20))
        .then_error(insufficient(20, 1))
        .then_state(|product| assert_eq!(product.on_hand, 1));
    assert_eq!(insufficient(20, 1).to_string(), "insufficient quantity: 1 on hand, 20 requested");
}

#[test]
fn an_unknown_product_has_nothing_to_ship() {
    given_nothing::<Product>().when(ship(40)).then_error(insufficient(40, 0));
}

#[test]
fn shipping_more_than_is_on_hand_is_rejected() {
    given::<Product>([increased(10, 10)])
        .when(ship(11))
        .then_error(insufficient(11, 10))
        .then_state(|product| assert_eq!(product.on_hand, 10));
}

#[test]
fn shipments_record_what_is_left() {
    for (on_hand, count, left) in [(10, 10, 0), (10, 5, 5), (10, 4, 6), (50, 40, 10)] {
        given::<Product>([increased(on_hand, on_hand)])
            .when(ship(count))
            .then([shipped(count, left)]);
    }
}

#[test]
fn a_notification_can_report_that_nothing_is_left() {
    let notified = ProductEvent::NotifiedLowProductQuantity { sku: sku(), quantity: 0 };
    given::<Product>([increased(10, 10), shipped(10, 0)])
        .when(NotifyLowProductQuantity { sku: sku(), quantity: 0 })
        .then([notified])
        .then_state(|product| assert_eq!(product.on_hand, 0));
}

#[test]
fn quantities_above_the_maximum_are_rejected() {
    let full = || increased(Quantity::MAX, Quantity::MAX);
    given::<Product>([full()]).when(increase(1)).then_error(ProductError::TooMany);
    given::<Product>([full()]).when(increase(Quantity::MAX)).then_error(ProductError::TooMany);
    given::<Product>([full()]).when(ship(Quantity::MAX)).then([shipped(Quantity::MAX, 0)]);
    // The log may contain events that these rules would not have produced.
    given::<Product>([increased(1, u64::MAX)]).when(increase(1)).then_error(ProductError::TooMany);
}

#[test]
fn skus_with_other_characters_are_rejected() {
    for text in ["", "a b", "a/b", "ä", "a\0", &"x".repeat(65)] {
        assert!(text.parse::<Sku>().is_err(), "{text:?}");
        assert!(serde_json::from_value::<Sku>(text.into()).is_err(), "{text:?}");
    }
    assert!("abc-1.2_3".parse::<Sku>().is_ok());
}

#[test]
fn lines_belong_to_their_order() {
    let line = |name: &str| Line { sku: name.parse().unwrap(), quantity: pieces(1) };
    let add = |number, name| AddLine { order: 1, number, line: line(name) };
    let added = |number, name| OrderEvent::LineAdded { number, line: line(name) };
    given_nothing::<Order>()
        .when(add(1, "x"))
        .and_when(add(2, "y"))
        .and_when(RemoveLine { order: 1, number: 1 })
        .then([OrderEvent::LineRemoved { number: 1 }])
        .then_state(|order| assert_eq!(order.lines, [(2, line("y"))].into()))
        .and_when(RemoveLine { order: 1, number: 1 })
        .then_error(OrderError::NoSuchLine { number: 1 });
    given::<Order>([added(1, "x")])
        .when(add(1, "y"))
        .then_error(OrderError::LineExists { number: 1 });
    // The same number in another order is another line.
    given_nothing::<Order>().when(AddLine { order: 2, ..add(1, "x") }).then([added(1, "x")]);
}

/// The stored form never changes: events must be written and read as they were before.
#[test]
fn events_are_stored_as_in_the_golden_files() {
    let events = [
        (increased(50, 50), include_str!("../golden/product-quantity-increased.v1.json")),
        (shipped(49, 1), include_str!("../golden/product-quantity-shipped.v1.json")),
        (
            ProductEvent::NotifiedLowProductQuantity { sku: sku(), quantity: 1 },
            include_str!("../golden/notified-low-product-quantity.v1.json"),
        ),
    ];
    for (event, golden) in events {
        let golden = golden.trim_end();
        assert_eq!(event.encode().unwrap().as_str(), golden);
        let payload = Payload::from_json(golden.to_owned()).unwrap();
        assert_eq!(ProductEvent::decode(event.event_type().name(), &payload).unwrap(), event);
    }
}

#[test]
fn domain_modules_depend_only_on_the_core_and_serde() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/domain");
    let mut looked_at = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        for line in text.lines().filter(|line| line.trim_start().starts_with("use ")) {
            let allowed = ["cqrs_core::", "serde::", "std::", "super::", "crate::domain"];
            let from = line.trim_start().trim_start_matches("use ");
            assert!(allowed.iter().any(|root| from.starts_with(root)), "{line}");
            looked_at += 1;
        }
        assert!(!text.contains("async") && !text.contains("tokio"));
    }
    assert!(looked_at > 5);
}
