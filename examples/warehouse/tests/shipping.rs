//! Products on real stores: concurrent shipments, and the storyboard.

#![allow(clippy::unwrap_used, missing_docs)]

use cluster::Database;
use cqrs::memory::MemoryStore;
use cqrs::{App, EventStore, app::Persistence};
use cqrs_postgres::PgStore;
use example_shared::StoreArguments;
use warehouse::cli::Operation;
use warehouse::domain::product::{IncreaseProductQuantity, ShipProductQuantity};
use warehouse::domain::{Product, Sku};

fn sku() -> Sku {
    "abc123".parse().unwrap()
}

fn ship(pieces: u64) -> ShipProductQuantity {
    ShipProductQuantity { sku: sku(), quantity: pieces.try_into().unwrap() }
}

/// Opens applications with ten pieces on hand: from events and from stored states, in memory and on
/// Postgres.
async fn apps_with_ten(database: &Database) -> Vec<App> {
    let mut apps = Vec::new();
    for schema in ["events", "states"] {
        let builder = PgStore::builder().options(database.options()).schema(schema);
        let postgres = builder.migrate().await.unwrap();
        let memory = MemoryStore::new();
        apps.extend(match schema {
            "events" => [App::new(memory), App::new(postgres)],
            _ => [
                over_states(memory.clone(), Persistence::state(memory, "1")),
                over_states(postgres.clone(), Persistence::state(postgres, "1")),
            ],
        });
    }
    for app in &apps {
        let quantity = 10.try_into().unwrap();
        app.dispatch(IncreaseProductQuantity { sku: sku(), quantity }).await.unwrap();
    }
    apps
}

fn over_states(store: impl EventStore, persistence: Persistence<Product>) -> App {
    App::builder(store).aggregate::<Product>(persistence).build().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_shipments_never_exceed_the_stock() {
    for (shipments, pieces, accepted, left) in [(2, 8, 1, 2), (20, 1, 10, 0)] {
        let database = Database::create().await;
        for app in apps_with_ten(&database).await {
            let tasks: Vec<_> =
                (0..shipments).map(|_| tokio::spawn(app.dispatch(ship(pieces)))).collect();
            let mut done = 0;
            for task in tasks {
                match task.await.unwrap() {
                    Ok(_) => done += 1,
                    Err(refused) => assert!(refused.rejected().is_some(), "{refused}"),
                }
            }
            assert_eq!(done, accepted);
            let product = app.load::<Product>(&sku()).await.unwrap();
            assert_eq!(product.state().on_hand, left);
        }
    }
}

#[tokio::test]
async fn the_storyboard_runs_on_both_stores() {
    let database = Database::create().await;
    for store in [StoreArguments::default(), StoreArguments::postgres(&database.url())] {
        let mut output = Vec::new();
        warehouse::cli::storyboard(&store, &[], &mut output).await.unwrap();
        check_storyboard(&String::from_utf8(output).unwrap());
    }
}

#[tokio::test]
async fn dropped_products_are_rebuilt_with_the_same_rows() {
    let database = Database::create().await;
    for store in [StoreArguments::default(), StoreArguments::postgres(&database.url())] {
        let mut output = Vec::new();
        let then = [Operation::Lag, Operation::Rebuild, Operation::DropRead, Operation::Lag];
        warehouse::cli::storyboard(&store, &then, &mut output).await.unwrap();
        let output = String::from_utf8(output).unwrap();
        let (_, afterwards) = output.split_once("> lag").unwrap();
        assert_eq!(afterwards.matches("abc123            1 on hand").count(), 2, "{output}");
        assert_eq!(afterwards.matches("products: Live, lag 0").count(), 2, "{output}");
    }
}

fn check_storyboard(output: &str) {
    let steps = [
        "no products yet",
        "50 on hand",
        "1 on hand",
        "rejected: insufficient quantity: 1 on hand, 20 requested",
        "1 on hand",
    ];
    let mut rest = output;
    for step in steps {
        let (_, after) = rest.split_once(step).unwrap_or_else(|| panic!("{step}, then:\n{output}"));
        rest = after;
    }
    assert!(output.lines().all(|line| line.chars().count() <= 80));
}
