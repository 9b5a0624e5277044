//! Five common tasks, each in its own file: an aggregate, its test, a read model on Postgres,
//! a read model on both stores, and a process with a timer. This file runs them in memory.
//!
//! `cargo run --example tiny-tasks --features postgres,testing`

mod aggregate;
#[cfg(test)]
mod aggregate_test;
mod order;
mod process_with_timer;
mod read_model_both;
mod read_model_postgres;

use std::time::Duration;

use cqrs::memory::{MemoryReadStore, MemoryStore};
use cqrs::postgres::PgReadStore;
use cqrs::testing::ManualClock;
use cqrs::{App, Processes, Projections, Timestamp};

use aggregate::AccountCommand;
use order::{Order, OrderCommand};
use process_with_timer::{CancelUnpaidOrders, DAY};
use read_model_both::{Activity, EventCounts};
use read_model_postgres::{Balances, balance};

const TIMEOUT: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let clock = ManualClock::at(Timestamp::UNIX_EPOCH);
    let app = App::new(MemoryStore::builder().clock(clock.clone()).build());
    read_models(&app).await?;
    process(&app, clock).await
}

async fn read_models(app: &App) -> Result<(), Box<dyn std::error::Error>> {
    let read_store = MemoryReadStore::new();
    let counts = read_store.view::<EventCounts>("activity")?;
    let projections = Projections::builder(app, read_store).projector(Activity).start().await?;
    projections.wait_until_built("activity", TIMEOUT).await?;

    let account = || "alice".to_owned();
    app.dispatch(AccountCommand::Deposit { account: account(), cents: 500 }).await?;
    let outcome = app.dispatch(AccountCommand::Withdraw { account: account(), cents: 300 }).await?;
    projections.wait_for("activity", outcome.position, TIMEOUT).await?;
    println!("events by stream: {:?}", counts.get().ok_or("no read model")?.0);
    projections.stop().await;
    Ok(())
}

async fn process(app: &App, clock: ManualClock) -> Result<(), Box<dyn std::error::Error>> {
    let processes = Processes::builder(app, MemoryReadStore::new())
        .clock(clock.clone())
        .poll_interval(Duration::from_millis(10))
        .process(CancelUnpaidOrders)
        .start()
        .await?;
    let order = || "7".to_owned();
    let placed = app.dispatch(OrderCommand::Place { order: order() }).await?;
    processes.wait_for("cancel_unpaid_orders", placed.position, TIMEOUT).await?;

    clock.advance(4 * DAY);
    let cancelled = placed.position.next();
    processes.wait_for("cancel_unpaid_orders", cancelled, TIMEOUT).await?;
    let order = app.load::<Order>(&order()).await?;
    println!("order after four days: {:?}", order.state());
    assert_eq!(*order.state(), Order::Cancelled);
    processes.stop().await;
    Ok(())
}

/// Compiled here, used by programs that run on Postgres.
#[allow(dead_code)]
async fn on_postgres(app: &App, url: &str) -> Result<i64, Box<dyn std::error::Error>> {
    let read_store = PgReadStore::builder().url(url).migrate().await?;
    let projections = Projections::builder(app, read_store.clone())
        .projector(Activity)
        .projector(Balances)
        .start()
        .await?;
    projections.wait_until_built("balances", TIMEOUT).await?;
    balance(&read_store, "alice").await
}
