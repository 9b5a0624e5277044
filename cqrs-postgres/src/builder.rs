//! How a store is reached and set up.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use cqrs_core::{
    app::Clock,
    store::{StoreError, StoreErrorKind},
};
use sqlx::Connection;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use tokio::sync::{Mutex, mpsc, watch};

use crate::PgStore;
use crate::append::writer::{Setup, Writer};
use crate::connections::{Connections, connect};
use crate::epoch::Epoch;
use crate::head::Head;
use crate::names::Names;
use crate::newest::Newest;
use crate::schema::{EVENT_STORE, Migration, Schema};
use crate::sql::Sql;
use crate::store::Shared;

/// Makes a [`PgStore`].
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
    listen_options: Option<PgConnectOptions>,
    schema: String,
    read_connections: usize,
    queue: usize,
    statement_timeout: Duration,
    listen: bool,
    clock: Option<Arc<dyn Clock>>,
}

impl PgStoreBuilder {
    pub(crate) fn new() -> Self {
        Self {
            options: Ok(PgConnectOptions::new()),
            listen_options: None,
            schema: "cqrs".to_owned(),
            read_connections: 8,
            queue: 1_024,
            statement_timeout: Duration::from_secs(30),
            listen: true,
            clock: None,
        }
    }

    /// The server and the database, as `postgres://user:password@host:port/database`. An address
    /// that cannot be understood is reported when the store connects.
    pub fn url(mut self, url: &str) -> Self {
        self.options = url.parse().map_err(|error: sqlx::Error| error.to_string());
        self
    }

    /// The server and the database as the driver's own options: for certificates and the like.
    pub fn options(mut self, options: PgConnectOptions) -> Self {
        self.options = Ok(options);
        self
    }

    /// Where the connection goes that listens for new events, if not where the others go: past a
    /// pooler in transaction mode, which delivers no notifications.
    pub fn listen_options(mut self, options: PgConnectOptions) -> Self {
        self.listen_options = Some(options);
        self
    }

    /// The schema the store lives in; `cqrs` unless it is said otherwise. Stores in different
    /// schemas of a database have nothing in common. Up to 48 lower-case letters, digits and
    /// underscores.
    pub fn schema(mut self, name: &str) -> Self {
        name.clone_into(&mut self.schema);
        self
    }

    /// The most connections that reads use at the same time, 8 unless it is said otherwise; 0
    /// counts as 1. Further reads wait for their turn.
    pub const fn max_read_connections(mut self, most: usize) -> Self {
        self.read_connections = if most == 0 { 1 } else { most };
        self
    }

    /// The most appends that wait for the next commit, 1,024 unless it is said otherwise; 0
    /// counts as 1. When so many wait, `append` waits before it queues another.
    pub const fn queue(mut self, appends: usize) -> Self {
        self.queue = if appends == 0 { 1 } else { appends };
        self
    }

    /// The longest time the server may work on one statement, 30 seconds unless it is said
    /// otherwise, at least a millisecond.
    pub const fn statement_timeout(mut self, within: Duration) -> Self {
        self.statement_timeout = within;
        self
    }

    /// Whether to listen for the commits of other processes; it does unless it is said otherwise.
    /// Without it their events are found by polling only.
    pub const fn listen(mut self, on: bool) -> Self {
        self.listen = on;
        self
    }

    /// Takes the time of storing from this clock instead of the server's: for tests and stories.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Some(Arc::new(clock));
        self
    }

    /// Connects to a store whose tables are there and up to date.
    ///
    /// # Errors
    /// As [`PgStore::connect`].
    pub async fn connect(self) -> Result<PgStore, StoreError> {
        let (schema, options) = (self.schema_name()?, self.connect_options()?);
        let connection = connect(&options).await?;
        self.start(schema, options, connection).await
    }

    /// Creates the tables or brings them up to date, then connects. When they are, it changes
    /// nothing; of several at once one does it and the others wait.
    ///
    /// The role needs the right to create; a role that has it not can be given the tables by
    /// [`sql`](Self::sql) and connect.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be reached or refuses. What was begun is undone.
    pub async fn migrate(self) -> Result<PgStore, StoreError> {
        let (schema, options) = (self.schema_name()?, self.connect_options()?);
        let mut connection = connect(&options).await?;
        schema.migrate(&mut connection).await?;
        self.start(schema, options, connection).await
    }

    /// The changes to the database this version knows, in order, and which of them were made.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be reached or refuses.
    pub async fn migrations(&self) -> Result<Vec<Migration>, StoreError> {
        let schema = self.schema_name()?;
        let mut connection = connect(&self.connect_options()?).await?;
        let migrations = schema.migrations(&mut connection).await?;
        // It was only asked; how the connection ends does not matter.
        let _ = connection.close().await;
        Ok(migrations)
    }

    /// All changes as one script of plain SQL, for teams that apply such things by hand to an
    /// empty schema.
    ///
    /// # Errors
    /// [`Unsupported`](StoreErrorKind::Unsupported) when the schema's name is refused.
    pub fn sql(&self) -> Result<String, StoreError> {
        Ok(self.schema_name()?.script())
    }

    fn schema_name(&self) -> Result<Schema, StoreError> {
        Schema::new(&self.schema, &EVENT_STORE)
    }

    fn connect_options(&self) -> Result<PgConnectOptions, StoreError> {
        let options = self.options.clone().map_err(|error| {
            StoreError::new(StoreErrorKind::Unsupported, "the database's address is not an address")
                .with_source(error)
        })?;
        let options = match options.get_application_name() {
            Some(_) => options,
            None => options.application_name("cqrs"),
        };
        let timeout = self.statement_timeout.as_millis().clamp(1, i32::MAX.unsigned_abs().into());
        Ok(options
            // No store moves floats, and some poolers refuse the setting.
            .extra_float_digits(None)
            .options([
                ("statement_timeout", timeout.to_string().as_str()),
                // The append's laws hold at this level only, whatever the server's default is.
                ("default_transaction_isolation", "read committed"),
                // Compiling a scan of the log costs more than it gives.
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
        // The server ends a statement that takes too long; the client only gives up on a server
        // that does not even do that.
        let within = self.statement_timeout.saturating_add(Duration::from_secs(5));
        let epoch = Epoch::default();
        let names = Arc::new(Names::new(epoch.clone()));
        let head = Arc::new(Head::new(epoch.clone()));
        let sql = Arc::new(Sql::of(&schema));
        let (queue, jobs) = mpsc::channel(self.queue);
        let (closing, is_closing) = watch::channel(false);
        let setup = Setup {
            options: options.clone(),
            within,
            sql: Arc::clone(&sql),
            names: Arc::clone(&names),
            head: Arc::clone(&head),
            epoch: epoch.clone(),
            clock: self.clock.clone(),
        };
        let writer = Writer::new(jobs, is_closing, setup);
        let writer = tokio::spawn(writer.run(connection));
        let listen_options = self.listen_options.unwrap_or_else(|| options.clone());
        let connections = Connections::new(options, self.read_connections, within, epoch.clone());
        Ok(PgStore {
            shared: Arc::new(Shared {
                schema,
                sql,
                newest: Newest::new(epoch.clone()),
                epoch,
                names,
                head,
                connections,
                queue,
                writer: Mutex::new(Some(writer)),
                closing,
                clock: self.clock,
                listen: self.listen.then_some(listen_options),
                listener: OnceLock::new(),
            }),
        })
    }
}
