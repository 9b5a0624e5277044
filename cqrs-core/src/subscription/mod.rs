//! Subscriptions with a name, which go on where they stopped.
//!
//! A [`DurableSubscription`] follows the log like any subscription. What its handler
//! acknowledges moves a checkpoint, kept by a [`CheckpointStore`]; after a restart delivery goes
//! on behind it. Of several processes that open one name, one is served and the others stand by.
//!
//! Invariants:
//! - The checkpoint is the highest position below and at which everything is acknowledged or did
//!   not pass the filter. It never decreases.
//! - Only the owner of the newest claim moves it.
//! - So an event is delivered at least once; twice only when it was not acknowledged, or its
//!   acknowledgement was not saved, before the subscription stopped.

mod acks;
mod checkpoints;
mod durable;
mod lease;
mod subscription;

pub use acks::UnexpectedAck;
pub use checkpoints::{
    AcquireError, Checkpoint, CheckpointError, CheckpointStore, SubscriptionLease, SubscriptionName,
};
pub use durable::{AckError, Acks, DurableError, DurableOptions, DurableSubscription};
pub(crate) use subscription::Follow;
pub use subscription::{Start, Subscription, SubscriptionOptions};
