//! Tests read models through the public API: each case in memory and on Postgres.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // tests fail by panicking
#![allow(unreachable_pub)] // a test binary has no public surface
#![allow(clippy::duplicate_mod)] // the same cases for both stores

mod chaos;
mod memory_only;
mod postgres_only;
mod rows;
mod tally;
mod technologies;

#[path = "."]
mod in_memory {
    pub mod fresh {
        pub type Store = cqrs_memory::MemoryStore;
        pub type Read = cqrs_memory::MemoryReadStore;
        pub type Rows = crate::rows::MemoryTables;

        pub async fn stores() -> (Store, Read) {
            (Store::new(), Read::new())
        }

        /// Returns the same stores, for another node.
        pub async fn elsewhere(store: &Store, read: &Read) -> (Store, Read) {
            (store.clone(), read.clone())
        }

        /// A payload that cannot be decoded.
        pub const BROKEN: &str = "{broken";
    }

    mod read_store {
        cqrs_testing::read_store_conformance! {
            tables = crate::rows::MemoryTables,
            store = cqrs_memory::MemoryReadStore::new()
        }
    }

    #[path = "cases/mod.rs"]
    mod cases;
}

#[path = "."]
mod on_postgres {
    pub mod fresh {
        use cluster::Database;

        pub type Store = cqrs_postgres::PgStore;
        pub type Read = cqrs_postgres::PgReadStore;
        pub type Rows = crate::rows::PgTables;

        pub async fn read() -> Read {
            let options = Database::create().await.keep();
            Read::builder().options(options).migrate().await.unwrap()
        }

        /// Creates both stores in one database, as inline projections need it.
        pub async fn stores() -> (Store, Read) {
            let options = Database::create().await.keep();
            let store = Store::builder().options(options.clone()).migrate().await.unwrap();
            let read = Read::builder().options(options).migrate().await.unwrap();
            (store, read)
        }

        /// Returns the same stores, for another node, with their own connections.
        pub async fn elsewhere(_: &Store, read: &Read) -> (Store, Read) {
            let options = (*read.pool().connect_options()).clone();
            let store = Store::builder().options(options.clone()).connect().await.unwrap();
            let read = Read::builder().options(options).connect().await.unwrap();
            (store, read)
        }

        /// A payload that cannot be decoded. Postgres does not even store invalid JSON.
        pub const BROKEN: &str = "[]";
    }

    mod read_store {
        cqrs_testing::read_store_conformance! {
            tables = crate::rows::PgTables,
            store = super::fresh::read().await
        }
    }

    #[path = "cases/mod.rs"]
    mod cases;
}
