//! Tests of an application over a real store, through the public API. Each case runs in memory and
//! on Postgres.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // tests fail by panicking
#![allow(unreachable_pub)] // a test binary has no public surface
#![allow(clippy::duplicate_mod)] // the cases run once per store

mod model;
#[allow(dead_code)] // much of it is only compiled
mod send;

#[path = "."]
mod in_memory {
    pub mod fresh {
        use cqrs::app::Clock;
        pub type Store = cqrs_memory::MemoryStore;

        /// Payloads that no event can be decoded from.
        pub const BROKEN: [&str; 2] = ["{broken", ""];

        /// Many more aggregates than a cache holds.
        pub const MANY: u64 = 20_000;

        pub async fn fresh() -> Store {
            Store::new()
        }

        pub async fn fresh_with(clock: impl Clock) -> Store {
            Store::builder().clock(clock).build()
        }
    }

    mod cancel;
    #[path = "cases/mod.rs"]
    pub mod cases;
    mod memory_only;
}

#[path = "."]
mod on_postgres {
    /// A separate database for each store.
    pub mod fresh {
        use cluster::Database;
        use cqrs::app::Clock;
        pub type Store = cqrs_postgres::PgStore;

        /// Payloads that no event can be decoded from. Postgres does not store invalid JSON.
        pub const BROKEN: [&str; 2] = ["[]", "{}"];

        /// Many more aggregates than a cache holds; each needs a commit.
        pub const MANY: u64 = 1_000;

        pub async fn fresh() -> Store {
            let options = Database::create().await.keep();
            Store::builder().options(options).migrate().await.unwrap()
        }

        pub async fn fresh_with(clock: impl Clock) -> Store {
            let options = Database::create().await.keep();
            Store::builder().options(options).clock(clock).migrate().await.unwrap()
        }
    }

    #[path = "cases/mod.rs"]
    #[allow(dead_code)] // used only by `memory_only`
    mod cases;
}
