//! What the examples share: the `--store` argument, and stores in memory or in Postgres.

#![deny(missing_docs)]
#![forbid(unsafe_code)]

mod processes;

use std::sync::Arc;

use cqrs::memory::{MemoryReadStore, MemoryStore};
use cqrs::postgres::{PgReadStore, PgStore};
use cqrs::{EventStore, app::Clock};
pub use processes::Automation;

/// The arguments that choose a store.
#[derive(Clone, Debug, clap::Args)]
pub struct StoreArguments {
    /// `memory`, an address such as `postgres://user:password@localhost/database`, or `postgres`
    /// for the address in `DATABASE_URL`.
    #[arg(
        long,
        value_name = "STORE",
        default_value = "memory",
        help = "memory, postgres://USER:PASSWORD@HOST/DATABASE,\nor postgres for DATABASE_URL"
    )]
    pub store: String,

    /// The schema of the tables, which are created if they do not exist.
    #[arg(long, value_name = "NAME", help = "the database schema of the tables")]
    pub schema: Option<String>,

    /// The address that `--store postgres` stands for.
    #[arg(skip = std::env::var("DATABASE_URL").ok())]
    pub database_url: Option<String>,
}

impl Default for StoreArguments {
    fn default() -> Self {
        Self { store: "memory".to_owned(), schema: None, database_url: None }
    }
}

impl StoreArguments {
    /// Returns arguments for a Postgres store at an address.
    #[must_use]
    pub fn postgres(url: &str) -> Self {
        Self { store: url.to_owned(), ..Self::default() }
    }

    /// Returns the address of the database, or `None` for memory.
    fn url(&self) -> Result<Option<&str>, String> {
        match self.store.as_str() {
            "memory" => Ok(None),
            "postgres" => match &self.database_url {
                Some(url) => Ok(Some(url)),
                None => {
                    Err("`--store postgres` needs the address of the database in DATABASE_URL"
                        .into())
                }
            },
            url if url.starts_with("postgres://") || url.starts_with("postgresql://") => {
                Ok(Some(url))
            }
            other => Err(format!("unknown store `{other}`: use memory or postgres://...")),
        }
    }

    /// Opens the read store in the same database, in schemas that begin with `schema` or with that of the
    /// arguments.
    ///
    /// # Errors
    /// Those of [`open`](Self::open).
    pub async fn open_read(&self, schema: &str) -> Result<OpenReadStore, String> {
        let Some(url) = self.url()? else {
            return Ok(OpenReadStore::Memory(MemoryReadStore::new()));
        };
        let schema = self.schema.as_deref().unwrap_or(schema);
        let read = PgReadStore::builder().url(url);
        let read = read.schema(&format!("{schema}_read")).prefix(&format!("{schema}_"));
        let read = read.migrate().await.map_err(|error| cqrs::error_chain(&error))?;
        Ok(OpenReadStore::Postgres(read))
    }

    /// Opens the store of processes in the same database.
    ///
    /// # Errors
    /// Those of [`open`](Self::open).
    pub async fn open_processes(&self, schema: &str) -> Result<OpenReadStore, String> {
        let Some(url) = self.url()? else {
            return Ok(OpenReadStore::Memory(MemoryReadStore::new()));
        };
        let schema = self.schema.as_deref().unwrap_or(schema);
        let process_store = PgReadStore::for_processes().url(url);
        let process_store =
            process_store.schema(&format!("{schema}_processes")).prefix(&format!("{schema}_p_"));
        let process_store =
            process_store.migrate().await.map_err(|error| cqrs::error_chain(&error))?;
        Ok(OpenReadStore::Postgres(process_store))
    }

    /// Opens the event store with this clock. Its tables are in `schema`, unless the arguments name
    /// another one.
    ///
    /// # Errors
    /// If the arguments are invalid or the database cannot be used; the message says why.
    pub async fn open(
        &self,
        schema: &str,
        clock: impl Clock,
    ) -> Result<Arc<dyn EventStore>, String> {
        let Some(url) = self.url()? else {
            return Ok(Arc::new(MemoryStore::builder().clock(clock).build()));
        };
        let schema = self.schema.as_deref().unwrap_or(schema);
        let store = PgStore::builder().url(url).schema(schema).clock(clock).migrate().await;
        store
            .map(|store| Arc::new(store) as Arc<dyn EventStore>)
            .map_err(|error| cqrs::error_chain(&error))
    }
}

/// An open read store or store of processes.
#[derive(Clone, Debug)]
pub enum OpenReadStore {
    /// In memory.
    Memory(MemoryReadStore),
    /// In Postgres.
    Postgres(PgReadStore),
}

impl OpenReadStore {
    /// Drops all read models and their records, which is possible at any time. Stop the projectors that
    /// use them first.
    ///
    /// # Errors
    /// If the database reports an error.
    pub async fn drop_everything(self) -> Result<(), String> {
        match self {
            // It is dropped with its last handle.
            Self::Memory(_) => Ok(()),
            Self::Postgres(read) => {
                read.drop_everything().await.map_err(|error| cqrs::error_chain(&error))
            }
        }
    }
}
