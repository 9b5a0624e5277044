//! Telling somebody.

use std::sync::Arc;

use cqrs::{
    EventHandler, EventId, Recorded,
    process::{HandlerContext, HandlerError},
    store::async_trait,
};

use crate::domain::{ProductEvent, Sku};

/// A way to tell somebody that little is left.
#[async_trait]
pub trait Notifier: Send + Sync + 'static {
    /// Tells it. The same `event` may come again after a crash: a notifier that must not repeat
    /// itself gives it along as the idempotency key.
    ///
    /// # Errors
    /// Why nobody was told; it is tried again.
    async fn little_is_left(
        &self,
        event: EventId,
        sku: &Sku,
        left: u64,
    ) -> Result<(), HandlerError>;
}

/// Writes a line to the program's log.
#[derive(Clone, Copy, Debug, Default)]
pub struct Log;

#[async_trait]
impl Notifier for Log {
    async fn little_is_left(&self, _: EventId, sku: &Sku, left: u64) -> Result<(), HandlerError> {
        eprintln!("warning: only {left} of {sku} left");
        Ok(())
    }
}

/// Hands notifications that were asked for to a notifier.
#[derive(Debug)]
pub struct TellSomebody<N> {
    notifier: Arc<N>,
}

impl<N> TellSomebody<N> {
    /// Through this one.
    #[must_use]
    pub const fn through(notifier: Arc<N>) -> Self {
        Self { notifier }
    }
}

impl<N: Notifier> EventHandler for TellSomebody<N> {
    type Event = ProductEvent;
    const NAME: &'static str = "tell_somebody";

    async fn handle(
        &self,
        event: &Recorded<ProductEvent>,
        _: &mut HandlerContext<'_>,
    ) -> Result<(), HandlerError> {
        match &event.event {
            ProductEvent::NotifiedLowProductQuantity { sku, quantity } => {
                self.notifier.little_is_left(event.id, sku, *quantity).await
            }
            _ => Ok(()),
        }
    }
}
