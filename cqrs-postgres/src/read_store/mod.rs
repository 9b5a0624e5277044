//! Read models in Postgres.

mod builder;
mod inline;
mod process;
mod sql;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cqrs_core::projection::{
    Capability, Cluster, CommitError, ConsumerRecord, Failure, LeaseError, NewGeneration,
    ParkedEvent, Partition, PartitionLease, ReadStore, Swap,
};
use cqrs_core::{
    Position,
    projection::ConsumerName,
    store::{Retry, StoreError, StoreErrorKind},
};
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::{AssertSqlSafe, Connection, PgPool, Postgres, Row, Transaction};
use uuid::Uuid;

use crate::connections::{Arguments, arguments};
use crate::error::{corrupt, is_lost, sqlstate, store_error};
use crate::moment::Moment;
use crate::numbers::{signed, unsigned};
pub use builder::PgReadStoreBuilder;
use sql::Sql;

/// What a projector writes through: a transaction of the driver, in which the projector's own
/// tables need no qualifier. `sqlx::query("...").execute(&mut **tx)`.
pub type PgReadTransaction = Transaction<'static, Postgres>;

/// How many positions a generation may be behind the live one when that is held back for it.
const CLOSE: i64 = 1_000;

/// How many dead connections are passed over before it is said that the database is not there.
const MOST_DEAD: usize = 32;
/// What the server says when an administrator ended the session.
const SHUT_DOWN: &str = "57P01";

/// Longest silence in a transaction before the server ends it: the default lease of a node.
const SILENT: Duration = Duration::from_secs(3);

/// Read models in a Postgres database, which may be another one than that of the event store and
/// can be thrown away at any time.
///
/// Each projector has a schema of its own, called like it: a table `balances` of the projector
/// `accounts` is `accounts.balances` for queries. A rebuild fills another schema and gives it the
/// name in one transaction; queries that run see the old rows, later ones the new. Give the role
/// that queries no right to write.
///
/// A projector must not rest in its transaction: after three seconds without a statement the server
/// ends it, so that a process that was paused keeps nobody waiting.
///
/// ```no_run
/// # use cqrs_core::{*, aggregate::*, app::*, event::*, process::*, projection::*, repository::*, store::*, subscription::*, upcast::*};
/// use cqrs_postgres::{PgReadStore, PgReadTransaction, PgStore};
///
/// # struct Deposited { cents: i64 }
/// # impl Event for Deposited {
/// #     const TYPES: &'static [EventType] = &[EventType::new("bank.deposited", 1)];
/// #     fn event_type(&self) -> EventType { Self::TYPES[0] }
/// #     fn encode(&self) -> Result<Payload, PayloadError> { Payload::encode(&self.cents) }
/// #     fn decode(_: &str, p: &Payload) -> Result<Self, DecodeFailure> { Ok(Self { cents: p.decode()? }) }
/// # }
/// struct Balances;
///
/// #[async_trait]
/// impl Projector<PgReadStore> for Balances {
///     type Event = Deposited;
///     const NAME: &'static str = "balances";
///     const VERSION: u32 = 1;
///
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
/// let projections = Projections::builder(store, read).projector(Balances).start().await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct PgReadStore {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    pool: PgPool,
    sql: Sql,
    /// Of the records.
    schema: String,
    prefix: String,
    durable: bool,
}

impl PgReadStore {
    /// A read store to be configured.
    pub fn builder() -> PgReadStoreBuilder {
        PgReadStoreBuilder::new()
    }

    /// A store for processes, to be configured: apart from read models, because it must not be
    /// thrown away, and with durable commits.
    pub fn for_processes() -> PgReadStoreBuilder {
        Self::builder().schema("cqrs_processes").prefix("process_").durable_commits(true)
    }

    /// Its connections, for queries.
    #[must_use]
    pub fn pool(&self) -> &PgPool {
        &self.shared.pool
    }

    /// The schema of a projector's tables as SQL writes it, for queries:
    /// `format!("select ... from {}.balances", read.schema_of("accounts"))`.
    #[must_use]
    pub fn schema_of(&self, projector: &str) -> String {
        format!("\"{}{}\"", self.shared.prefix, projector.replace('"', "\"\""))
    }

