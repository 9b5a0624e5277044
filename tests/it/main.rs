//! Whole-system tests: an application over a real store, through the public API only. Each runs in
//! memory and on Postgres.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // tests fail by panicking
#![allow(unreachable_pub)] // a test binary has no public surface
#![allow(clippy::duplicate_mod)] // the same cases on purpose

mod model;

#[path = "."]
mod in_memory {
    pub mod fresh {
        use cqrs::app::Clock;
        pub type Store = cqrs_memory::MemoryStore;

        /// What no event can be read from.
        pub const BROKEN: [&str; 2] = ["{broken", ""];

        /// Far more aggregates than a cache holds.
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
    mod cases;
    mod memory_only;
}

#[path = "."]
mod on_postgres {
    /// A database of its own for each store.
    pub mod fresh {
        use cluster::Database;
        use cqrs::app::Clock;
        pub type Store = cqrs_postgres::PgStore;

        /// What no event can be read from; what is no JSON at all does not even get in.
        pub const BROKEN: [&str; 2] = ["[]", "{}"];

        /// Far more aggregates than a cache holds; each costs a commit.
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
    #[allow(dead_code)] // what only `memory_only` uses
    mod cases;
}
