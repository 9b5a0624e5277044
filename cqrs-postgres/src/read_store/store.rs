//! The read store.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cqrs_core::event::Uuid;
use cqrs_core::projection::store::{
    Capability, Cluster, CommitError, ConsumerName, ConsumerRecord, Failure, LeaseError,
    NewGeneration, ParkedEvent, Partition, PartitionLease, ReadStore, Swap,
};
use cqrs_core::{
    Position,
    store::{Retry, StoreError},
};
use sqlx::PgPool;

use super::database::{Database, PgReadTransaction};
use crate::database::error::{is_lost, retry, sqlstate};

/// Read models in a Postgres database. It may be another database than that of the event store;
/// everything in it can be rebuilt from the log.
///
/// Each projector has a schema with its own name: the table `balances` of the projector `accounts`
/// is `accounts.balances`. A rebuild fills another schema and gives it the name in one transaction:
/// statements that are running see the old rows, later ones the new rows. Queries need no privilege
/// to write.
///
/// A projector must not be idle in its transaction: after three seconds without a statement the
/// server ends the transaction, so that a process that was suspended does not block others.
///
/// ```no_run
/// use cqrs_core::Recorded;
/// use cqrs_core::projection::{ProjectError, Projections, Projector, ReadModel};
/// use cqrs_postgres::{PgReadStore, PgReadTransaction, PgStore};
///
/// # use cqrs_core::event::*;
/// # struct Deposited { cents: i64 }
/// # impl Event for Deposited {
/// #     const TYPES: &'static [EventType] = &[EventType::new("bank.deposited", 1)];
/// #     fn event_type(&self) -> EventType { Self::TYPES[0] }
/// #     fn encode(&self) -> Result<Payload, PayloadError> { Payload::encode(&self.cents) }
/// #     fn decode(_: &str, p: &Payload) -> Result<Self, DecodeFailure> { Ok(Self { cents: p.decode()? }) }
/// # }
/// struct Balances;
///
/// impl ReadModel for Balances {
///     type Event = Deposited;
///     const NAME: &'static str = "balances";
///     const VERSION: u32 = 1;
/// }
///
/// impl Projector<PgReadStore> for Balances {
///     async fn create(&self, tx: &mut PgReadTransaction) -> Result<(), ProjectError> {
///         let create = "create table balances (account text primary key, cents bigint not null)";
///         sqlx::query(create).execute(&mut **tx).await?;
///         Ok(())
///     }
///
///     async fn project(
///         &self,
///         tx: &mut PgReadTransaction,
///         event: &Recorded<Deposited>,
///     ) -> Result<(), ProjectError> {
///         let add = "insert into balances values ($1, $2)
///                    on conflict (account) do update set cents = balances.cents + excluded.cents";
///         let add = sqlx::query(add).bind(event.stream.as_str()).bind(event.event.cents);
///         add.execute(&mut **tx).await?;
///         Ok(())
///     }
/// }
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let store = PgStore::connect("postgres://localhost/shop").await?;
/// let read = PgReadStore::builder().url("postgres://localhost/shop_read").migrate().await?;
/// let projections = Projections::builder_over(store, read.clone()).projector(Balances).start().await?;
///
/// let mut tx = read.begin_read("balances").await?;
/// let cents: i64 = sqlx::query_scalar("select cents from balances where account = $1")
///     .bind("account-7")
///     .fetch_one(&mut *tx)
///     .await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct PgReadStore {
    pub(super) database: Arc<Database>,
}

impl PgReadStore {
    /// Returns the pool of the store, for queries.
    #[must_use]
    pub fn pool(&self) -> &PgPool {
        &self.database.pool
    }

    /// Begins a read-only transaction whose search path is the live generation of a read model, so
    /// that its tables need no schema. Costs one round trip, as a plain `begin` does.
    ///
    /// If a rebuild is swapped in while the transaction is open, it continues: each statement reads
    /// the old rows or the new rows, and all of them. Which ones it reads may differ between
    /// statements, so read everything that has to be consistent in one statement. Drop the
    /// transaction when you are done; it has nothing to commit. While it is open, the generation it
    /// has read is not removed.
    ///
    /// ```no_run
    /// # async fn run(read: cqrs_postgres::PgReadStore) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut tx = read.begin_read("accounts").await?;
    /// let open: i64 = sqlx::query_scalar("select count(*) from accounts where not closed")
    ///     .fetch_one(&mut *tx)
    ///     .await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`StoreError`] if the database cannot be reached, and of kind
    /// [`Timeout`](cqrs_core::store::StoreErrorKind::Timeout) if no connection of the pool becomes
    /// free in time. A read model that has not been built yet is discovered by the first statement:
    /// SQLSTATE `42P01`, undefined table.
    pub async fn begin_read(&self, projector: &str) -> Result<PgReadTransaction, StoreError> {
        let schema = self.database.schema_of(projector);
        let begin = format!(
            "begin isolation level read committed read only; \
             set local search_path to {schema}, public"
        );
        self.database.begin_with(&begin).await
    }

    /// Returns the schema of a read model, quoted for SQL: for queries over several read models,
    /// and for grants. [`begin_read`](Self::begin_read) needs no schema.
    ///
    /// ```no_run
    /// # fn run(read: cqrs_postgres::PgReadStore) {
    /// let (accounts, orders) = (read.schema_of("accounts"), read.schema_of("orders"));
    /// let join = format!(
    ///     "select a.owner, o.total from {accounts}.accounts a join {orders}.orders o on o.owner = a.id"
    /// );
    /// # }
    /// ```
    #[must_use]
    pub fn schema_of(&self, projector: &str) -> String {
        self.database.schema_of(projector)
    }