    /// Drops all read models and everything on record about them. The next
    /// [`migrate`](PgReadStoreBuilder::migrate) and start build them anew from the log. Stop the
    /// projectors of all processes first.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be reached or refuses; nothing is dropped then.
    pub async fn drop_everything(&self) -> Result<(), StoreError> {
        let mut tx = self.begin_plain().await?;
        run(&mut tx, &self.shared.sql.drop_everything, arguments![]).await?;
        let drop = AssertSqlSafe(format!("drop schema \"{}\" cascade", self.shared.schema));
        sqlx::query(drop).execute(&mut *tx).await.map_err(store_error)?;
        tx.commit().await.map_err(store_error)
    }

    /// All rows of a statement.
    async fn fetch(&self, sql: &Arc<str>, given: Arguments) -> Result<Vec<PgRow>, StoreError> {
        let mut connection = self.shared.pool.acquire().await.map_err(store_error)?;
        // Not on the way of every event, so there is time to ask whether it is alive.
        let mut dead = 0;
        while dead < MOST_DEAD && connection.ping().await.is_err() {
            dead += 1;
            connection.close_on_drop();
            connection = self.shared.pool.acquire().await.map_err(store_error)?;
        }
        query(sql, given)?.fetch_all(&mut *connection).await.map_err(store_error)
    }

    async fn begin_plain(&self) -> Result<PgReadTransaction, StoreError> {
        self.begin_with(None).await
    }

    /// A connection is found dead by its first use. Nothing was written then, so another one does.
    async fn begin_with(&self, statement: Option<&str>) -> Result<PgReadTransaction, StoreError> {
        let mut dead = 0;
        loop {
            // In a task of its own, so that it is not cut off when the caller is: the driver would
            // take the connection back with a transaction open that it knows nothing of, and
            // whoever gets it next would keep the locks.
            let (pool, first) = (self.shared.pool.clone(), statement.map(str::to_owned));
            let begun = tokio::spawn(async move {
                match first {
                    Some(first) => pool.begin_with(AssertSqlSafe(first)).await,
                    None => pool.begin().await,
                }
            });
            let begun = begun.await.unwrap_or(Err(sqlx::Error::WorkerCrashed));
            match begun {
                Err(error) if dead < MOST_DEAD && matches!(error, sqlx::Error::Io(_)) => dead += 1,
                Err(error) if dead < MOST_DEAD && sqlstate(&error) == Some(SHUT_DOWN) => dead += 1,
                Err(error) => {
                    if statement.is_some() && sqlstate(&error).is_some() {
                        self.roll_back_idle().await;
                    }
                    return Err(store_error(error));
                }
                Ok(begun) => return Ok(begun),
            }
        }
    }

    /// After a beginning that failed behind its `begin`, as when somebody drops the tables: the
    /// driver does not know that the connection it took back is in a transaction.
    async fn roll_back_idle(&self) {
        let mut idle = Vec::new();
        while let Some(mut connection) = self.shared.pool.try_acquire() {
            if sqlx::query("rollback").execute(&mut *connection).await.is_err() {
                connection.close_on_drop();
            }
            idle.push(connection);
        }
    }

    /// Drops what nobody sees any more, unless somebody still looks at it.
    async fn drop_retired(&self) -> Result<(), StoreError> {
        for row in self.fetch(&self.shared.sql.retired, arguments![]).await? {
            let name: String = row.try_get(0).map_err(store_error)?;
            let dropped = async {
                let mut tx = self.shared.pool.begin().await?;
                // Behind a long query the drop would wait, and every new query behind the drop.
                sqlx::query("set local lock_timeout = '100ms'").execute(&mut *tx).await?;
                let drop = format!("drop schema if exists \"{}\" cascade", name.replace('"', ""));
                sqlx::query(AssertSqlSafe(drop)).execute(&mut *tx).await?;
                let forget = AssertSqlSafe(Arc::clone(&self.shared.sql.forget_retired));
                sqlx::query(forget).bind(&name).execute(&mut *tx).await?;
                tx.commit().await
            };
            if let Err(error) = dropped.await {
                tracing::info!(schema = name, %error, "an old read model is dropped later");
            }
        }
        Ok(())
    }
}

