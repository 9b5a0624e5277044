//! How a read store connects and creates its tables.

use std::sync::Arc;
use std::time::Duration;

use cqrs_core::store::{StoreError, StoreErrorKind};
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use super::database::Database;
use super::sql::Sql;
use super::store::PgReadStore;
use crate::database::connect::{named, parse};
use crate::database::error::store_error;
use crate::database::pool::{ACQUIRE_TIMEOUT, acquire, check_isolation};
use crate::database::schema::{READ_STORE, Schema};

/// Maximum length of a prefix: with the name of a projector and the number of a generation it fits
/// into 63 bytes.
const MAX_PREFIX_BYTES: usize = 18;

/// Configures and opens a [`PgReadStore`].
///
/// ```no_run
/// use cqrs_postgres::PgReadStore;
///
/// # async fn run() -> Result<(), cqrs_core::store::StoreError> {
/// let read = PgReadStore::builder()
///     .url("postgres://app@localhost/shop_read")
///     .prefix("shop_")
///     .max_connections(16)
///     .migrate()
///     .await?;
/// assert_eq!(read.schema_of("orders"), r#""shop_orders""#);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct PgReadStoreBuilder {
    target: Target,
    schema: String,
    prefix: String,
    connections: u32,
    acquire_timeout: Duration,
    durable: bool,
}

#[derive(Clone, Debug)]
enum Target {
    Options(Box<Result<PgConnectOptions, String>>),
    Pool(PgPool),
}

impl PgReadStore {
    /// Returns a builder. It starts from the environment variables `PGHOST`, `PGPORT`, `PGUSER`,
    /// `PGPASSWORD`, `PGDATABASE` and `PGSSLMODE`.
    pub fn builder() -> PgReadStoreBuilder {
        PgReadStoreBuilder::new()
    }

    /// Returns a builder for a store of processes: with separate schemas, because it must not be
    /// dropped with the read models, and with durable commits.
    pub fn for_processes() -> PgReadStoreBuilder {
        Self::builder().schema("cqrs_processes").prefix("process_").durable_commits(true)
    }
}

impl PgReadStoreBuilder {
    fn new() -> Self {
        Self {
            target: Target::Options(Box::new(Ok(PgConnectOptions::new()))),
            schema: "cqrs_read".to_owned(),
            prefix: String::new(),
            connections: 8,
            acquire_timeout: ACQUIRE_TIMEOUT,
            durable: false,
        }
    }

    /// Sets the server and the database, as `postgres://user:password@host:port/database`. It may
    /// be another database than that of the event store. An address that cannot be parsed is
    /// reported when the store connects.
    pub fn url(mut self, url: &str) -> Self {
        self.target = Target::Options(Box::new(parse(url)));
        self
    }

    /// Sets the server and the database as the driver's own options.
    pub fn options(mut self, options: PgConnectOptions) -> Self {
        self.target = Target::Options(Box::new(Ok(options)));
        self
    }

    /// Uses the application's own pool, which an [event store](crate::PgStoreBuilder::pool) and
    /// processes may share. Each partition that is processing events uses one connection for the
    /// time of its transactions. The pool has to use the isolation level READ COMMITTED, which is
    /// the default of Postgres.
    pub fn pool(mut self, pool: PgPool) -> Self {
        self.target = Target::Pool(pool);
        self
    }

    /// Sets the schema of the records: checkpoints, leases, parked events. Default: `cqrs_read`. A
    /// name consists of up to 48 lower-case letters, digits and underscores.
    pub fn schema(mut self, name: &str) -> Self {
        name.clone_into(&mut self.schema);
        self
    }

    /// Sets a prefix for the schemas of read models, which otherwise have the names of their
    /// projectors. Default: none. Needed if several read stores in a database run projectors of the
    /// same name. A prefix consists of up to 18 lower-case letters, digits and underscores.
    pub fn prefix(mut self, prefix: &str) -> Self {
        prefix.clone_into(&mut self.prefix);
        self
    }

