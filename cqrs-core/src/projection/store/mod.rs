//! What a read store implements.
//!
//! [`ReadStore`] is the port: checkpoints, leases, generations and parked events of consumers, in
//! the same transactions as the rows of their read models. `cqrs-memory` and `cqrs-postgres`
//! implement it; `cqrs_testing::read_store_conformance!` checks an implementation.

mod error;
mod inline;
mod partition;
mod read_store;
mod records;

pub use super::error::ProjectError;
pub use crate::names::{ConsumerName, MAX_CONSUMER_NAME_BYTES};
pub use error::{CommitError, LeaseError};
pub use inline::{AppendProjecting, InlineProjection};
pub use partition::{Capability, Partition, PartitionLease};
pub use read_store::{NewGeneration, ReadStore, Swap};
pub use records::{
    Cluster, ConsumerRecord, Failure, GenerationRecord, NodeRecord, ParkedEvent, PartitionRecord,
};
