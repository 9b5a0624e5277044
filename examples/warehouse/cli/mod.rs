//! The warehouse on the command line: runs a storyboard and operations on the read models.

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use cqrs::{
    App,
    app::{DispatchError, SystemClock},
};
use example_shared::StoreArguments;

use crate::ReadModels;
use crate::domain::product::{IncreaseProductQuantity, ShipProductQuantity};
use crate::domain::{ProductCommand, ProductEvent, Quantity, Sku};
use crate::low_stock::{Automation, Item, Log, LowStock, THRESHOLD};

/// The longest time to wait for the read models and the notification.
const WITHIN: Duration = Duration::from_secs(10);

/// The time after which other processes take over from one that died.
const LEASE: Duration = Duration::from_secs(3);
/// The interval of checks whether everything is done.
const POLL_INTERVAL: Duration = Duration::from_millis(2);

/// Runs a storyboard: 50 pieces arrive, 49 are shipped, 20 more are rejected, a notification is sent.
#[derive(Debug, Parser)]
#[command(name = "warehouse")]
struct Arguments {
    /// Operations to run at the end, in this order.
    #[arg(value_enum)]
    then: Vec<Operation>,

    #[command(flatten)]
    store: StoreArguments,
}

/// An operation on the read models.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Operation {
    /// Prints the lag of each read model.
    Lag,
    /// Rebuilds the products; the old table stays in use.
    Rebuild,
    /// Drops all tables and rebuilds them from the log.
    DropRead,
}

/// Parses the arguments and runs the storyboard.
#[must_use]
pub fn main() -> ExitCode {
    let Arguments { then, store } = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = runtime
        .map_err(Into::into)
        .and_then(|runtime| runtime.block_on(storyboard(&store, &then, &mut io::stdout().lock())));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("warehouse: {error}");
            ExitCode::from(1)
        }
    }
}

/// Runs the storyboard and then the operations, and writes what happens to `out`.
///
/// # Errors
/// If the store or `out` fails. A rejected command is part of the storyboard.
pub async fn storyboard(
    store: &StoreArguments,
    then: &[Operation],
    out: &mut dyn Write,
) -> Result<(), Box<dyn Error>> {
    let app = App::new(store.open("warehouse", SystemClock).await?);
    let mut read = read_models(store, &app).await?;
    let sku: Sku = "abc123".parse()?;
    list(&app, &read, out).await?;
    for (more, pieces) in [(true, 50), (false, 49), (false, 20)] {
        let quantity = Quantity::try_from(pieces)?;
        let (verb, command): (_, ProductCommand) = if more {
            ("increase", IncreaseProductQuantity { sku: sku.clone(), quantity }.into())
        } else {
            ("ship", ShipProductQuantity { sku: sku.clone(), quantity }.into())
        };
        writeln!(out, "\n> {verb} {sku} by {pieces}")?;
        match app.dispatch(command).await {
            Ok(outcome) => {
                for recorded in &outcome.events {
                    let (version, position) = (recorded.version, recorded.position);
                    writeln!(out, "  {}  (v{version}, #{position})", shown(&recorded.event))?;
                }
            }
            Err(DispatchError::Rejected(reason)) => writeln!(out, "  rejected: {reason}")?,
            Err(other) => return Err(other.into()),
        }
        list(&app, &read, out).await?;
    }
    send_notifications(store, &app, &read, out).await?;
    for operation in then {
        match operation {
            Operation::Lag => {
                writeln!(out, "\n> lag")?;
                for health in read.projections().health().await? {
                    let (name, state, lag) = (health.name, health.state, health.lag);
                    writeln!(out, "  {name}: {state:?}, lag {lag}")?;
                }
            }
            Operation::Rebuild => {
                writeln!(out, "\n> rebuild")?;
                read.projections().rebuild("products").await?;
                list(&app, &read, out).await?;
            }
            Operation::DropRead => {
                writeln!(out, "\n> drop-read")?;
                read.projections().stop().await;
                store.open_read("warehouse").await?.drop_everything().await?;
                read = read_models(store, &app).await?;
                list(&app, &read, out).await?;
            }
        }
    }
    read.projections().stop().await;
    Ok(())
}

/// Sends the notification, as the last step of the storyboard.
async fn send_notifications(
    store: &StoreArguments,
    app: &App,
    read: &ReadModels,
    out: &mut dyn Write,
) -> Result<(), Box<dyn Error>> {
    writeln!(out, "\n> start the automation")?;
    let automation = Automation { low_stock: LowStock::new(THRESHOLD), notifier: Arc::new(Log) };
    let processes = store.open_processes("warehouse").await?;
    let running = processes.run(app, SystemClock, LEASE, automation).await?;
    let until = tokio::time::Instant::now() + WITHIN;
    while tokio::time::Instant::now() < until {
        read.wait_for(app.store().head().await?, WITHIN).await?;
        if !read.to_do().await?.values().any(|item| matches!(item, Item::Open { .. })) {
            break;
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    let started = running.wait_until_started("send_notifications", WITHIN).await?;
    let head = app.store().head().await?;
    if started {
        running.wait_for("send_notifications", head, WITHIN).await?;
    }
    running.stop().await;
    list(app, read, out).await
}

async fn read_models(store: &StoreArguments, app: &App) -> Result<ReadModels, Box<dyn Error>> {
    let read = store.open_read("warehouse").await?;
    Ok(ReadModels::start(app, read, THRESHOLD).await?)
}

/// Lists the products, once the read models contain every event.
async fn list(app: &App, read: &ReadModels, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    if !read.wait_for(app.store().head().await?, WITHIN).await? {
        writeln!(out, "  warning: the following may be out of date")?;
    }
    let products = read.products().await?;
    if products.is_empty() {
        writeln!(out, "  no products yet")?;
    }
    let to_do = read.to_do().await?;
    for (sku, on_hand) in products {
        let item = match to_do.get(&sku) {
            Some(Item::Open { left }) => format!(", to do: notify that {left} are left"),
            Some(Item::Notified) => ", notification sent".to_owned(),
            Some(Item::Nothing) | None => String::new(),
        };
        writeln!(out, "  {sku:<12} {on_hand:>6} on hand{item}")?;
    }
    Ok(())
}

fn shown(event: &ProductEvent) -> String {
    match event {
        ProductEvent::ProductQuantityIncreased { quantity, on_hand_after, .. } => {
            format!("ProductQuantityIncreased by {quantity} to {on_hand_after}")
        }
        ProductEvent::ProductQuantityShipped { quantity, on_hand_after, .. } => {
            format!("ProductQuantityShipped {quantity}, {on_hand_after} left")
        }
        ProductEvent::NotifiedLowProductQuantity { quantity, .. } => {
            format!("NotifiedLowProductQuantity, {quantity} left")
        }
    }
}
