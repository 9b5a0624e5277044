//! The warehouse on the command line: its storyboard, step by step, and what an operator may do.

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

/// The longest wait for the products to know what was done.
const WITHIN: Duration = Duration::from_secs(10);

/// How long nobody misses an automation that died.
const LEASE: Duration = Duration::from_secs(3);
/// How often it is looked whether everything is done.
const LOOK: Duration = Duration::from_millis(2);

/// Runs the warehouse's storyboard: 50 come in, 49 go out, 20 more are refused, somebody is told.
#[derive(Debug, Parser)]
#[command(name = "warehouse")]
struct Arguments {
    /// What to do afterwards, in this order.
    #[arg(value_enum)]
    then: Vec<Operation>,

    #[command(flatten)]
    store: StoreArguments,
}

/// What an operator may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Operation {
    /// Says how far the products are behind the log.
    Lag,
    /// Builds the products anew beside those that are shown.
    Rebuild,
    /// Drops all tables; they come back from the log.
    DropRead,
}

/// Reads the arguments and runs the storyboard.
#[must_use]
pub fn main() -> ExitCode {
    let Arguments { then, store } = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let told = runtime
        .map_err(Into::into)
        .and_then(|runtime| runtime.block_on(storyboard(&store, &then, &mut io::stdout().lock())));
    match told {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("warehouse: {error}");
            ExitCode::from(1)
        }
    }
}

/// Tells the storyboard on a store and writes down what happens.
///
/// # Errors
/// When the store or `out` fails; a refusal is part of the story.
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
            Err(DispatchError::Rejected(refusal)) => writeln!(out, "  refused: {refusal}")?,
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
                    writeln!(out, "  {name}: {state:?}, {lag} behind")?;
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

/// Works off what is to be done, as the last step of the storyboard.
async fn send_notifications(
    store: &StoreArguments,
    app: &App,
    read: &ReadModels,
    out: &mut dyn Write,
) -> Result<(), Box<dyn Error>> {
    writeln!(out, "\n> automation on")?;
    let automation = Automation { low_stock: LowStock::new(THRESHOLD), notifier: Arc::new(Log) };
    let kept = store.open_processes("warehouse").await?;
    let running = kept.run(app, SystemClock, LEASE, automation).await?;
    let until = tokio::time::Instant::now() + WITHIN;
    while tokio::time::Instant::now() < until {
        read.knows(app.store().head().await?, WITHIN).await?;
        if !read.to_do().await?.values().any(|item| matches!(item, Item::Open { .. })) {
            break;
        }
        tokio::time::sleep(LOOK).await;
    }
    let told = running.wait_until_started("send_notifications", WITHIN).await?;
    let head = app.store().head().await?;
    if told {
        running.wait_for("send_notifications", head, WITHIN).await?;
    }
    running.stop().await;
    list(app, read, out).await
}

async fn read_models(store: &StoreArguments, app: &App) -> Result<ReadModels, Box<dyn Error>> {
    let read = store.open_read("warehouse").await?;
    Ok(ReadModels::start(app, read, THRESHOLD).await?)
}

/// The products, as soon as they know everything that happened.
async fn list(app: &App, read: &ReadModels, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    if !read.knows(app.store().head().await?, WITHIN).await? {
        writeln!(out, "  what follows may be behind")?;
    }
    let products = read.products().await?;
    if products.is_empty() {
        writeln!(out, "  no products yet")?;
    }
    let to_do = read.to_do().await?;
    for (sku, on_hand) in products {
        let item = match to_do.get(&sku) {
            Some(Item::Open { left }) => format!(", to do: tell somebody that {left} are left"),
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
