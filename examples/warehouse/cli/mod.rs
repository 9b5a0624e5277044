//! The warehouse on the command line: its storyboard, step by step.

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use cqrs::{App, DispatchError, EventStore, SystemClock};
use example_store::StoreArguments;

use crate::domain::product::{IncreaseProductQuantity, ShipProductQuantity};
use crate::domain::{ProductCommand, ProductEvent, Quantity, Sku};
use crate::read::products;

/// Runs the warehouse's storyboard: 50 come in, 49 go out, 20 more are refused.
#[derive(Debug, Parser)]
#[command(name = "warehouse")]
struct Arguments {
    #[command(flatten)]
    store: StoreArguments,
}

/// Reads the arguments and runs the storyboard.
#[must_use]
pub fn main() -> ExitCode {
    let Arguments { store } = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let told = runtime.map_err(Into::into).and_then(|runtime| {
        runtime.block_on(async {
            let store = store.open("warehouse", SystemClock).await?;
            storyboard(store, &mut io::stdout().lock()).await
        })
    });
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
pub async fn storyboard(store: impl EventStore, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let app = App::new(store);
    let sku: Sku = "abc123".parse()?;
    list(&app, out).await?;
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
            Err(DispatchError::Refused(refusal)) => writeln!(out, "  refused: {refusal}")?,
            Err(other) => return Err(other.into()),
        }
        list(&app, out).await?;
    }
    Ok(())
}

async fn list(app: &App, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let products = products(app.store()).await?;
    if products.is_empty() {
        writeln!(out, "  no products yet")?;
    }
    for (sku, on_hand) in products {
        writeln!(out, "  {sku:<12} {on_hand:>6} on hand")?;
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