    /// Sets the maximum number of connections. Default: 8; 0 counts as 1. Has no effect with a
    /// [`pool`](Self::pool).
    pub const fn max_connections(mut self, max: u32) -> Self {
        self.connections = if max == 0 { 1 } else { max };
        self
    }

    /// Sets how long a request waits for a free connection before it fails with
    /// [`Timeout`](StoreErrorKind::Timeout). Default: 30 seconds. A shared [`pool`](Self::pool) may
    /// have a shorter limit.
    pub const fn acquire_timeout(mut self, timeout: Duration) -> Self {
        self.acquire_timeout = timeout;
        self
    }

    /// Sets whether commits of projectors wait until they are on disk. Default: `false`. A server
    /// that crashes may then lose commits of the last second, each with its checkpoint; the events
    /// are projected again when it is back. The log, leases and requests of operators always wait.
    pub const fn durable_commits(mut self, durable: bool) -> Self {
        self.durable = durable;
        self
    }

    /// Connects to a read store whose tables are up to date.
    ///
    /// # Errors
    /// [`SchemaMissing`](StoreErrorKind::SchemaMissing) or
    /// [`SchemaOutdated`](StoreErrorKind::SchemaOutdated): call [`migrate`](Self::migrate).
    /// [`StoreError`] of another kind if the database cannot be reached or denies access.
    pub async fn connect(self) -> Result<PgReadStore, StoreError> {
        self.open(false).await
    }

    /// Applies the migrations that are missing, then connects.
    ///
    /// The role needs the privilege to create schemas, because every projector has one.
    ///
    /// # Errors
    /// [`StoreError`] if the database cannot be reached or denies access. A failed migration is
    /// rolled back.
    pub async fn migrate(self) -> Result<PgReadStore, StoreError> {
        self.open(true).await
    }

    async fn open(self, migrate: bool) -> Result<PgReadStore, StoreError> {
        let schema = Schema::new(&self.schema, &READ_STORE)?;
        self.check_prefix()?;
        let pool = self.open_pool().await?;
        let mut connection = acquire(&pool, self.acquire_timeout).await?;
        if migrate {
            schema.migrate(&mut connection).await?;
        }
        schema.check(&mut connection).await?;
        drop(connection);
        let database = Database {
            pool,
            acquire_timeout: self.acquire_timeout,
            sql: Sql::of(&schema),
            schema: schema.name().to_owned(),
            prefix: self.prefix,
            durable: self.durable,
        };
        Ok(PgReadStore { database: Arc::new(database) })
    }

    fn check_prefix(&self) -> Result<(), StoreError> {
        let prefix = &self.prefix;
        let is_letter = |b: u8| b == b'_' || b.is_ascii_lowercase() || b.is_ascii_digit();
        let starts_well = !prefix.starts_with(|c: char| c.is_ascii_digit());
        if prefix.bytes().all(is_letter) && starts_well && prefix.len() <= MAX_PREFIX_BYTES {
            return Ok(());
        }
        let message = format!(
            "invalid prefix `{prefix}`; use up to {MAX_PREFIX_BYTES} lower-case letters, digits \
             and underscores, and do not start with a digit"
        );
        Err(StoreError::new(StoreErrorKind::Unsupported, message))
    }

    async fn open_pool(&self) -> Result<PgPool, StoreError> {
        let options = match &self.target {
            Target::Pool(pool) => {
                check_isolation(pool, self.acquire_timeout).await?;
                return Ok(pool.clone());
            }
            Target::Options(options) => named(options, "cqrs-read")?,
        };
        // The level at which a lock is followed by a fresh snapshot, on which leases rely.
        let options = options.options([("default_transaction_isolation", "read committed")]);
        // A dead connection is discovered by its use; a check would double the round trips.
        let pool = PgPoolOptions::new()
            .max_connections(self.connections)
            .acquire_timeout(self.acquire_timeout)
            .test_before_acquire(false);
        pool.connect_with(options).await.map_err(store_error)
    }
}
