//! Subscriptions: reading the log from any position, and then each new event as it is stored.
//!
//! - A [`Subscription`] returns stored events, then new ones, until it is dropped. Its position is
//!   not stored.
//! - A [`DurableSubscription`] has a name. Acknowledging events moves its checkpoint, which a
//!   [`CheckpointStore`] stores; after a restart, delivery continues after the checkpoint. If
//!   several nodes open the same name, one receives events and the others stand by.
//!
//! Guarantees of a durable subscription:
//! - Its checkpoint is the highest position up to which every event is acknowledged or does not
//!   pass the filter. It never decreases, except by
//!   [`reset_checkpoint`](CheckpointStore::reset_checkpoint).
//! - Only the owner of the newest [lease](SubscriptionLease) moves it.
//! - Each event is therefore delivered at least once. It is delivered again only if the
//!   subscription stopped before its acknowledgement was saved.

mod acks;
mod catch_up;
mod checkpoints;
mod durable;
pub(crate) mod follow;
mod lease;
mod options;
mod unacknowledged;

pub use acks::{AckError, Acks};
pub use catch_up::Subscription;
pub use checkpoints::{
    AcquireError, Checkpoint, CheckpointError, CheckpointStore, SubscriptionLease, SubscriptionName,
};
pub use durable::{DurableError, DurableSubscription};
pub use options::{DurableOptions, Start, SubscriptionOptions};
