//! Processes, through the public API: each case in memory and on Postgres.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used)] // tests fail by panicking
#![allow(unreachable_pub)] // a test binary has no public API
#![allow(clippy::duplicate_mod)] // the same cases run on each pair of stores

mod script;

#[path = "."]
mod in_memory {
    pub mod fresh {
        use cqrs_testing::ManualClock;

        pub type TestStore = cqrs_memory::MemoryReadStore;

        pub async fn stores(
            clock: &ManualClock,
        ) -> (impl cqrs::EventStore + Clone + use<>, TestStore) {
            (cqrs_memory::MemoryStore::builder().clock(clock.clone()).build(), TestStore::new())
        }
    }

    mod cases;
    mod handlers;
    mod headers;
    mod start;
    mod time;
}

#[path = "."]
mod on_postgres {
    pub mod fresh {
        use cluster::Database;
        use cqrs_postgres::PgStore;
        use cqrs_testing::ManualClock;

        pub type TestStore = cqrs_postgres::PgReadStore;

        pub async fn stores(
            clock: &ManualClock,
        ) -> (impl cqrs::EventStore + Clone + use<>, TestStore) {
            let options = Database::create().await.keep();
            let store = PgStore::builder().options(options.clone()).clock(clock.clone()).migrate();
            let process_store =
                TestStore::for_processes().options(options).migrate().await.unwrap();
            (store.await.unwrap(), process_store)
        }
    }

    mod cases;
    mod handlers;
    mod headers;
    mod start;
    mod time;
}
