//! Where an example keeps its events: in memory, or in Postgres. All that differs is here.

#![deny(missing_docs)]
#![forbid(unsafe_code)]

use std::error::Error;
use std::sync::Arc;

use cqrs::memory::MemoryStore;
use cqrs::postgres::PgStore;
use cqrs::{Clock, EventStore, StoreError};

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
        let url = match self.store.as_str() {
            "memory" => return Ok(Arc::new(MemoryStore::builder().clock(clock).build())),
            "postgres" => self
                .database_url
                .as_deref()
                .ok_or("`--store postgres` needs the database's address in DATABASE_URL")?,
            url if url.starts_with("postgres://") || url.starts_with("postgresql://") => url,
            other => return Err(format!("`--store {other}`: use memory or postgres://...")),
        };
        let schema = self.schema.as_deref().unwrap_or(schema);
        let store = PgStore::builder().url(url).schema(schema).clock(clock).migrate().await;
        store.map(|store| Arc::new(store) as Arc<dyn EventStore>).map_err(|error| explained(&error))
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
