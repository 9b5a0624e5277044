//! The handler that sends notifications.

use std::sync::Arc;

use cqrs::{
    EventHandler, EventId, Recorded,
    process::{HandlerContext, HandlerError},
    store::async_trait,
};

use crate::domain::{ProductEvent, Sku};

/// Sends low-stock notifications.
#[async_trait]
pub trait Notifier: Send + Sync + 'static {
    /// Notifies that a product is low. Called again with the same `event` after a crash: pass it on
    /// as the idempotency key if the notification must not be repeated.
    ///
    /// # Errors
    /// Any error; the notification is retried.
    async fn low_stock(&self, event: EventId, sku: &Sku, left: u64) -> Result<(), HandlerError>;
}

/// Writes notifications to standard error.
#[derive(Clone, Copy, Debug, Default)]
pub struct Log;

#[async_trait]
impl Notifier for Log {
    async fn low_stock(&self, _: EventId, sku: &Sku, left: u64) -> Result<(), HandlerError> {
        eprintln!("warning: only {left} of {sku} left");
        Ok(())
    }
}

/// Passes requested notifications to a notifier.
#[derive(Debug)]
pub struct SendNotifications<N> {
    notifier: Arc<N>,
}

impl<N> SendNotifications<N> {
    /// Creates a handler that sends notifications with `notifier`.
    #[must_use]
    pub const fn with(notifier: Arc<N>) -> Self {
        Self { notifier }
    }
}

impl<N: Notifier> EventHandler for SendNotifications<N> {
    type Event = ProductEvent;
    const NAME: &'static str = "send_notifications";

    async fn handle(
        &self,
        event: &Recorded<ProductEvent>,
        _: &mut HandlerContext<'_>,
    ) -> Result<(), HandlerError> {
        match &event.event {
            ProductEvent::NotifiedLowProductQuantity { sku, quantity } => {
                self.notifier.low_stock(event.id, sku, *quantity).await
            }
            _ => Ok(()),
        }
    }
}
