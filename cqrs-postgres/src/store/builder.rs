//! How an event store connects and creates its tables.

use std::sync::Arc;
use std::time::Duration;

use cqrs_core::app::Clock;
use cqrs_core::store::StoreError;
use sqlx::Connection;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool};

use super::listener::Listener;
use super::{Inner, PgStore};
use crate::append::queue::Appends;
use crate::database::Database;
use crate::database::connect::{connect, named, parse};
use crate::database::connections::{ConnectionOptions, Connections};
use crate::database::epoch::Epoch;
use crate::database::pool::{ACQUIRE_TIMEOUT, check_isolation};
use crate::database::schema::{EVENT_STORE, Migration, Schema};
use crate::read::newest::Newest;

/// Configures and opens a [`PgStore`].
///
/// ```no_run
/// use std::time::Duration;
/// use cqrs_postgres::PgStore;
///
/// # async fn run() -> Result<(), cqrs_core::store::StoreError> {
/// let store = PgStore::builder()
///     .url("postgres://app@localhost/shop")
///     .schema("orders")
///     .statement_timeout(Duration::from_secs(10))
///     .migrate()
///     .await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct PgStoreBuilder {
    options: Result<PgConnectOptions, String>,
    pool: Option<PgPool>,
    listen_options: Option<PgConnectOptions>,
    schema: String,
    read_connections: usize,
    acquire_timeout: Duration,
    queue: usize,
    statement_timeout: Duration,
    listen: bool,
    clock: Option<Arc<dyn Clock>>,
}

impl PgStore {
    /// Connects to the event store in the schema `cqrs`. Its tables have to be up to date.
    ///
    /// # Errors
    /// [`SchemaMissing`](cqrs_core::store::StoreErrorKind::SchemaMissing) or
    /// [`SchemaOutdated`](cqrs_core::store::StoreErrorKind::SchemaOutdated): call
    /// [`migrate`](PgStoreBuilder::migrate). [`StoreError`] of another kind if the database cannot
    /// be reached or denies access.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        Self::builder().url(url).connect().await
    }

    /// Returns a builder. It starts from the environment variables `PGHOST`, `PGPORT`, `PGUSER`,
    /// `PGPASSWORD`, `PGDATABASE` and `PGSSLMODE`.
    pub fn builder() -> PgStoreBuilder {
        PgStoreBuilder::new()
    }
}

impl PgStoreBuilder {
    fn new() -> Self {
        Self {
            options: Ok(PgConnectOptions::new()),
            pool: None,
            listen_options: None,
            schema: "cqrs".to_owned(),
            read_connections: 8,
            acquire_timeout: ACQUIRE_TIMEOUT,
            queue: 1_024,
            statement_timeout: Duration::from_secs(30),
            listen: true,
            clock: None,
        }
    }

    /// Sets the server and the database, as `postgres://user:password@host:port/database`. An
    /// address that cannot be parsed is reported when the store connects.
    pub fn url(mut self, url: &str) -> Self {
        self.options = parse(url);
        self.pool = None;
        self
    }

    /// Sets the server and the database as the driver's own options, for example with
    /// certificates.
    pub fn options(mut self, options: PgConnectOptions) -> Self {
        self.options = Ok(options);
        self.pool = None;
        self
    }

    /// Reads through the application's own pool, which a
    /// [read store](crate::PgReadStoreBuilder::pool) and processes may share.
    ///
    /// The writer and the listener keep connections of their own, which are opened with the
    /// options of the pool: appends never wait for the pool. The pool has to use the isolation
    /// level READ COMMITTED, which is the default of Postgres. Its statement timeout is that of its
    /// own options; [`max_read_connections`](Self::max_read_connections) has no effect.
    ///
    /// A pool checks a connection before each use, which costs a round trip, unless it is created
    /// with `test_before_acquire(false)`. The store copes with dead connections itself.
    ///
    /// ```no_run
    /// use cqrs_postgres::sqlx::postgres::PgPoolOptions;
    /// use cqrs_postgres::{PgReadStore, PgStore};
    ///
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let pool = PgPoolOptions::new()
    ///     .max_connections(20)
    ///     .test_before_acquire(false)
    ///     .connect("postgres://localhost/shop")
    ///     .await?;
    /// let store = PgStore::builder().pool(pool.clone()).migrate().await?;
    /// let read = PgReadStore::builder().pool(pool.clone()).migrate().await?;
    /// let processes = PgReadStore::for_processes().pool(pool).migrate().await?;
    /// # Ok(()) }
    /// ```
    pub fn pool(mut self, pool: PgPool) -> Self {
        self.options = Ok((*pool.connect_options()).clone());
        self.pool = Some(pool);
        self
    }

    /// Sets where the connection leads that listens for new events, if not to the same place as the
    /// others: past a pooler in transaction mode, which delivers no notifications.
    pub fn listen_options(mut self, options: PgConnectOptions) -> Self {
        self.listen_options = Some(options);
        self
    }

    /// Sets the schema of the store. Default: `cqrs`. Stores in different schemas of a database are
    /// independent. A name consists of up to 48 lower-case letters, digits and underscores.
    pub fn schema(mut self, name: &str) -> Self {
        name.clone_into(&mut self.schema);
        self
    }

    /// Sets the maximum number of connections for reads. Default: 8; 0 counts as 1. Further reads
    /// wait for a free one.
    pub const fn max_read_connections(mut self, max: usize) -> Self {
        self.read_connections = if max == 0 { 1 } else { max };
        self
    }