    /// Drops all read models and the records about them. The next
    /// [`migrate`](super::PgReadStoreBuilder::migrate) and start rebuild them from the log. Stop
    /// the projectors of all processes first.
    ///
    /// # Errors
    /// [`StoreError`] if the database cannot be reached or denies access; nothing is dropped then.
    pub async fn drop_everything(&self) -> Result<(), StoreError> {
        self.database.drop_everything().await
    }
}

#[async_trait]
impl ReadStore for PgReadStore {
    type Transaction = PgReadTransaction;

    async fn heartbeat(
        &self,
        node: Uuid,
        lease: Duration,
        capabilities: &[Capability],
        progress: &[PartitionLease],
    ) -> Result<Cluster, StoreError> {
        self.database.heartbeat(node, lease, capabilities, progress).await
    }

    async fn leave(&self, node: Uuid) -> Result<(), StoreError> {
        self.database.leave(node).await
    }

    async fn acquire(
        &self,
        node: Uuid,
        partition: &Partition,
    ) -> Result<Option<PartitionLease>, StoreError> {
        self.database.acquire(node, partition).await
    }

    async fn release(&self, lease: &PartitionLease) -> Result<(), StoreError> {
        self.database.release(lease).await
    }

    async fn begin(&self, lease: &PartitionLease) -> Result<PgReadTransaction, LeaseError> {
        Ok(self.database.begin_under(lease).await?)
    }

    async fn commit(
        &self,
        tx: PgReadTransaction,
        lease: &PartitionLease,
        through: Position,
    ) -> Result<(), CommitError> {
        self.database.commit(tx, lease, through).await
    }

    fn is_transient(&self, error: &(dyn Error + 'static)) -> bool {
        let mut error = Some(error);
        while let Some(now) = error {
            if let Some(error) = now.downcast_ref::<sqlx::Error>() {
                let is_ended = sqlstate(error).is_some() && is_lost(error);
                return is_ended || retry(error) != Retry::Never;
            }
            if let Some(error) = now.downcast_ref::<StoreError>() {
                return error.retry() != Retry::Never;
            }
            error = now.source();
        }
        false
    }

    async fn park(
        &self,
        tx: &mut PgReadTransaction,
        lease: &PartitionLease,
        event: &ParkedEvent,
    ) -> Result<(), StoreError> {
        self.database.park(tx, lease, event).await
    }

    async fn unpark(
        &self,
        tx: &mut PgReadTransaction,
        lease: &PartitionLease,
        position: Position,
    ) -> Result<(), StoreError> {
        self.database.unpark(tx, lease, position).await
    }

    async fn parked(
        &self,
        consumer: &ConsumerName,
        generation: u64,
        number: Option<u32>,
    ) -> Result<Vec<ParkedEvent>, StoreError> {
        self.database.parked(consumer, generation, number).await
    }

    async fn request_retry(
        &self,
        consumer: &ConsumerName,
        key: Option<&str>,
    ) -> Result<u64, StoreError> {
        self.database.request_retry(consumer, key).await
    }

    async fn retried(
        &self,
        lease: &PartitionLease,
        key: &str,
        failed: Option<&Failure>,
    ) -> Result<(), StoreError> {
        self.database.retried(lease, key, failed).await
    }

    async fn discard(
        &self,
        consumer: &ConsumerName,
        position: Position,
        reason: &str,
    ) -> Result<bool, StoreError> {
        self.database.discard(consumer, position, reason).await
    }

    async fn report(
        &self,
        lease: &PartitionLease,
        failure: Option<&Failure>,
    ) -> Result<bool, StoreError> {
        self.database.report(lease, failure).await
    }

    async fn set_paused(&self, consumer: &ConsumerName, paused: bool) -> Result<bool, StoreError> {
        self.database.set_paused(consumer, paused).await
    }

    async fn inspect(
        &self,
        consumer: Option<&ConsumerName>,
    ) -> Result<Vec<ConsumerRecord>, StoreError> {
        self.database.inspect(consumer).await
    }

    async fn new_generation(
        &self,
        consumer: &ConsumerName,
        version: u32,
        partitions: u32,
        after: Position,
    ) -> Result<Option<NewGeneration<PgReadTransaction>>, StoreError> {
        self.database.new_generation(consumer, version, partitions, after).await
    }

    async fn commit_new(&self, tx: PgReadTransaction) -> Result<(), StoreError> {
        self.database.commit_new(tx).await
    }

    async fn swap(&self, consumer: &ConsumerName, generation: u64) -> Result<Swap, StoreError> {
        self.database.swap(consumer, generation).await
    }

    async fn cancel(&self, consumer: &ConsumerName) -> Result<bool, StoreError> {
        self.database.cancel(consumer).await
    }

    async fn enter(
        &self,
        tx: &mut PgReadTransaction,
        consumer: &ConsumerName,
        version: u32,
    ) -> Result<Option<Position>, StoreError> {
        self.database.begin_inline(tx, consumer, version).await
    }

    async fn advance(
        &self,
        tx: &mut PgReadTransaction,
        consumer: &ConsumerName,
        through: Position,
    ) -> Result<(), StoreError> {
        self.database.advance_inline(tx, consumer, through).await
    }
}
