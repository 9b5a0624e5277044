//! Schemas for one test (feature `testing`).

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU32, Ordering};

use cqrs_core::store::{StoreError, StoreErrorKind};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection};

use crate::database::connect::{connect, named, parse};
use crate::database::error::store_error;
use crate::{PgReadStore, PgReadStoreBuilder, PgStore, PgStoreBuilder};

/// Schemas with unique names in the database that `DATABASE_URL` names: one event store, one read
/// store and one store of processes, for one test.
///
/// Tests run in parallel without seeing each other. The schemas are dropped by
/// [`close`](Self::close), or when this is dropped. If the test panics they are kept, and their
/// names are printed.
///
/// ```no_run
/// use cqrs_postgres::testing::TestSchema;
///
/// #[tokio::test]
/// async fn an_order_is_shown() -> Result<(), Box<dyn std::error::Error>> {
///     let schema = TestSchema::new()?;
///     let store = schema.store().migrate().await?;
///     let read = schema.read_store().migrate().await?;
///     // ... start an app and projections with them, and assert on what they show ...
///     store.close().await;
///     schema.close().await?;
///     Ok(())
/// }
/// ```
#[derive(Debug)]
#[must_use = "the schemas are dropped with this"]
pub struct TestSchema {
    options: PgConnectOptions,
    id: String,
    is_closed: bool,
}

impl TestSchema {
    /// Chooses names in the database that the environment variable `DATABASE_URL` names. The
    /// schemas are created by the builders' `migrate`.
    ///
    /// # Errors
    /// [`Unsupported`](StoreErrorKind::Unsupported) if `DATABASE_URL` is not set or invalid.
    pub fn new() -> Result<Self, StoreError> {
        let url = std::env::var("DATABASE_URL").map_err(|error| {
            let message = "DATABASE_URL is not set; set it to a database in which tests may create \
                           schemas, such as `postgres://localhost/test`";
            StoreError::new(StoreErrorKind::Unsupported, message).with_source(error)
        })?;
        Ok(Self::in_database(named(&parse(&url), "cqrs-test")?))
    }

    /// Chooses names in another database.
    pub fn in_database(options: PgConnectOptions) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        // Seeded at random, so that test processes on several machines may share a database.
        let id = RandomState::new().hash_one((std::process::id(), count));
        Self { options, id: format!("t{:012x}", id >> 16), is_closed: false }
    }

    /// Returns the name of the event store's schema; the names of the others start with it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.id
    }

    /// Returns a builder for an event store.
    pub fn store(&self) -> PgStoreBuilder {
        PgStore::builder().options(self.options.clone()).schema(&self.id)
    }

    /// Returns a builder for a read store.
    pub fn read_store(&self) -> PgReadStoreBuilder {
        let id = &self.id;
        let builder = PgReadStore::builder().options(self.options.clone());
        builder.schema(&format!("{id}_read")).prefix(&format!("{id}_"))
    }

    /// Returns a builder for a store of processes.
    pub fn process_store(&self) -> PgReadStoreBuilder {
        let id = &self.id;
        let builder = PgReadStore::for_processes().options(self.options.clone());
        builder.schema(&format!("{id}_processes")).prefix(&format!("{id}_p_"))
    }

    /// Drops the schemas. Close the stores first, so that no transaction of theirs holds a lock.
    ///
    /// # Errors
    /// [`StoreError`] if the database cannot be reached; the schemas are kept then.
    pub async fn close(mut self) -> Result<(), StoreError> {
        self.is_closed = true;
        drop_schemas(&self.options, &self.id).await
    }
}

impl Drop for TestSchema {
    fn drop(&mut self) {
        if self.is_closed {
            return;
        }
        if std::thread::panicking() {
            eprintln!("kept the schemas `{}*` for inspection", self.id);
            return;
        }
        let (options, id) = (self.options.clone(), self.id.clone());
        // A runtime cannot be entered from within another, so this one has its own thread.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|error| error.to_string())?;
            runtime.block_on(drop_schemas(&options, &id)).map_err(|error| error.to_string())
        });
        if let Ok(Err(error)) = dropping.join() {
            eprintln!("could not drop the schemas `{}*`: {error}", self.id);
        }
    }
}

/// Drops every schema whose name starts with the id.
async fn drop_schemas(options: &PgConnectOptions, id: &str) -> Result<(), StoreError> {
    let mut connection = connect(options).await?;
    let dropped = drop_with(&mut connection, id).await;
    // Committed, so a failure to say goodbye does not matter.
    let _ = connection.close().await;
    dropped.map_err(store_error)
}

async fn drop_with(connection: &mut PgConnection, id: &str) -> Result<(), sqlx::Error> {
    let names = "select nspname::text from pg_namespace where starts_with(nspname::text, $1)";
    let names: Vec<String> = sqlx::query_scalar(names).bind(id).fetch_all(&mut *connection).await?;
    for name in names {
        let drop = format!("drop schema if exists \"{}\" cascade", name.replace('"', "\"\""));
        sqlx::query(AssertSqlSafe(drop)).execute(&mut *connection).await?;
    }
    Ok(())
}
