//! Products over a store: many shipments at once, and the storyboard.

#![allow(clippy::unwrap_used, missing_docs)]

use cqrs::memory::MemoryStore;
use cqrs::{App, Persistence};
use warehouse::domain::product::{IncreaseProductQuantity, ShipProductQuantity};
use warehouse::domain::{Product, Sku};
use warehouse::read::products;

fn sku() -> Sku {
    "abc123".parse().unwrap()
}

fn ship(pieces: u64) -> ShipProductQuantity {
    ShipProductQuantity { sku: sku(), quantity: pieces.try_into().unwrap() }
}

/// An application with ten pieces on hand, over events and over state rows.
async fn apps_with_ten() -> [App; 2] {
    let store = MemoryStore::new();
    let states = App::builder(store.clone())
        .aggregate::<Product>(Persistence::state(store, "1"))
        .build()
        .unwrap();
    let apps = [App::new(MemoryStore::new()), states];
    for app in &apps {
        let quantity = 10.try_into().unwrap();
        app.dispatch(IncreaseProductQuantity { sku: sku(), quantity }).await.unwrap();
    }
    apps
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn w14_shipments_at_once_never_oversell() {
    for (shipments, pieces, accepted, left) in [(2, 8, 1, 2), (20, 1, 10, 0)] {
        for app in apps_with_ten().await {
            let tasks: Vec<_> = (0..shipments)
                .map(|_| tokio::spawn(app.dispatch(ship(pieces)).into_future()))
                .collect();
            let mut done = 0;
            for task in tasks {
                match task.await.unwrap() {
                    Ok(_) => done += 1,
                    Err(refused) => assert!(refused.refused().is_some(), "{refused}"),
                }
            }
            assert_eq!(done, accepted);
            assert_eq!(products(app.store()).await.unwrap()[&sku()], left);
        }
    }
}

#[tokio::test]
async fn w03_the_storyboard_on_the_command_line() {
    let mut told = Vec::new();
    warehouse::cli::storyboard(MemoryStore::new(), &mut told).await.unwrap();
    let told = String::from_utf8(told).unwrap();
    let steps = [
        "no products yet",
        "50 on hand",
        "1 on hand",
        "refused: Insufficient quantity on hand.",
        "1 on hand",
    ];
    let mut rest = told.as_str();
    for step in steps {
        let (_, behind) = rest.split_once(step).unwrap_or_else(|| panic!("{step}, then:\n{told}"));
        rest = behind;
    }
    assert!(told.lines().all(|line| line.chars().count() <= 80));
}