    /// Sets how long a read waits for a free connection before it fails with
    /// [`Timeout`](cqrs_core::store::StoreErrorKind::Timeout). Default: 30 seconds. A shared
    /// [`pool`](Self::pool) may have a shorter limit.
    pub const fn acquire_timeout(mut self, timeout: Duration) -> Self {
        self.acquire_timeout = timeout;
        self
    }

    /// Sets the maximum number of appends that wait for the next transaction. Default: 1,024; 0
    /// counts as 1. When the queue is full, `append` waits.
    pub const fn queue(mut self, appends: usize) -> Self {
        self.queue = if appends == 0 { 1 } else { appends };
        self
    }

    /// Sets how long the server may execute one statement. Default: 30 seconds; at least one
    /// millisecond.
    pub const fn statement_timeout(mut self, timeout: Duration) -> Self {
        self.statement_timeout = timeout;
        self
    }

    /// Sets whether to listen for the commits of other processes. Default: `true`. Without it,
    /// readers find their events by polling.
    pub const fn listen(mut self, on: bool) -> Self {
        self.listen = on;
        self
    }

    /// Takes the time at which events are stored from this clock instead of the server's, for
    /// tests.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Some(Arc::new(clock));
        self
    }

    /// Connects to a store whose tables are up to date.
    ///
    /// # Errors
    /// As [`PgStore::connect`].
    pub async fn connect(self) -> Result<PgStore, StoreError> {
        let (schema, options) = (self.schema_name()?, self.connect_options()?);
        let connection = connect(&options).await?;
        self.start(schema, options, connection).await
    }

    /// Applies the migrations that are missing, then connects. If several processes do this at the
    /// same time, one applies them and the others wait.
    ///
    /// The role needs the privilege to create a schema and tables. Without it, an administrator
    /// applies the script returned by [`sql`](Self::sql), and the application calls
    /// [`connect`](Self::connect).
    ///
    /// # Errors
    /// [`StoreError`] if the database cannot be reached or denies access. A failed migration is
    /// rolled back.
    pub async fn migrate(self) -> Result<PgStore, StoreError> {
        let (schema, options) = (self.schema_name()?, self.connect_options()?);
        let mut connection = connect(&options).await?;
        schema.migrate(&mut connection).await?;
        self.start(schema, options, connection).await
    }

    /// Returns the migrations of this version of the crate, in order, and whether each is applied.
    ///
    /// # Errors
    /// [`StoreError`] if the database cannot be reached or denies access.
    pub async fn migrations(&self) -> Result<Vec<Migration>, StoreError> {
        let schema = self.schema_name()?;
        let mut connection = connect(&self.connect_options()?).await?;
        let migrations = schema.migrations(&mut connection).await?;
        // Nothing was written, so a failure to say goodbye does not matter.
        let _ = connection.close().await;
        Ok(migrations)
    }

    /// Returns all migrations as one SQL script, to be applied by hand to a database without the
    /// schema.
    ///
    /// ```
    /// let script = cqrs_postgres::PgStore::builder().schema("orders").sql()?;
    /// assert!(script.contains(r#"create table "orders".events"#));
    /// # Ok::<(), cqrs_core::store::StoreError>(())
    /// ```
    ///
    /// # Errors
    /// [`Unsupported`](cqrs_core::store::StoreErrorKind::Unsupported) if the name of the schema is
    /// invalid.
    pub fn sql(&self) -> Result<String, StoreError> {
        Ok(self.schema_name()?.script())
    }

    fn schema_name(&self) -> Result<Schema, StoreError> {
        Schema::new(&self.schema, &EVENT_STORE)
    }

    fn connect_options(&self) -> Result<PgConnectOptions, StoreError> {
        let timeout = self.statement_timeout.as_millis().clamp(1, i32::MAX.unsigned_abs().into());
        Ok(named(&self.options, "cqrs")?
            // No store transfers floats, and some poolers reject the setting.
            .extra_float_digits(None)
            .options([
                ("statement_timeout", timeout.to_string().as_str()),
                // Appends rely on this level, whatever the server's default is.
                ("default_transaction_isolation", "read committed"),
                // Compiling a scan of the log costs more than it saves.
                ("jit", "off"),
            ]))
    }

    async fn start(
        self,
        schema: Schema,
        options: PgConnectOptions,
        mut connection: PgConnection,
    ) -> Result<PgStore, StoreError> {
        schema.check(&mut connection).await?;
        if let Some(pool) = &self.pool {
            check_isolation(pool, self.acquire_timeout).await?;
        }
        let epoch = Epoch::default();
        let listen_options = self.listen_options.unwrap_or_else(|| options.clone());
        let setup = ConnectionOptions {
            options: options.clone(),
            pool: self.pool,
            max: self.read_connections,
            acquire_timeout: self.acquire_timeout,
            // The server cancels a statement that takes too long; this is for servers that do not
            // respond at all.
            response_timeout: self.statement_timeout.saturating_add(Duration::from_secs(5)),
        };
        let connections = Connections::new(setup, epoch.clone());
        let database = Arc::new(Database::new(schema, connections, epoch.clone(), self.clock));
        let appends = Appends::start(Arc::clone(&database), connection, options, self.queue);
        let inner = Inner {
            database,
            newest: Arc::new(Newest::new(epoch)),
            appends,
            listener: Listener::new(self.listen.then_some(listen_options)),
        };
        Ok(PgStore { inner: Arc::new(inner) })
    }
}