fn query(
    sql: &Arc<str>,
    given: Arguments,
) -> Result<sqlx::query::Query<'static, Postgres, PgArguments>, StoreError> {
    let given = given.map_err(|error| store_error(sqlx::Error::Encode(error)))?;
    Ok(sqlx::query_with(AssertSqlSafe(Arc::clone(sql)), given))
}

async fn run(
    tx: &mut PgReadTransaction,
    sql: &Arc<str>,
    given: Arguments,
) -> Result<Vec<PgRow>, StoreError> {
    query(sql, given)?.fetch_all(&mut **tx).await.map_err(store_error)
}

/// The first column of the first row.
fn single<T>(rows: &[PgRow]) -> Result<T, StoreError>
where
    T: for<'r> sqlx::Decode<'r, Postgres> + sqlx::Type<Postgres>,
{
    let row = rows.first().ok_or_else(|| corrupt("a statement without its row"))?;
    row.try_get(0).map_err(store_error)
}

fn json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text)
        .map_err(|error| corrupt("the read store's records are not as written").with_source(error))
}

fn to_json<T: serde::Serialize + ?Sized>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| {
        StoreError::new(StoreErrorKind::Internal, "a record cannot be written").with_source(error)
    })
}

/// A number that is 32 bits wide in the database.
fn int(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn micros(duration: Duration) -> i64 {
    const CENTURY: i64 = 100 * 366 * 86_400 * 1_000_000;
    i64::try_from(duration.as_micros()).unwrap_or(CENTURY).min(CENTURY)
}

fn parked_event(row: &PgRow) -> Result<ParkedEvent, sqlx::Error> {
    Ok(ParkedEvent {
        position: Position::new(unsigned(row.try_get(0)?)),
        key: row.try_get(1)?,
        error: row.try_get(2)?,
        attempts: u32::try_from(row.try_get::<i32, _>(3)?).unwrap_or(0),
        parked_at: row.try_get::<Moment, _>(4)?.0,
        retry_requested: row.try_get(5)?,
        discarded: row.try_get(6)?,
    })
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
        let generations: Vec<i64> =
            progress.iter().map(|lease| signed(lease.partition.generation)).collect();
        let numbers: Vec<i32> = progress.iter().map(|lease| int(lease.partition.number)).collect();
        let epochs: Vec<i64> = progress.iter().map(|lease| signed(lease.epoch)).collect();
        let positions: Vec<i64> =
            progress.iter().map(|lease| signed(lease.position.get())).collect();
        let shared = &self.shared;
        let (capabilities, prefix) = (to_json(capabilities)?, shared.prefix.as_str());
        let given = arguments![
            node,
            micros(lease),
            capabilities,
            prefix,
            generations,
            numbers,
            epochs,
            positions
        ];
        let rows = self.fetch(&shared.sql.heartbeat, given).await?;
        json(&single::<String>(&rows)?)
    }

    async fn leave(&self, node: Uuid) -> Result<(), StoreError> {
        self.fetch(&self.shared.sql.leave, arguments![node]).await?;
        Ok(())
    }

    async fn acquire(
        &self,
        node: Uuid,
        partition: &Partition,
    ) -> Result<Option<PartitionLease>, StoreError> {
        let (generation, number) = (signed(partition.generation), int(partition.number));
        let rows = self.fetch(&self.shared.sql.lease, arguments![generation, number, node]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let epoch = row.try_get(0).map_err(store_error)?;
        let position = row.try_get(1).map_err(store_error)?;
        let position = Position::new(unsigned(position));
        Ok(Some(PartitionLease::new(partition.clone(), unsigned(epoch), position)))
    }

    async fn release(&self, lease: &PartitionLease) -> Result<(), StoreError> {
        let (generation, number) =
            (signed(lease.partition.generation), int(lease.partition.number));
        let given = arguments![generation, number, signed(lease.epoch)];
        self.fetch(&self.shared.sql.release, given).await?;
        Ok(())
    }

    async fn begin(&self, lease: &PartitionLease) -> Result<PgReadTransaction, LeaseError> {
        let Shared { sql, prefix, durable, .. } = &*self.shared;
        let begin = format!(
            "{}{}, {}, {}, '{prefix}', {}, {durable})",
            sql.begin,
            signed(lease.partition.generation),
            int(lease.partition.number),
            signed(lease.epoch),
            SILENT.as_millis(),
        );
        Ok(self.begin_with(Some(&begin)).await?)
    }

    async fn commit(
        &self,
        mut tx: PgReadTransaction,
        lease: &PartitionLease,
        through: Position,
    ) -> Result<(), CommitError> {
        let given = arguments![
            signed(lease.partition.generation),
            int(lease.partition.number),
            signed(lease.epoch),
            signed(lease.position.get()),
            signed(through.get()),
        ];
        let committed = async {
            // Also finds out whether a statement failed whose error the projector did not return:
            // a commit would only say that it rolled back, which the driver does not tell.
            let advanced = query(&self.shared.sql.advance, given)
                .map_err(|error| sqlx::Error::Encode(error.into()))?
                .execute(&mut *tx)
                .await?;
            if advanced.rows_affected() == 0 {
                return Ok(false);
            }
            tx.commit().await?;
            Ok(true)
        };
        match committed.await {
            Ok(true) => Ok(()),
            Ok(false) => Err(CommitError::Lost),
            // The server said no, so it has undone everything.
            Err(error) if !is_lost(&error) && sqlstate(&error).is_some() => {
                Err(CommitError::Failed(error.into()))
            }
            Err(error) => Err(CommitError::Unknown(store_error(error))),
        }
    }

    fn is_transient(&self, error: &(dyn std::error::Error + 'static)) -> bool {
        let mut error = Some(error);
        while let Some(now) = error {
            if let Some(error) = now.downcast_ref::<sqlx::Error>() {
                let is_gone = sqlstate(error).is_some() && is_lost(error);
                return is_gone || crate::error::retry(error) != Retry::Never;
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
        let given = arguments![
            signed(lease.partition.generation),
            signed(event.position.get()),
            int(lease.partition.number),
            // Postgres keeps no NUL in text; a key is only compared with itself.
            event.key.replace('\0', "\u{fffd}"),
            event.error.as_ref().map(|error| error.replace('\0', "\u{fffd}")),
            int(event.attempts),
            Moment(event.parked_at),
        ];
        run(tx, &self.shared.sql.park, given).await?;
        Ok(())
    }

    async fn unpark(
        &self,
        tx: &mut PgReadTransaction,
        lease: &PartitionLease,
        position: Position,
    ) -> Result<(), StoreError> {
        let given = arguments![signed(lease.partition.generation), signed(position.get())];
        run(tx, &self.shared.sql.unpark, given).await?;
        Ok(())
    }

    async fn parked(
        &self,
        projector: &ConsumerName,
        generation: u64,
        number: Option<u32>,
    ) -> Result<Vec<ParkedEvent>, StoreError> {
        let given = arguments![projector.as_str(), signed(generation), number.map(int)];
        let rows = self.fetch(&self.shared.sql.parked, given).await?;
        rows.iter().map(|row| parked_event(row).map_err(store_error)).collect()
    }

    async fn request_retry(
        &self,
        projector: &ConsumerName,
        key: Option<&str>,
    ) -> Result<u64, StoreError> {
        let given = arguments![projector.as_str(), key];
        Ok(self.fetch(&self.shared.sql.request_retry, given).await?.len() as u64)
    }

    async fn retried(
        &self,
        lease: &PartitionLease,
        key: &str,
        failed: Option<&Failure>,
    ) -> Result<(), StoreError> {
        let given = arguments![
            signed(lease.partition.generation),
            int(lease.partition.number),
            signed(lease.epoch),
            key,
            failed.map(|failure| signed(failure.position.get())),
            failed.map(|failure| failure.error.replace('\0', "\u{fffd}")),
            failed.map(|failure| int(failure.attempts)),
        ];
        self.fetch(&self.shared.sql.retried, given).await?;
        Ok(())
    }

    async fn discard(
        &self,
        projector: &ConsumerName,
        position: Position,
        reason: &str,
    ) -> Result<bool, StoreError> {
        let reason = reason.replace('\0', "\u{fffd}");
        let given = arguments![projector.as_str(), signed(position.get()), reason];
        Ok(!self.fetch(&self.shared.sql.discard, given).await?.is_empty())
    }

    async fn report(
        &self,
        lease: &PartitionLease,
        failure: Option<&Failure>,
    ) -> Result<bool, StoreError> {
        // JSON escapes NUL, which a column of type `json` takes and `jsonb` would not.
        let failure = failure.map(to_json).transpose()?;
        let given = arguments![
            signed(lease.partition.generation),
            int(lease.partition.number),
            signed(lease.epoch),
            failure,
        ];
        Ok(!self.fetch(&self.shared.sql.report, given).await?.is_empty())
    }

    async fn set_paused(&self, projector: &ConsumerName, paused: bool) -> Result<bool, StoreError> {
        let given = arguments![projector.as_str(), paused];
        let known = !self.fetch(&self.shared.sql.pause, given).await?.is_empty();
        if !paused {
            let given = arguments![projector.as_str()];
            self.fetch(&self.shared.sql.clear_failure, given).await?;
        }
        Ok(known)
    }

    async fn inspect(
        &self,
        projector: Option<&ConsumerName>,
    ) -> Result<Vec<ConsumerRecord>, StoreError> {
        let only = projector.map(ConsumerName::as_str);
        let given = arguments![&*self.shared.prefix, only];
        let rows = self.fetch(&self.shared.sql.describe, given).await?;
        json(&single::<String>(&rows)?)
    }

    async fn new_generation(
        &self,
        projector: &ConsumerName,
        version: u32,
        partitions: u32,
        after: Position,
    ) -> Result<Option<NewGeneration<PgReadTransaction>>, StoreError> {
        self.drop_retired().await?;
        let mut tx = self.begin_plain().await?;
        let given =
            arguments![projector.as_str(), int(version), int(partitions), &*self.shared.prefix];
        let rows = run(&mut tx, &self.shared.sql.new_generation, given).await?;
        let Some(number) = single::<Option<i64>>(&rows)? else { return Ok(None) };
        if after > Position::START {
            let given = arguments![number, signed(after.get())];
            run(&mut tx, &self.shared.sql.begin_after, given).await?;
        }
        Ok(Some(NewGeneration::new(unsigned(number), tx)))
    }

    async fn commit_new(&self, mut tx: PgReadTransaction) -> Result<(), StoreError> {
        run(&mut tx, &self.shared.sql.count_tables, arguments![&*self.shared.prefix]).await?;
        tx.commit().await.map_err(store_error)
    }

    async fn swap(&self, projector: &ConsumerName, generation: u64) -> Result<Swap, StoreError> {
        let prefix = &*self.shared.prefix;
        let given = arguments![projector.as_str(), signed(generation), prefix, CLOSE];
        let rows = self.fetch(&self.shared.sql.swap, given).await?;
        match &*single::<String>(&rows)? {
            "done" => {
                self.drop_retired().await?;
                Ok(Swap::Done)
            }
            "behind" => Ok(Swap::Behind),
            "foreign" => Err(StoreError::new(
                StoreErrorKind::Unsupported,
                format!(
                    "the database has a schema `{prefix}{projector}` that is not a read model; \
                     give the read store a prefix"
                ),
            )),
            _ => Ok(Swap::Gone),
        }
    }

    async fn cancel(&self, projector: &ConsumerName) -> Result<bool, StoreError> {
        let given = arguments![projector.as_str(), &*self.shared.prefix];
        single(&self.fetch(&self.shared.sql.cancel, given).await?)
    }

    async fn enter(
        &self,
        tx: &mut PgReadTransaction,
        projector: &ConsumerName,
        version: u32,
    ) -> Result<Option<Position>, StoreError> {
        let given = arguments![projector.as_str(), int(version), &*self.shared.prefix];
        let rows = run(tx, &self.shared.sql.enter_live, given).await?;
        let known = single::<Option<i64>>(&rows)?;
        Ok(known.map(|known| Position::new(unsigned(known))))
    }

    async fn advance(
        &self,
        tx: &mut PgReadTransaction,
        projector: &ConsumerName,
        through: Position,
    ) -> Result<(), StoreError> {
        let given = arguments![projector.as_str(), signed(through.get())];
        run(tx, &self.shared.sql.advance_live, given).await?;
        Ok(())
    }
}
