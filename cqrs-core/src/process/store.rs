//! The process store, and queries for instances.

use async_trait::async_trait;

use super::records::{Instance, PendingWork, Request};
use crate::names::ConsumerName;
use crate::projection::store::ReadStore;
use crate::{StoreError, Timestamp};

/// Stores the instances of processes in the transactions of a [`ReadStore`], which provides leases
/// and checkpoints.
///
/// Instances cannot be rebuilt from the log alone, so commits must be durable. `MemoryReadStore`
/// and `PgReadStore::for_processes` implement this trait.
///
/// ```
/// # use cqrs_memory::MemoryReadStore;
/// use cqrs_core::Timestamp;
/// use cqrs_core::process::{InstanceQuery, ProcessStore};
/// use cqrs_core::projection::ConsumerName;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = MemoryReadStore::new();
/// let transfers = ConsumerName::new("money_transfer")?;
/// // A process that has never run has no instances and no pending work.
/// assert_eq!(store.list_instances(&transfers, &InstanceQuery::page()).await?, []);
/// let pending = store.pending_work(&transfers, Timestamp::MAX, 10).await?;
/// assert!(pending.busy.is_empty() && pending.due.is_empty());
/// # Ok(()) }
/// ```
#[async_trait]
pub trait ProcessStore: ReadStore {
    /// Creates the tables of a process.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the store fails, or if its commits are not durable.
    async fn create_process(&self, tx: &mut Self::Transaction) -> Result<(), StoreError>;

    /// Returns the instances with the given ids, in any order. Ids of instances that do not exist
    /// are skipped.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the store fails.
    async fn instances_in(
        &self,
        tx: &mut Self::Transaction,
        ids: &[String],
    ) -> Result<Vec<Instance>, StoreError>;

    /// Inserts or replaces instances.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the store fails.
    async fn keep(
        &self,
        tx: &mut Self::Transaction,
        instances: &[Instance],
    ) -> Result<(), StoreError>;

    /// Returns the pending work of a process: at most `limit` busy and `limit` due instances. The
    /// result is empty if the process has no tables yet.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the store fails.
    async fn pending_work(
        &self,
        process: &ConsumerName,
        now: Timestamp,
        limit: usize,
    ) -> Result<PendingWork, StoreError>;

    /// Stores the request of an operator. Returns `false`, and stores nothing, if the instance does
    /// not exist.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the store fails.
    async fn request(&self, process: &ConsumerName, request: &Request) -> Result<bool, StoreError>;

    /// Removes requests that were carried out.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the store fails. The requests are then carried out again.
    async fn forget_requests(
        &self,
        process: &ConsumerName,
        requests: &[Request],
    ) -> Result<(), StoreError>;

    /// Returns one page of the instances that match a query, ordered by id.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the store fails.
    async fn list_instances(
        &self,
        process: &ConsumerName,
        query: &InstanceQuery,
    ) -> Result<Vec<Instance>, StoreError>;
}

/// A page of instances, ordered by id. Default: the first 1,000 instances.
///
/// ```
/// use cqrs_core::process::InstanceQuery;
///
/// // The second page of ten, of those that need an operator.
/// let query = InstanceQuery::page().suspended().after("transfer-10").limit(10);
/// assert_eq!(query.limit, 10);
/// ```
///
/// To walk through all pages, use [`Processes::all_instances`](super::Processes::all_instances).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InstanceQuery {
    /// If set, only the instance with this id is returned.
    pub id: Option<String>,
    /// If `true`, only suspended instances are returned.
    pub suspended: bool,
    /// If set, only instances whose id sorts after this one are returned.
    pub after: Option<String>,
    /// The maximum number of instances to return. Default: 1,000.
    pub limit: usize,
}

#[allow(clippy::needless_pass_by_value)] // ids read better without ampersands
impl InstanceQuery {
    /// Selects the first 1,000 instances.
    #[must_use]
    pub const fn page() -> Self {
        Self { id: None, suspended: false, after: None, limit: 1_000 }
    }

    /// Selects the instance with this id.
    #[must_use]
    pub fn id(mut self, id: impl ToString) -> Self {
        self.id = Some(id.to_string());
        self
    }

    /// Selects suspended instances.
    #[must_use]
    pub const fn suspended(mut self) -> Self {
        self.suspended = true;
        self
    }

    /// Starts the page after an id: usually the last one of the previous page.
    #[must_use]
    pub fn after(mut self, id: impl ToString) -> Self {
        self.after = Some(id.to_string());
        self
    }

    /// Sets the maximum number of instances. 0 counts as 1. Default: 1,000.
    #[must_use]
    pub const fn limit(mut self, instances: usize) -> Self {
        self.limit = if instances == 0 { 1 } else { instances };
        self
    }
}

impl Default for InstanceQuery {
    fn default() -> Self {
        Self::page()
    }
}
