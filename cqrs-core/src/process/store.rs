//! The port of process stores.

use async_trait::async_trait;

use super::records::{Instance, PendingWork, Request};
use crate::names::ConsumerName;
use crate::projection::ReadStore;
use crate::{StoreError, Timestamp};

/// Keeps the instances of processes, in the transactions of a [`ReadStore`]: leases, checkpoints
/// and fencing are the same as for read models. What it keeps cannot be made again from the log
/// alone, so its commits are durable.
#[async_trait]
pub trait ProcessStore: ReadStore {
    /// Makes the tables of a process.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    async fn create_process(&self, tx: &mut Self::Transaction) -> Result<(), StoreError>;

    /// Instances by their ids; those that are not there are left out.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    async fn instances_in(
        &self,
        tx: &mut Self::Transaction,
        ids: &[String],
    ) -> Result<Vec<Instance>, StoreError>;

    /// Keeps instances as they are from now on.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    async fn keep(
        &self,
        tx: &mut Self::Transaction,
        instances: &[Instance],
    ) -> Result<(), StoreError>;

    /// What there is to do: at most so many instances of each kind.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    async fn pending_work(
        &self,
        process: &ConsumerName,
        now: Timestamp,
        limit: usize,
    ) -> Result<PendingWork, StoreError>;

    /// Notes what an operator asks for. Says whether the instance is there.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    async fn request(&self, process: &ConsumerName, request: &Request) -> Result<bool, StoreError>;

    /// Forgets requests that were seen to.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails; they are then seen to again.
    async fn forget_requests(
        &self,
        process: &ConsumerName,
        requests: &[Request],
    ) -> Result<(), StoreError>;

    /// Instances for people, by id.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    async fn list_instances(
        &self,
        process: &ConsumerName,
        query: &InstanceQuery,
    ) -> Result<Vec<Instance>, StoreError>;
}

/// Which instances to list.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InstanceQuery {
    /// Only this one.
    pub id: Option<String>,
    /// Only those that wait for an operator.
    pub suspended: bool,
    /// Only ids behind this one, for the next page.
    pub after: Option<String>,
    /// At most so many.
    pub limit: usize,
}

#[allow(clippy::needless_pass_by_value)] // ids read better without ampersands
impl InstanceQuery {
    /// The first 1,000.
    #[must_use]
    pub const fn all() -> Self {
        Self { id: None, suspended: false, after: None, limit: 1_000 }
    }

    /// One instance.
    #[must_use]
    pub fn one(id: impl ToString) -> Self {
        Self { id: Some(id.to_string()), ..Self::all() }
    }

    /// The first 1,000 of those that wait for an operator.
    #[must_use]
    pub fn suspended() -> Self {
        Self { suspended: true, ..Self::all() }
    }

    /// The page behind an id.
    #[must_use]
    pub fn after(mut self, id: impl ToString) -> Self {
        self.after = Some(id.to_string());
        self
    }
}
