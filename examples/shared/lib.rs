//! Where an example keeps its events: in memory, or in Postgres. All that differs is here.

#![deny(missing_docs)]
#![forbid(unsafe_code)]

mod processes;

use std::error::Error;
use std::sync::Arc;

use cqrs::memory::{MemoryReadStore, MemoryStore};
use cqrs::postgres::{PgReadStore, PgStore};
use cqrs::{EventStore, app::Clock, store::StoreError};
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

    /// The schema to keep the tables in. They are made when they are not there.
    #[arg(long, value_name = "NAME", help = "where in the database the tables are")]
    pub schema: Option<String>,

    /// What `--store postgres` stands for.
    #[arg(skip = std::env::var("DATABASE_URL").ok())]
    pub database_url: Option<String>,
}

impl Default for StoreArguments {
    fn default() -> Self {
        Self { store: "memory".to_owned(), schema: None, database_url: None }
    }
}

impl StoreArguments {
    /// A Postgres store at an address.
    #[must_use]
    pub fn postgres(url: &str) -> Self {
        Self { store: url.to_owned(), ..Self::default() }
    }

    /// The address of the database; `None` for memory.
    fn url(&self) -> Result<Option<&str>, String> {
        match self.store.as_str() {
            "memory" => Ok(None),
            "postgres" => match &self.database_url {
                Some(url) => Ok(Some(url)),
                None => {
                    Err("`--store postgres` needs the database's address in DATABASE_URL".into())
                }
            },
            url if url.starts_with("postgres://") || url.starts_with("postgresql://") => {
                Ok(Some(url))
            }
            other => Err(format!("`--store {other}`: use memory or postgres://...")),
        }
    }

    /// Opens the read store beside the store: in the same database, in schemas that begin with
    /// `schema` unless the arguments say otherwise.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_read(&self, schema: &str) -> Result<OpenReadStore, String> {
        let Some(url) = self.url()? else {
            return Ok(OpenReadStore::Memory(MemoryReadStore::new()));
        };
        let schema = self.schema.as_deref().unwrap_or(schema);
        let read = PgReadStore::builder().url(url);
        let read = read.schema(&format!("{schema}_read")).prefix(&format!("{schema}_"));
        let read = read.migrate().await.map_err(|error| explained(&error))?;
        Ok(OpenReadStore::Postgres(read))
    }

    /// Opens the store of processes beside the store, in the same database.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_processes(&self, schema: &str) -> Result<OpenReadStore, String> {
        let Some(url) = self.url()? else {
            return Ok(OpenReadStore::Memory(MemoryReadStore::new()));
        };
        let schema = self.schema.as_deref().unwrap_or(schema);
        let kept = PgReadStore::for_processes().url(url);
        let kept = kept.schema(&format!("{schema}_processes")).prefix(&format!("{schema}_p_"));
        let kept = kept.migrate().await.map_err(|error| explained(&error))?;
        Ok(OpenReadStore::Postgres(kept))
    }

    /// Opens the store. Its time is that of `clock`; its tables stand in `schema` unless the
    /// arguments say otherwise.
    ///
    /// # Errors
    /// For the person who wrote the arguments: an unknown word, or why the database is not there.
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
        store.map(|store| Arc::new(store) as Arc<dyn EventStore>).map_err(|error| explained(&error))
    }
}

/// Where read models are kept.
#[derive(Clone, Debug)]
pub enum OpenReadStore {
    /// In memory.
    Memory(MemoryReadStore),
    /// In Postgres.
    Postgres(PgReadStore),
}

impl OpenReadStore {
    /// Throws all read models away, with everything that is known about them, as an operator may
    /// do at any time. Whoever uses them has to stop first.
    ///
    /// # Errors
    /// Why the database refuses.
    pub async fn drop_everything(self) -> Result<(), String> {
        match self {
            // It is gone with its last handle.
            Self::Memory(_) => Ok(()),
            Self::Postgres(read) => read.drop_everything().await.map_err(|error| explained(&error)),
        }
    }
}

/// An error with its causes, on one line.
fn explained(error: &StoreError) -> String {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        told.push_str(": ");
        told.push_str(&error.to_string());
        cause = error.source();
    }
    told
}
