//! How a read store is reached and set up.

use std::sync::Arc;

use cqrs_core::store::{StoreError, StoreErrorKind};
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use super::sql::Sql;
use super::{PgReadStore, Shared};
use crate::error::store_error;
use crate::schema::{READ_STORE, Schema};

/// Longest prefix: with a projector's name and a generation's number it fits into 63 bytes.
const MAX_PREFIX_BYTES: usize = 18;

/// Makes a [`PgReadStore`].
#[derive(Clone, Debug)]
#[must_use]
pub struct PgReadStoreBuilder {
    target: Target,
    schema: String,
    prefix: String,
    connections: u32,
    durable: bool,
}

#[derive(Clone, Debug)]
enum Target {
    Options(Box<Result<PgConnectOptions, String>>),
    Pool(PgPool),
}

impl PgReadStoreBuilder {
    pub(super) fn new() -> Self {
        Self {
            target: Target::Options(Box::new(Ok(PgConnectOptions::new()))),
            schema: "cqrs_read".to_owned(),
            prefix: String::new(),
            connections: 8,
            durable: false,
        }
    }

    /// The server and the database, as `postgres://user:password@host:port/database`. It may be
    /// another database than that of the event store.
    pub fn url(mut self, url: &str) -> Self {
        let options = url.parse().map_err(|error: sqlx::Error| error.to_string());
        self.target = Target::Options(Box::new(options));
        self
    }

    /// The server and the database as the driver's own options.
    pub fn options(mut self, options: PgConnectOptions) -> Self {
        self.target = Target::Options(Box::new(Ok(options)));
        self
    }

    /// The application's own pool. Each partition at work uses a connection now and then.
    pub fn pool(mut self, pool: PgPool) -> Self {
        self.target = Target::Pool(pool);
        self
    }

    /// The schema of the records: checkpoints, leases, events put aside; `cqrs_read` unless it is
    /// said otherwise. Up to 48 lower-case letters, digits and underscores.
    pub fn schema(mut self, name: &str) -> Self {
        name.clone_into(&mut self.schema);
        self
    }

    /// Stands before the schema of each projector, whose name is otherwise the projector's own.
    /// Needed when several read stores in a database run projectors of the same name. Up to 18
    /// lower-case letters, digits and underscores.
    pub fn prefix(mut self, prefix: &str) -> Self {
        prefix.clone_into(&mut self.prefix);
        self
    }

    /// The most connections, 8 unless it is said otherwise; 0 counts as 1. Nothing when a
    /// [`pool`](Self::pool) is given.
    pub const fn max_connections(mut self, most: u32) -> Self {
        self.connections = if most == 0 { 1 } else { most };
        self
    }

    /// Whether the commits of projectors wait until they are on disk; they do not unless it is said
    /// otherwise. A server that crashes may then forget the last commits, less than a second of
    /// them, each with its checkpoint: they are made again from the log as soon as it is back. The
    /// log, leases and what operators ask for always wait.
    pub const fn durable_commits(mut self, durable: bool) -> Self {
        self.durable = durable;
        self
    }

    /// Connects to a read store whose tables are there and up to date.
    ///
    /// # Errors
    /// [`SchemaMissing`](StoreErrorKind::SchemaMissing) or
    /// [`SchemaOutdated`](StoreErrorKind::SchemaOutdated): run [`migrate`](Self::migrate).
    /// [`StoreError`] of other kinds when the database cannot be reached or refuses.
    pub async fn connect(self) -> Result<PgReadStore, StoreError> {
        let (schema, pool) = self.prepare().await?;
        let mut connection = pool.acquire().await.map_err(store_error)?;
        schema.check(&mut connection).await?;
        drop(connection);
        Ok(self.finish(&schema, pool))
    }

    /// Creates the tables or brings them up to date, then connects.
    ///
    /// The role needs the right to create schemas, as projectors make theirs.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be reached or refuses. What was begun is undone.
    pub async fn migrate(self) -> Result<PgReadStore, StoreError> {
        let (schema, pool) = self.prepare().await?;
        let mut connection = pool.acquire().await.map_err(store_error)?;
        schema.migrate(&mut connection).await?;
        schema.check(&mut connection).await?;
        drop(connection);
        Ok(self.finish(&schema, pool))
    }

    async fn prepare(&self) -> Result<(Schema, PgPool), StoreError> {
        let schema = Schema::new(&self.schema, &READ_STORE)?;
        let is_letter = |b: u8| b == b'_' || b.is_ascii_lowercase() || b.is_ascii_digit();
        let starts = !self.prefix.starts_with(|c: char| c.is_ascii_digit());
        if !(self.prefix.bytes().all(is_letter) && starts && self.prefix.len() <= MAX_PREFIX_BYTES)
        {
            let message = format!(
                "a prefix is up to {MAX_PREFIX_BYTES} lower-case letters, digits and underscores"
            );
            return Err(StoreError::new(StoreErrorKind::Unsupported, message));
        }
        let options = match &self.target {
            Target::Pool(pool) => return Ok((schema, pool.clone())),
            Target::Options(options) => options.as_ref().clone().map_err(|error| {
                let message = "the database's address is not an address";
                StoreError::new(StoreErrorKind::Unsupported, message).with_source(error)
            })?,
        };
        let options = match options.get_application_name() {
            Some(_) => options,
            None => options.application_name("cqrs-read"),
        };
        // The isolation at which a lock is followed by a fresh look, which leases rely on.
        let options = options.options([("default_transaction_isolation", "read committed")]);
        // A dead connection is found by its use; asking first would double the round trips.
        let pool = PgPoolOptions::new()
            .max_connections(self.connections)
            .test_before_acquire(false)
            .connect_with(options);
        Ok((schema, pool.await.map_err(store_error)?))
    }

    fn finish(self, schema: &Schema, pool: PgPool) -> PgReadStore {
        let (sql, prefix, durable) = (Sql::of(schema), self.prefix, self.durable);
        let schema = schema.name().to_owned();
        PgReadStore { shared: Arc::new(Shared { pool, sql, schema, prefix, durable }) }
    }
}
